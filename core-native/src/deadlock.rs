//! The search for a deadlock: whether a session that is about to wait would, through others that wait,
//! wait for itself. What waits for what, and the order of the search, are in `ts/engine/coordination.ts`.
//!
//! Waits of one queue have nearly the same blockers. Each was entered or refused by the first wait that
//! came by it, so a wait goes on where the search of its lock has already come to; otherwise long queues
//! would cost the square of their length.

use crate::holds::{MODES, fit_beside};
use crate::layout::LOCK_EXCLUSIVE;
use crate::limits::{
    DEADLOCK_BLOCKERS_EXAMINED_MAX, DEADLOCK_STEPS_SHOWN_MAX, DEADLOCK_WAITS_EXAMINED_MAX,
};
use crate::locks::Locks;
use crate::sessions::{Sessions, session_text};
use crate::slab::NONE;

/// Holds and waits of a session that is looked through for anyone who waits for it.
const OWNED_LOOKED_AT_MAX: u32 = 64;

/// A request that is about to wait.
#[derive(Clone, Copy)]
pub struct Asker {
    /// Of its session.
    pub place: u32,
    pub lock: u32,
    pub mode: u8,
    pub is_upgrade: bool,
}

/// A wait whose blockers are gone through, and the one that is entered now.
struct Step {
    /// Place of the session that waits.
    session: u32,
    /// NONE: the request.
    wait: u32,
    lock: u32,
    mode: u8,
    is_upgrade: bool,
    /// The next hold to look at, and then the next wait.
    hold: u32,
    other: u32,
    /// Id of the session that it waits for.
    blocker: u64,
    is_held: bool,
}

/// How far a search has looked at the blockers of a lock's waits, by the mode of those: at all holds, and
/// at the waits up to and with this one.
#[derive(Clone, Copy, Default)]
struct Looked {
    /// The search.
    number: u64,
    wait: u32,
}

/// What a search notes, kept from one to the next so that none begins with clearing it.
#[derive(Default)]
pub struct Notes {
    number: u64,
    /// By place of a session: the last search that has entered it.
    entered: Vec<u64>,
    /// By place of a lock, and mode.
    looked: Vec<[Looked; MODES]>,
}

impl Notes {
    /// Enters a session; false where the search has done so before.
    fn enter(&mut self, session: u32) -> bool {
        let place = session as usize;
        if place >= self.entered.len() {
            self.entered.resize(place + 1, 0);
        }
        let before = std::mem::replace(&mut self.entered[place], self.number);
        before != self.number
    }

    fn look(&mut self, lock: u32, mode: u8, wait: u32) {
        let place = lock as usize;
        if place >= self.looked.len() {
            self.looked.resize(place + 1, [Looked::default(); MODES]);
        }
        self.looked[place][usize::from(mode)] = Looked {
            number: self.number,
            wait,
        };
    }

    /// How far waits of this mode have been looked at, if any.
    fn looked(&self, lock: u32, mode: u8) -> Option<u32> {
        let looked = self.looked.get(lock as usize)?[usize::from(mode)];
        (looked.number == self.number).then_some(looked.wait)
    }
}

struct Search<'a> {
    sessions: &'a Sessions,
    locks: &'a Locks,
    /// Place of the session that asks.
    asker: u32,
    notes: &'a mut Notes,
    /// Holds and waits that were looked at as blockers.
    blockers: usize,
}

/// The text that names the cycle which the request would close, if any.
pub fn find_cycle(
    sessions: &Sessions,
    locks: &Locks,
    notes: &mut Notes,
    asker: Asker,
) -> Option<Vec<u8>> {
    if !is_waited_for(sessions, locks, asker.place) {
        return None;
    }
    notes.number += 1;
    let mut search = Search {
        sessions,
        locks,
        asker: asker.place,
        notes,
        blockers: 0,
    };
    let steps = search.run(asker)?;
    Some(search.text(&steps))
}

/// Whether any wait can be for a session: where none is, no cycle leads back to it. A session that owns
/// much is not looked through.
fn is_waited_for(sessions: &Sessions, locks: &Locks, place: u32) -> bool {
    let session = &sessions.slab[place];
    if session.holds.count + session.waits.count > OWNED_LOOKED_AT_MAX {
        return true;
    }
    let mut hold = session.holds.first;
    while hold != NONE {
        if !locks.get(locks.holds[hold].lock).waits.is_empty() {
            return true;
        }
        hold = locks.next_hold_of_session(hold);
    }
    let mut wait = session.waits.first;
    while wait != NONE {
        if locks.waits[wait].next_in_lock() != NONE {
            return true;
        }
        wait = locks.waits[wait].next_in_session();
    }
    false
}

impl Search<'_> {
    fn run(&mut self, asker: Asker) -> Option<Vec<Step>> {
        let mut examined = 0;
        let mut steps = vec![self.step_of(asker, NONE)];
        while let Some(mut step) = steps.pop() {
            let blocker = self.next_blocker(&mut step);
            if self.blockers > DEADLOCK_BLOCKERS_EXAMINED_MAX {
                return None;
            }
            let next = if let Some(blocker) = blocker {
                let is_asker = blocker == self.asker;
                // What waits for the asker at the lock that is asked for waits for another task of it.
                let is_closed = is_asker && step.lock != asker.lock;
                steps.push(step);
                if is_closed {
                    return Some(steps);
                }
                if is_asker || !self.notes.enter(blocker) {
                    continue;
                }
                self.sessions.slab[blocker].waits.first
            } else if step.wait == NONE {
                return None;
            } else {
                self.locks.waits[step.wait].next_in_session()
            };
            if next != NONE {
                examined += 1;
                if examined > DEADLOCK_WAITS_EXAMINED_MAX {
                    return None;
                }
                let wait = &self.locks.waits[next];
                let asker = Asker {
                    place: wait.owner,
                    lock: wait.lock,
                    mode: wait.request.mode,
                    is_upgrade: wait.request.upgrades != 0,
                };
                steps.push(self.step_of(asker, next));
            }
        }
        None
    }

    fn step_of(&self, asker: Asker, wait: u32) -> Step {
        let lock = self.locks.get(asker.lock);
        let mut step = Step {
            session: asker.place,
            wait,
            lock: asker.lock,
            mode: asker.mode,
            is_upgrade: asker.is_upgrade,
            hold: lock.holds.first,
            other: lock.waits.first,
            blocker: 0,
            is_held: false,
        };
        for mode in [LOCK_EXCLUSIVE, asker.mode] {
            let Some(looked) = self.notes.looked(asker.lock, mode) else {
                continue;
            };
            step.hold = NONE;
            // The later one of both, or the wait itself where the search has come past it.
            if self.order_of(looked) > self.order_of(step.other) {
                step.other = looked;
            }
            if wait != NONE && self.order_of(step.other) > self.order_of(wait) {
                step.other = wait;
            }
        }
        step
    }

    /// The place of the next session that a wait waits for, noted in the step too.
    fn next_blocker(&mut self, step: &mut Step) -> Option<u32> {
        while step.hold != NONE {
            self.blockers += 1;
            if self.blockers > DEADLOCK_BLOCKERS_EXAMINED_MAX {
                return None;
            }
            let hold = &self.locks.holds[step.hold];
            step.hold = hold.next_in_lock();
            if hold.owner != step.session && !fit_beside(step.mode, hold.grant.mode) {
                step.blocker = hold.grant.session;
                step.is_held = true;
                return Some(hold.owner);
            }
        }
        while !step.is_upgrade && step.other != NONE && step.other != step.wait {
            self.blockers += 1;
            if self.blockers > DEADLOCK_BLOCKERS_EXAMINED_MAX {
                return None;
            }
            let other = &self.locks.waits[step.other];
            // What the asker leaves out, since nobody waits for itself, others have to look at.
            if step.session != self.asker {
                self.notes.look(step.lock, step.mode, step.other);
            }
            step.other = other.next_in_lock();
            if other.owner != step.session && !fit_beside(step.mode, other.request.mode) {
                step.blocker = self.sessions.slab[other.owner].id;
                step.is_held = false;
                return Some(other.owner);
            }
        }
        None
    }

    fn order_of(&self, wait: u32) -> u64 {
        if wait == NONE {
            0
        } else {
            self.locks.waits[wait].order
        }
    }

    fn text(&self, steps: &[Step]) -> Vec<u8> {
        let mut text = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if at > 0 {
                text.push(b'\n');
            }
            if at == DEADLOCK_STEPS_SHOWN_MAX {
                text.extend_from_slice(b"...");
                break;
            }
            let how: &[u8] = if step.is_held { b"held by" } else { b"behind" };
            let session = session_text(self.sessions.slab[step.session].id);
            text.extend_from_slice(&session);
            text.extend_from_slice(b" waits for \"");
            text.extend_from_slice(self.locks.name(step.lock));
            text.extend_from_slice(b"\" ");
            text.extend_from_slice(how);
            text.push(b' ');
            text.extend_from_slice(&session_text(step.blocker));
        }
        text
    }
}

#[cfg(test)]
#[path = "deadlock_tests.rs"]
mod tests;
