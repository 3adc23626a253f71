//! Grants, and what frees the way for them: holds and waits that end, and sessions with all that they
//! own. Ending and settling call for each other, so what is left to settle is kept on a stack.

use crate::effects::{Effects, End, refused};
use crate::engine::Engine;
use crate::generated::{OperationCode, Status};
use crate::holds::{Grant, Hold, Request, Wait, hold_end_bytes, hold_memory_bytes};
use crate::limits::{INTEGER_LIMIT, SESSION_END_BYTES_MAX};
use crate::records::{Record, RecordKind, record_bytes};
use crate::sessions::session_text;
use crate::slab::NONE;

/// What becomes of the first wait of a lock.
enum Turn {
    Waits,
    Fits,
    /// The hold that it would upgrade is gone.
    Orphaned,
}

impl Engine {
    /// When something ends that has `ms` from now on.
    pub fn time_after(&self, ms: u64) -> u64 {
        self.now.saturating_add(ms).min(INTEGER_LIMIT - 1)
    }

    /// The end of a lease of `lease_ms` from now on; 0 for none.
    pub fn lease_after(&self, lease_ms: u64) -> u64 {
        if lease_ms == 0 {
            0
        } else {
            self.time_after(lease_ms)
        }
    }

    /// Whether a session has come to its end. While writes are refused none has.
    pub fn is_session_due(&self, place: u32) -> bool {
        self.write_refusal == Status::Ok && self.holdings.sessions.slab[place].ends_at() <= self.now
    }

    /// Bytes of the records that the end of a session makes beside its own.
    pub fn session_end_bytes(&self, place: u32) -> usize {
        let session = &self.holdings.sessions.slab[place];
        session.end_bytes + self.keyspace.ephemerals.end_bytes(session.id)
    }

    /// Whether a session may take a hold on a lock with a name of this length.
    pub fn session_takes_hold(&self, place: u32, name_length: usize) -> bool {
        self.session_end_bytes(place) + hold_end_bytes(name_length) <= SESSION_END_BYTES_MAX
    }

    pub fn memory_takes(&self, bytes: usize) -> bool {
        self.memory_bytes_max == 0 || self.keyspace.memory_bytes + bytes <= self.memory_bytes_max
    }

    /// Makes a hold with its record. Its place.
    pub fn grant(
        &mut self,
        lock: u32,
        place: u32,
        request: &Request,
        effects: &mut Effects<'_>,
    ) -> u32 {
        let mut depth = 1;
        let mut lease = self.lease_after(request.lease_ms);
        if request.upgrades != 0 {
            let held = self.holdings.locks.hold_of_token(lock, request.upgrades);
            if held != NONE {
                let before = self.holdings.locks.holds[held].grant;
                (depth, lease) = (before.depth, before.lease);
                // The lock keeps its place: the caller gives it a hold or it still has the wait.
                self.end_hold(held, effects);
            }
        }
        let grant = Grant {
            session: self.holdings.sessions.slab[place].id,
            since: self.now,
            lease,
            id: request.id,
            depth,
            mode: request.mode,
        };
        let partition = self.holdings.locks.get(lock).partition;
        let token = self.keyspace.next_revision(partition);
        let Self {
            holdings, keyspace, ..
        } = self;
        let hold = holdings.add_hold(keyspace, lock, token, grant);
        self.record_hold(hold, effects);
        hold
    }

    /// Makes the record that says how a hold is now. Its revision.
    pub fn record_hold(&mut self, place: u32, effects: &mut Effects<'_>) -> u64 {
        let Hold {
            grant, token, lock, ..
        } = self.holdings.locks.holds[place];
        self.record_of_lock(
            RecordKind::Hold,
            lock,
            token,
            grant.lease,
            &grant.to_value(),
            effects,
        )
    }

    /// Ends a hold, with its record; its revision. The lock may be empty now and is not settled yet.
    pub fn end_hold(&mut self, place: u32, effects: &mut Effects<'_>) -> u64 {
        let Hold { token, lock, .. } = self.holdings.locks.holds[place];
        let revision = self.record_of_lock(RecordKind::HoldEnd, lock, token, 0, &[], effects);
        let Self {
            holdings, keyspace, ..
        } = self;
        holdings.remove_hold(keyspace, place);
        revision
    }

    fn record_of_lock(
        &mut self,
        kind: RecordKind,
        lock: u32,
        token: u64,
        expires_at: u64,
        value: &[u8],
        effects: &mut Effects<'_>,
    ) -> u64 {
        let partition = self.holdings.locks.get(lock).partition;
        let revision = self.next_record(partition);
        let record = Record {
            kind,
            flags: 0,
            back: 0,
            partition,
            revision,
            time: self.now,
            expires_at,
            key: self.holdings.locks.name(lock),
            value,
        };
        effects
            .records
            .append_suffixed(record, &token.to_be_bytes());
        revision
    }

    /// A record that is of no key takes the next revision of its partition.
    pub fn next_record(&mut self, partition: usize) -> u64 {
        let revision = self.keyspace.next_revision(partition);
        self.keyspace.set_revision(partition, revision);
        self.gate.made(partition, revision);
        revision
    }

    /// Makes the record of a session. Its revision.
    pub fn record_session(
        &mut self,
        kind: RecordKind,
        id: u64,
        value: &[u8],
        effects: &mut Effects<'_>,
    ) -> u64 {
        let key = session_text(id);
        let partition = self.partition_of(&key);
        let revision = self.next_record(partition);
        effects.records.append(Record {
            kind,
            flags: 0,
            back: 0,
            partition,
            revision,
            time: self.now,
            expires_at: 0,
            key: &key,
            value,
        });
        revision
    }

    /// A session has come to its end by time.
    pub fn expire_session(&mut self, place: u32, effects: &mut Effects<'_>) {
        let mut freed = Vec::new();
        self.end_session(place, &mut freed, effects);
        self.settle(&freed, effects);
    }

    /// The lease of a hold has run out.
    pub fn expire_hold(&mut self, place: u32, effects: &mut Effects<'_>) {
        let lock = self.holdings.locks.holds[place].lock;
        self.end_hold(place, effects);
        self.settle(&[lock], effects);
    }

    /// Takes a step of the end of a session or a guest, which is all of it where one step may do all that.
    /// Puts the locks to be settled behind `freed`.
    pub fn end_session(&mut self, place: u32, freed: &mut Vec<u32>, effects: &mut Effects<'_>) {
        let session = &self.holdings.sessions.slab[place];
        let (id, is_ending) = (session.id, session.is_ending);
        if !session.is_guest {
            self.record_session(RecordKind::SessionEnd, id, &[], effects);
        }
        let is_all = self.end_belongings(place, freed, effects);
        if !is_ending {
            loop {
                let wait = self.holdings.sessions.slab[place].waits.first;
                if wait == NONE {
                    break;
                }
                freed.push(self.holdings.remove_wait(wait));
            }
            effects.notices.session_ended(id);
        }
        let Self {
            holdings, keyspace, ..
        } = self;
        if is_all {
            holdings.remove_session(keyspace, place);
        } else {
            holdings.leave_ending(keyspace, place);
            self.more = true;
        }
        if self.session_place == place {
            self.session_place = NONE;
        }
    }

    /// Ends keys and holds of a session, as many as one step may; whether that was all.
    fn end_belongings(
        &mut self,
        place: u32,
        freed: &mut Vec<u32>,
        effects: &mut Effects<'_>,
    ) -> bool {
        let id = self.holdings.sessions.slab[place].id;
        let mut bytes_left = SESSION_END_BYTES_MAX;
        while let Some(handle) = self.keyspace.ephemerals.first(id) {
            let key_length = self.keyspace.entries.get(handle).key().len();
            let Some(left) = bytes_left.checked_sub(record_bytes(key_length, 0)) else {
                return false;
            };
            bytes_left = left;
            self.remove(handle, RecordKind::Expire, &mut effects.records);
        }
        loop {
            let hold = self.holdings.sessions.slab[place].holds.first;
            if hold == NONE {
                return true;
            }
            let lock = self.holdings.locks.holds[hold].lock;
            let end_bytes = hold_end_bytes(self.holdings.locks.name(lock).len());
            let Some(left) = bytes_left.checked_sub(end_bytes) else {
                return false;
            };
            bytes_left = left;
            freed.push(lock);
            self.end_hold(hold, effects);
        }
    }

    /// Ends a wait with an answer, whose value is `detail`, and settles its lock.
    pub fn end_wait(
        &mut self,
        place: u32,
        status: Status,
        detail: &[u8],
        effects: &mut Effects<'_>,
    ) {
        let Wait { request, owner, .. } = self.holdings.locks.waits[place];
        self.answer_later(owner, request.id, refused(status, 0), detail, effects);
        let lock = self.holdings.remove_wait(place);
        self.settle(&[lock], effects);
    }

    /// Tells a session the end of an operation of an earlier frame.
    fn answer_later(
        &mut self,
        owner: u32,
        id: u32,
        end: End,
        value: &[u8],
        effects: &mut Effects<'_>,
    ) {
        let session = self.holdings.sessions.slab[owner].id;
        effects.notices.answer(session, end.head(id), value);
        effects.tally(OperationCode::Lock, end.status);
        self.gate.see_newest();
    }

    /// Grants the waits of these locks that fit, one lock after another. Locks that are empty are gone.
    pub fn settle(&mut self, locks: &[u32], effects: &mut Effects<'_>) {
        let mut stack: Vec<u32> = Vec::new();
        for &lock in locks {
            let mut freed = self.settle_one(lock, effects);
            stack.extend(freed.drain(..).rev());
            while let Some(lock) = stack.pop() {
                let mut freed = self.settle_one(lock, effects);
                stack.extend(freed.drain(..).rev());
            }
        }
    }

    /// Settles a lock up to where a session has to be ended first: then it comes again, behind the locks
    /// that this has freed. What is to be settled next.
    fn settle_one(&mut self, lock: u32, effects: &mut Effects<'_>) -> Vec<u32> {
        loop {
            let first = self.holdings.locks.get(lock).waits.first;
            if first == NONE {
                self.holdings.drop_empty(lock);
                return Vec::new();
            }
            let wait = self.holdings.locks.waits[first];
            let turn = self.turn_of(&wait);
            if matches!(turn, Turn::Waits) {
                return Vec::new();
            }
            if self.write_refusal != Status::Ok {
                self.holdings.leave_unsettled(lock);
                return Vec::new();
            }
            let is_due = self.is_session_due(wait.owner);
            if !effects.has_room() || (is_due && !effects.has_session_room()) {
                self.holdings.leave_unsettled(lock);
                self.more = true;
                return Vec::new();
            }
            if is_due {
                let mut freed = Vec::new();
                self.end_session(wait.owner, &mut freed, effects);
                freed.push(lock);
                return freed;
            }
            self.end_turn(first, &wait, turn, effects);
        }
    }

    /// Whether it is the turn of the first wait of a lock.
    fn turn_of(&self, wait: &Wait) -> Turn {
        let locks = &self.holdings.locks;
        let upgrades = wait.request.upgrades;
        if upgrades != 0 && locks.hold_of_token(wait.lock, upgrades) == NONE {
            Turn::Orphaned
        } else if locks.fits(wait.lock, &wait.request) {
            Turn::Fits
        } else {
            Turn::Waits
        }
    }

    /// Grants or refuses the first wait of a lock.
    fn end_turn(&mut self, place: u32, wait: &Wait, turn: Turn, effects: &mut Effects<'_>) {
        let Wait {
            lock,
            owner,
            request,
            ..
        } = *wait;
        let end = if matches!(turn, Turn::Orphaned) {
            refused(Status::NotHolder, self.holdings.locks.newest_token(lock))
        } else {
            let name_length = self.holdings.locks.name(lock).len();
            match self.grant_status(name_length, owner, &request) {
                Status::Ok => {
                    let hold = self.grant(lock, owner, &request, effects);
                    self.granted(hold)
                }
                status => refused(status, 0),
            }
        };
        self.answer_later(owner, request.id, end, &[], effects);
        self.holdings.remove_wait(place);
    }

    /// Whether the bounds of session and memory let a request be granted. An upgrade takes nothing more.
    pub fn grant_status(&self, name_length: usize, owner: u32, request: &Request) -> Status {
        if request.upgrades != 0 {
            Status::Ok
        } else if !self.session_takes_hold(owner, name_length) {
            Status::SessionFull
        } else if !self.memory_takes(hold_memory_bytes(name_length)) {
            Status::ResourceExhausted
        } else {
            Status::Ok
        }
    }
}
