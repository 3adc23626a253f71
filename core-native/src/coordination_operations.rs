//! The operations on sessions, locks and watches, in the order of checks that `ts/engine/coordination.ts`
//! gives. Grants and ends themselves are in `settling`.

use crate::deadlock::{Asker, find_cycle};
use crate::effects::{End, Full, Output, done, refused};
use crate::engine::Engine;
use crate::generated::{OperationCode, Status};
use crate::holdings::Holdings;
use crate::holds::Request;
use crate::layout::{
    FLAG_REENTRANT, FLAG_UPGRADE, LOCK_EXCLUSIVE, LOCK_MODE_MASK, LOCK_SHARED, WAIT_FOREVER,
    WAIT_NONE,
};
use crate::limits::{LOCK_DEPTH_MAX, SESSION_WAITS_MAX};
use crate::lock_list::list_locks;
use crate::notices::notice_bytes;
use crate::operation::Operation;
use crate::scan::scan_fits;
use crate::slab::NONE;

/// What becomes of a request for a lock.
enum Asked {
    Ended(End),
    /// It waits, and has no result in this reply.
    Waits,
    /// It would close the cycle that the text names.
    Deadlock(Vec<u8>),
}

impl Engine {
    /// Executes an operation that is not on keys and has passed its check.
    pub fn coordinate(
        &mut self,
        operation: &Operation<'_>,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Full> {
        match operation.code {
            OperationCode::Watch | OperationCode::Unwatch => {
                return request(operation, bytes, output);
            }
            OperationCode::ListLocks => return self.list_locks(operation, output),
            OperationCode::EndSession if !output.effects.has_session_room() => return Err(Full),
            OperationCode::Renew | OperationCode::EndSession => {}
            _ if !output.effects.has_room() => return Err(Full),
            _ => {}
        }
        let owner = match self.require_session() {
            Ok(owner) => owner,
            Err(status) => {
                output.end(operation, refused(status, 0), &[]);
                return Ok(());
            }
        };
        if let Some(answer) = self.answer_again(operation, output) {
            return answer;
        }
        let end = match operation.code {
            OperationCode::Renew => {
                self.see_session();
                done(0, self.holdings.sessions.slab[owner].ttl_ms)
            }
            OperationCode::Lock => match self.lock(operation, owner, output)? {
                Asked::Ended(end) => end,
                Asked::Waits => return Ok(()),
                Asked::Deadlock(text) => {
                    output.end(operation, refused(Status::Deadlock, 0), &text);
                    return Ok(());
                }
            },
            OperationCode::CancelLock => self.cancel(operation, owner, output),
            _ if self.write_refusal != Status::Ok => refused(self.write_refusal, 0),
            OperationCode::EndSession => {
                self.expire_session(owner, &mut output.effects);
                done(0, 0)
            }
            _ => self.change(operation, output),
        };
        output.end(operation, end, &[]);
        Ok(())
    }

    fn list_locks(
        &mut self,
        operation: &Operation<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), Full> {
        if !scan_fits(operation, &output.reply, self.value_bytes_max) {
            return Err(Full);
        }
        list_locks(&self.holdings, operation, &mut output.reply);
        self.gate.see_newest();
        output.effects.tally(operation.code, Status::Ok);
        Ok(())
    }

    /// The operation has seen the newest record of the partition of its lock.
    fn see_lock(&mut self, operation: &Operation<'_>) {
        if self.gate.watching() && !operation.key.is_empty() {
            self.see_partition(self.partition_of(operation.key));
        }
    }

    /// The end of an operation that leaves its session with this hold.
    pub fn granted(&self, hold: u32) -> End {
        let hold = &self.holdings.locks.holds[hold];
        End {
            count: u32::from(hold.grant.depth),
            ..done(hold.token, self.ms_until(hold.grant.lease))
        }
    }

    fn lock(
        &mut self,
        operation: &Operation<'_>,
        owner: u32,
        output: &mut Output<'_>,
    ) -> Result<Asked, Full> {
        let Operation { flags, key, .. } = *operation;
        let lock = self.holdings.locks.find(key);
        if let Some(asked) = self.asked_before(lock, operation.id, owner) {
            self.see_lock(operation);
            return Ok(asked);
        }
        if self.write_refusal != Status::Ok {
            return Ok(Asked::Ended(refused(self.write_refusal, 0)));
        }
        self.see_lock(operation);
        if flags & FLAG_REENTRANT != 0
            && let Some(end) = self.reenter(lock, owner, flags & LOCK_MODE_MASK, output)
        {
            return Ok(Asked::Ended(end));
        }

        let is_upgrade = flags & FLAG_UPGRADE != 0;
        let request = Request {
            id: operation.id,
            mode: flags & LOCK_MODE_MASK,
            permits: operation.expected_revision,
            lease_ms: operation.ttl_ms,
            upgrades: if is_upgrade {
                operation.expected_revision
            } else {
                0
            },
        };
        if is_upgrade && let Some(end) = self.upgrade(lock, &request) {
            return Ok(Asked::Ended(end));
        }
        self.grant_or_wait(operation, lock, request, owner, output)
    }

    /// What has become of a request that the frame's session has sent before, if it has.
    fn asked_before(&self, lock: u32, id: u32, owner: u32) -> Option<Asked> {
        if lock == NONE {
            return None;
        }
        let locks = &self.holdings.locks;
        let hold = locks.hold_of_request(lock, self.session, id);
        if hold != NONE {
            return Some(Asked::Ended(self.granted(hold)));
        }
        let wait = locks.wait_of_request(lock, owner, self.session, id);
        (wait != NONE).then_some(Asked::Waits)
    }

    /// Takes a hold of the session over again, where it has one that covers the request.
    fn reenter(&mut self, lock: u32, owner: u32, mode: u8, output: &mut Output<'_>) -> Option<End> {
        if lock == NONE {
            return None;
        }
        let held = self.holdings.sessions.slab[owner].holds;
        let locks = &self.holdings.locks;
        let hold = locks.covering_hold(lock, self.session, held, mode);
        if hold == NONE {
            return None;
        }
        let grant = self.holdings.locks.holds[hold].grant;
        if grant.depth == LOCK_DEPTH_MAX {
            return Some(refused(Status::ResourceExhausted, 0));
        }
        self.holdings
            .change_hold(hold, grant.depth + 1, grant.mode, grant.lease);
        self.record_hold(hold, &mut output.effects);
        Some(self.granted(hold))
    }

    /// The end of an upgrade that neither can be granted at once nor may wait.
    fn upgrade(&self, lock: u32, request: &Request) -> Option<End> {
        let hold = self.hold_of_session(lock, request.upgrades);
        if hold == NONE {
            return Some(self.not_holder(lock));
        }
        let locks = &self.holdings.locks;
        let mode = locks.holds[hold].grant.mode;
        if mode == LOCK_EXCLUSIVE {
            return Some(self.granted(hold));
        }
        if mode != LOCK_SHARED {
            return Some(self.not_holder(lock));
        }
        let first = locks.get(lock).waits.first;
        let other_waits = first != NONE && locks.waits[first].request.upgrades != 0;
        other_waits.then(|| refused(Status::UpgradeConflict, 0))
    }

    /// Steps f (its end) to j of a request for a lock, which is NONE where it is not there.
    fn grant_or_wait(
        &mut self,
        operation: &Operation<'_>,
        lock: u32,
        request: Request,
        owner: u32,
        output: &mut Output<'_>,
    ) -> Result<Asked, Full> {
        let ended = |status| Ok(Asked::Ended(refused(status, 0)));
        let fits = lock == NONE || {
            let locks = &self.holdings.locks;
            let is_first = request.upgrades != 0 || locks.get(lock).waits.is_empty();
            is_first && locks.fits(lock, &request)
        };
        let name_length = operation.key.len();
        if fits {
            let status = self.grant_status(name_length, owner, &request);
            if status != Status::Ok {
                return ended(status);
            }
            let lock = self.lock_of(operation.key, lock);
            let hold = self.grant(lock, owner, &request, &mut output.effects);
            return Ok(Asked::Ended(self.granted(hold)));
        }

        let wait_ms = operation.limit as u32;
        if wait_ms == WAIT_NONE {
            let newest = self.holdings.locks.newest_token(lock);
            return Ok(Asked::Ended(refused(Status::LockHeld, newest)));
        }
        if request.upgrades == 0 && !self.session_takes_hold(owner, name_length) {
            return ended(Status::SessionFull);
        }
        let session = &self.holdings.sessions.slab[owner];
        if session.waits.count as usize >= SESSION_WAITS_MAX {
            return ended(Status::ResourceExhausted);
        }
        let asker = Asker {
            place: owner,
            lock,
            mode: request.mode,
            is_upgrade: request.upgrades != 0,
        };
        let Holdings {
            sessions,
            locks,
            deadlock_notes,
            ..
        } = &mut self.holdings;
        if let Some(text) = find_cycle(sessions, locks, deadlock_notes, asker) {
            if output.reply.data_room() < text.len() {
                return Err(Full);
            }
            return Ok(Asked::Deadlock(text));
        }
        let deadline = if wait_ms == WAIT_FOREVER {
            0
        } else {
            self.time_after(u64::from(wait_ms))
        };
        self.holdings
            .add_wait(lock, request, owner, self.now, deadline);
        Ok(Asked::Waits)
    }

    /// The lock of a name, which is made where `lock` is NONE.
    fn lock_of(&mut self, name: &[u8], lock: u32) -> u32 {
        if lock != NONE {
            return lock;
        }
        let partition = self.partition_of(name);
        self.holdings.locks.find_or_add(name, partition)
    }

    /// Unlock, Downgrade and Extend.
    fn change(&mut self, operation: &Operation<'_>, output: &mut Output<'_>) -> End {
        self.see_lock(operation);
        let lock = self.holdings.locks.find(operation.key);
        let hold = self.hold_of_session(lock, operation.expected_revision);
        if hold == NONE {
            return self.not_holder(lock);
        }
        let end = match operation.code {
            OperationCode::Unlock => self.unlock(lock, hold, output),
            OperationCode::Extend => {
                let grant = self.holdings.locks.holds[hold].grant;
                let lease = self.lease_after(operation.ttl_ms);
                self.holdings
                    .change_hold(hold, grant.depth, grant.mode, lease);
                self.record_hold(hold, &mut output.effects);
                self.granted(hold)
            }
            _ => {
                let grant = self.holdings.locks.holds[hold].grant;
                if grant.mode == LOCK_SHARED {
                    return self.granted(hold);
                }
                if grant.mode != LOCK_EXCLUSIVE {
                    return refused(Status::InvalidArgument, 0);
                }
                self.holdings
                    .change_hold(hold, grant.depth, LOCK_SHARED, grant.lease);
                self.record_hold(hold, &mut output.effects);
                let end = self.granted(hold);
                self.settle(&[lock], &mut output.effects);
                end
            }
        };
        self.remember(operation, end, &[]);
        end
    }

    fn unlock(&mut self, lock: u32, hold: u32, output: &mut Output<'_>) -> End {
        let grant = self.holdings.locks.holds[hold].grant;
        let depth = grant.depth - 1;
        let revision = if depth > 0 {
            self.holdings
                .change_hold(hold, depth, grant.mode, grant.lease);
            self.record_hold(hold, &mut output.effects)
        } else {
            let revision = self.end_hold(hold, &mut output.effects);
            self.settle(&[lock], &mut output.effects);
            revision
        };
        End {
            count: u32::from(depth),
            ..done(revision, 0)
        }
    }

    fn cancel(&mut self, operation: &Operation<'_>, owner: u32, output: &mut Output<'_>) -> End {
        self.see_lock(operation);
        let locks = &self.holdings.locks;
        let lock = locks.find(operation.key);
        let Ok(id) = u32::try_from(operation.expected_revision) else {
            return refused(Status::NotFound, 0);
        };
        if lock == NONE {
            return refused(Status::NotFound, 0);
        }
        let wait = locks.wait_of_request(lock, owner, self.session, id);
        if wait != NONE {
            self.end_wait(wait, Status::LockCancelled, &[], &mut output.effects);
            return done(0, 0);
        }
        match locks.hold_of_request(lock, self.session, id) {
            NONE => refused(Status::NotFound, 0),
            hold => refused(Status::AlreadyExists, locks.holds[hold].token),
        }
    }

    /// The hold of a token that is the frame's session's; NONE where there is none.
    fn hold_of_session(&self, lock: u32, token: u64) -> u32 {
        if lock == NONE {
            return NONE;
        }
        let locks = &self.holdings.locks;
        let hold = locks.hold_of_token(lock, token);
        if hold == NONE || locks.holds[hold].grant.session != self.session {
            return NONE;
        }
        hold
    }

    fn not_holder(&self, lock: u32) -> End {
        refused(Status::NotHolder, self.holdings.locks.newest_token(lock))
    }
}

/// Leaves an operation to the node.
fn request(operation: &Operation<'_>, bytes: &[u8], output: &mut Output<'_>) -> Result<(), Full> {
    let Operation { key, value, .. } = *operation;
    if output.effects.notices.room() < notice_bytes(key.len() + value.len()) {
        return Err(Full);
    }
    output.effects.notices.request(bytes, key, value);
    Ok(())
}
