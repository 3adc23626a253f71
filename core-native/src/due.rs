//! Due work: what time alone brings about. Sessions end, leases of holds run out, waits time out; and
//! locks that were left unsettled for want of room are settled. Each step only where what it makes has
//! room for certain.

use crate::deadlines::{Deadline, Present, TARGETS, Target};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::generated::Status;
use crate::limits::SESSION_END_BYTES_MAX;
use crate::sessions::session_end_bytes;
use crate::slab::NONE;

/// Steps of due work in one call.
pub const DUE_PER_CALL_MAX: usize = 1024;
/// Room that a step of due work wants: of records beside SESSION_END_BYTES_MAX, and of notices.
pub const DUE_SESSION_ROOM_BYTES: usize = 64 * 1024;
pub const DUE_ROOM_BYTES: usize = 16 * 1024;

impl Effects<'_> {
    /// Whether there is room for a step that is no end of a session.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.records.room() >= DUE_ROOM_BYTES && self.notices.room() >= DUE_ROOM_BYTES
    }

    /// Whether there is room for the end of a session and what settling may add.
    pub fn has_session_room(&self) -> bool {
        let records = SESSION_END_BYTES_MAX + session_end_bytes() + DUE_SESSION_ROOM_BYTES;
        self.records.room() >= records && self.notices.room() >= DUE_SESSION_ROOM_BYTES
    }
}

impl Engine {
    /// Moves time on to `now` and does what is due by then.
    #[inline]
    pub fn move_time(&mut self, now: u64, effects: &mut Effects<'_>) {
        self.now = self.now.max(now);
        self.more = false;
        if self.now >= self.holdings.wake_at {
            self.wake(effects);
        }
    }

    #[cold]
    fn wake(&mut self, effects: &mut Effects<'_>) {
        self.greet_newcomers();
        if self.write_refusal == Status::Ok {
            self.go_on_ending(effects);
            self.settle_unsettled(effects);
        }
        self.do_due(effects);
        self.holdings.plan_wake();
    }

    /// The call is a sign of life of sessions that came by `fold` or `restore`.
    fn greet_newcomers(&mut self) {
        for place in std::mem::take(&mut self.holdings.sessions.newcomers) {
            self.holdings.sessions.slab[place].seen = self.now;
            self.holdings.set_session_deadline(place);
        }
    }

    /// Takes the next step of an end that an earlier call has begun: the first of a call, so that it has room.
    fn go_on_ending(&mut self, effects: &mut Effects<'_>) {
        let place = self.holdings.first_ending();
        if place != NONE {
            self.expire_session(place, effects);
            self.more |= self.holdings.first_ending() != NONE;
        }
    }

    fn settle_unsettled(&mut self, effects: &mut Effects<'_>) {
        let unsettled = std::mem::take(&mut self.holdings.unsettled);
        for &lock in &unsettled {
            self.holdings.locks.get_mut(lock).is_unsettled = false;
        }
        self.settle(&unsettled, effects);
    }

    fn do_due(&mut self, effects: &mut Effects<'_>) {
        let mut steps = 0;
        while let Some(deadline) = self.first_due() {
            let has_room = if deadline.target == Target::Session {
                effects.has_session_room()
            } else {
                effects.has_room()
            };
            if !has_room || steps == DUE_PER_CALL_MAX {
                self.more = true;
                return;
            }
            steps += 1;
            self.holdings.deadlines.drop_first(deadline.target);
            match deadline.target {
                Target::Session => self.expire_session(deadline.place, effects),
                Target::Hold => self.expire_hold(deadline.place, effects),
                Target::Wait => self.end_wait(deadline.place, Status::LockTimeout, &[], effects),
            }
        }
    }

    /// The deadline that is due first. While writes are refused only waits are due.
    fn first_due(&mut self) -> Option<Deadline> {
        let targets = if self.write_refusal == Status::Ok {
            &TARGETS[..]
        } else {
            &[Target::Wait]
        };
        let mut first: Option<Deadline> = None;
        for &target in targets {
            // The order of deadlines is reversed: the greater one comes first.
            first = first.max(self.first_due_of(target));
        }
        first
    }

    /// The first deadline of a target that stands; those before it that have moved are set again.
    fn first_due_of(&mut self, target: Target) -> Option<Deadline> {
        while let Some(deadline) = self.holdings.deadlines.peek(target, self.now) {
            let present = self.holdings.present_of(&deadline);
            if present == Present::Stands {
                return Some(deadline);
            }
            self.holdings.deadlines.drop_first(target);
            if present == Present::Moved {
                self.holdings.set_again(&deadline);
            }
        }
        None
    }
}
