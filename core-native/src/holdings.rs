//! The state of sessions, locks and fences, and the changes of it that are the effect of one record,
//! whether the engine has just made that record or reads it from a log. What they cost in memory counts
//! with the keys.

use crate::deadlines::{Deadline, Deadlines, Present, Target};
use crate::deadlock::Notes;
use crate::fences::{FENCE_SUFFIX_BYTES, Fences};
use crate::holds::{Grant, Hold, Request, Wait, hold_end_bytes, hold_memory_bytes};
use crate::key_hash::Hashing;
use crate::keyspace::Keyspace;
use crate::limits::{FENCE_OVERHEAD_BYTES, SESSION_OVERHEAD_BYTES};
use crate::locks::Locks;
use crate::sessions::Sessions;
use crate::slab::NONE;

pub struct Holdings {
    pub hashing: Hashing,
    pub sessions: Sessions,
    pub locks: Locks,
    pub fences: Fences,
    pub deadlines: Deadlines,
    pub deadlock_notes: Notes,
    /// Locks to be settled in the next call, in the order in which they came to be.
    pub unsettled: Vec<u32>,
    /// Sessions that have more to end than one step may, in the order in which their ends began.
    ending: Vec<u32>,
    /// When there is work to look for, at the earliest; 0: in the next call.
    pub wake_at: u64,
    /// Whether sessions, holds or waits came or went since it was last told.
    pub is_touched: bool,
}

impl Holdings {
    pub fn new(hashing: Hashing) -> Self {
        Self {
            hashing,
            sessions: Sessions::new(hashing),
            locks: Locks::new(hashing),
            fences: Fences::default(),
            deadlines: Deadlines::default(),
            deadlock_notes: Notes::default(),
            unsettled: Vec::new(),
            ending: Vec::new(),
            wake_at: u64::MAX,
            is_touched: false,
        }
    }

    /// Adds a session whose id is not in use, or makes one of a guest, `seen` now.
    pub fn open_session(
        &mut self,
        keyspace: &mut Keyspace,
        id: u64,
        ttl_ms: u64,
        digest: &[u8],
        seen: u64,
    ) -> u32 {
        self.is_touched = true;
        keyspace.memory_bytes += SESSION_OVERHEAD_BYTES;
        let place = self.sessions.add(id, ttl_ms, digest, seen);
        self.stop_ending(place);
        place
    }

    /// Sets the deadline of a session, from its last sign of life.
    pub fn set_session_deadline(&mut self, place: u32) {
        self.clear_deadlines(Target::Session);
        let session = &self.sessions.slab[place];
        let (at, serial) = (session.ends_at(), session.serial);
        self.set_deadline(at, Target::Session, place, serial);
    }

    /// Removes a session or a guest that has nothing any more.
    pub fn remove_session(&mut self, keyspace: &mut Keyspace, place: u32) {
        self.is_touched = true;
        if !self.sessions.slab[place].is_guest {
            keyspace.memory_bytes -= SESSION_OVERHEAD_BYTES;
        }
        self.stop_ending(place);
        self.sessions.remove(place);
    }

    /// A session has ended, and what is left of it is a guest's until later steps have ended that.
    pub fn leave_ending(&mut self, keyspace: &mut Keyspace, place: u32) {
        self.make_guest(keyspace, place);
        let session = &mut self.sessions.slab[place];
        if !session.is_ending {
            session.is_ending = true;
            self.ending.push(place);
        }
        self.wake_at = 0;
    }

    fn stop_ending(&mut self, place: u32) {
        let session = &mut self.sessions.slab[place];
        if session.is_ending {
            session.is_ending = false;
            self.ending.retain(|&other| other != place);
        }
    }

    /// The session whose end is to go on first; NONE where there is none.
    pub fn first_ending(&self) -> u32 {
        self.ending.first().copied().unwrap_or(NONE)
    }

    /// A session has no record any more, where it had one.
    fn make_guest(&mut self, keyspace: &mut Keyspace, place: u32) {
        if !self.sessions.slab[place].is_guest {
            self.is_touched = true;
            keyspace.memory_bytes -= SESSION_OVERHEAD_BYTES;
            self.sessions.make_guest(place);
        }
    }

    /// A session has ended by a record. What it still has is a guest's; its waits are dropped.
    pub fn leave_session(&mut self, keyspace: &mut Keyspace, place: u32) {
        loop {
            let wait = self.sessions.slab[place].waits.first;
            if wait == NONE {
                break;
            }
            let lock = self.remove_wait(wait);
            self.note_changed(lock);
        }
        self.make_guest(keyspace, place);
        self.forget_idle(keyspace, place);
    }

    /// Forgets a guest of whom there is nothing here.
    pub fn forget_idle(&mut self, keyspace: &mut Keyspace, place: u32) {
        let session = &self.sessions.slab[place];
        let is_idle = session.is_guest && session.holds.is_empty() && session.waits.is_empty();
        if is_idle && !keyspace.ephemerals.has_keys(session.id) {
            self.remove_session(keyspace, place);
        }
    }

    /// Adds a hold, of a guest where its session is not there. Its place.
    pub fn add_hold(
        &mut self,
        keyspace: &mut Keyspace,
        lock: u32,
        token: u64,
        grant: Grant,
    ) -> u32 {
        self.is_touched = true;
        let name_length = self.locks.name(lock).len();
        keyspace.memory_bytes += hold_memory_bytes(name_length);
        let owner = self.sessions.admit(grant.session);
        let session = &mut self.sessions.slab[owner];
        session.end_bytes += hold_end_bytes(name_length);
        let place = self
            .locks
            .add_hold(lock, token, grant, owner, &mut session.holds);
        self.set_lease_deadline(place);
        place
    }

    /// Removes a hold; its lock, which may be empty now.
    pub fn remove_hold(&mut self, keyspace: &mut Keyspace, place: u32) -> u32 {
        self.is_touched = true;
        let Hold { lock, owner, .. } = self.locks.holds[place];
        let name_length = self.locks.name(lock).len();
        keyspace.memory_bytes -= hold_memory_bytes(name_length);
        let session = &mut self.sessions.slab[owner];
        session.end_bytes -= hold_end_bytes(name_length);
        self.locks.remove_hold(place, &mut session.holds);
        lock
    }

    /// Gives a hold another depth, mode or lease.
    pub fn change_hold(&mut self, place: u32, depth: u16, mode: u8, lease: u64) {
        self.locks.change_hold(place, depth, mode, lease);
        self.set_lease_deadline(place);
    }

    /// Sets the deadline of a hold's lease, where none is set that comes before it and will be looked up.
    pub fn set_lease_deadline(&mut self, place: u32) {
        self.clear_deadlines(Target::Hold);
        let hold = &mut self.locks.holds[place];
        let lease = hold.grant.lease;
        if lease != 0 && (hold.deadline == 0 || lease < hold.deadline_at) {
            hold.deadline_at = lease;
            let serial = hold.serial;
            let sequence = self.set_deadline(lease, Target::Hold, place, serial);
            self.locks.holds[place].deadline = sequence;
        }
    }

    /// Its sequence.
    fn set_deadline(&mut self, at: u64, target: Target, place: u32, serial: u64) -> u64 {
        self.wake_at = self.wake_at.min(at);
        self.deadlines.set(at, target, place, serial)
    }

    /// Works out when there is work to look for.
    pub fn plan_wake(&mut self) {
        let is_left = !self.unsettled.is_empty()
            || !self.ending.is_empty()
            || !self.sessions.newcomers.is_empty();
        self.wake_at = if is_left {
            0
        } else {
            self.deadlines.first_at()
        };
    }

    /// Drops the deadlines of what has ended before its time, where they may be as many as all others.
    #[inline]
    fn clear_deadlines(&mut self, target: Target) {
        if self.deadlines.is_crowded(target) {
            let mut deadlines = self.deadlines.take(target);
            deadlines.retain(|deadline| self.present_of(deadline) != Present::Gone);
            self.deadlines.put_back(target, deadlines);
        }
    }

    /// What has become of a deadline.
    pub fn present_of(&self, deadline: &Deadline) -> Present {
        let Deadline {
            at, place, serial, ..
        } = *deadline;
        let now_at = match deadline.target {
            Target::Session => {
                let session = &self.sessions.slab[place];
                (session.serial == serial).then(|| session.ends_at())
            }
            Target::Hold => {
                let hold = &self.locks.holds[place];
                let is_its = hold.serial == serial && hold.deadline == deadline.sequence;
                is_its.then_some(hold.grant.lease)
            }
            Target::Wait => (self.locks.waits[place].serial == serial).then_some(at),
        };
        match now_at {
            None => Present::Gone,
            Some(now_at) if now_at == at => Present::Stands,
            Some(_) => Present::Moved,
        }
    }

    /// A deadline that has moved, and was dropped, is set again.
    pub fn set_again(&mut self, deadline: &Deadline) {
        match deadline.target {
            Target::Session => self.set_session_deadline(deadline.place),
            Target::Hold => {
                self.locks.holds[deadline.place].deadline = 0;
                self.set_lease_deadline(deadline.place);
            }
            Target::Wait => {}
        }
    }

    /// Adds a wait of a session.
    pub fn add_wait(&mut self, lock: u32, request: Request, owner: u32, since: u64, deadline: u64) {
        self.is_touched = true;
        let session = &mut self.sessions.slab[owner];
        let (id, list) = (session.id, &mut session.waits);
        let times = (since, deadline);
        let place = self.locks.add_wait(lock, request, owner, id, times, list);
        if deadline != 0 {
            self.clear_deadlines(Target::Wait);
            let serial = self.locks.waits[place].serial;
            self.set_deadline(deadline, Target::Wait, place, serial);
        }
    }

    /// Removes a wait; its lock, which may be empty now.
    pub fn remove_wait(&mut self, place: u32) -> u32 {
        self.is_touched = true;
        let Wait { lock, owner, .. } = self.locks.waits[place];
        let session = &mut self.sessions.slab[owner];
        self.locks
            .remove_wait(place, session.id, &mut session.waits);
        lock
    }

    /// Drops a lock that has neither holds nor waits; whether it did.
    pub fn drop_empty(&mut self, lock: u32) -> bool {
        let was_unsettled = self.locks.get(lock).is_unsettled;
        let dropped = self.locks.drop_empty(lock);
        if dropped && was_unsettled {
            self.unsettled.retain(|&other| other != lock);
        }
        dropped
    }

    /// A lock has changed by records: its waits, if any, are looked at in the next call.
    pub fn note_changed(&mut self, lock: u32) {
        if self.locks.get(lock).waits.is_empty() {
            self.drop_empty(lock);
        } else {
            self.leave_unsettled(lock);
        }
    }

    /// A lock is to be settled in the next call.
    pub fn leave_unsettled(&mut self, lock: u32) {
        let at = self.locks.get_mut(lock);
        if !at.is_unsettled {
            at.is_unsettled = true;
            self.unsettled.push(lock);
            self.wake_at = 0;
        }
    }

    /// Notes the highest token of a fence.
    pub fn note_fence(&mut self, keyspace: &mut Keyspace, key: &[u8], token: u64) {
        if self.fences.note(self.hashing, key, token) {
            keyspace.memory_bytes += fence_memory_bytes(key.len() - FENCE_SUFFIX_BYTES);
        }
    }
}

/// Logical bytes of a fence.
pub fn fence_memory_bytes(name_length: usize) -> usize {
    name_length + FENCE_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_what_has_ended_do_not_pile_up() {
        let mut keyspace = Keyspace::new(1, Hashing::new(1));
        let mut holdings = Holdings::new(Hashing::new(1));
        let session = holdings.open_session(&mut keyspace, 1, 1000, &[0; 16], 0);
        let lock = holdings.locks.find_or_add(b"a", 0);
        for turn in 1..100_000 {
            let grant = Grant {
                session: 1,
                since: 0,
                lease: 1_000_000,
                id: 1,
                depth: 1,
                mode: 0,
            };
            let hold = holdings.add_hold(&mut keyspace, lock, turn, grant);
            holdings.remove_hold(&mut keyspace, hold);
            let request = Request {
                id: 1,
                mode: 0,
                permits: 0,
                lease_ms: 0,
                upgrades: 0,
            };
            holdings.add_wait(lock, request, session, 0, 1_000_000);
            let wait = holdings.locks.get(lock).waits.first;
            holdings.remove_wait(wait);
            let other = holdings.open_session(&mut keyspace, 2, 1000, &[0; 16], 0);
            holdings.set_session_deadline(other);
            holdings.remove_session(&mut keyspace, other);
        }
        for target in [Target::Session, Target::Hold, Target::Wait] {
            assert!(holdings.deadlines.take(target).len() < 3000, "{target:?}");
        }
    }
}
