//! Guests: sessions whose home is another engine. They are known here by their id alone, and end when the
//! node says so; `ts/engine/workers.ts` has their part of the contract.

use crate::effects::Effects;
use crate::engine::{Buffers, Engine};
use crate::generated::Status;
use crate::sessions::session_of_figure;
use crate::slab::NONE;

impl Engine {
    /// Makes a session of another engine known here. Ok, or why not.
    pub fn admit_session(&mut self, id: f64) -> Status {
        match session_of_figure(id) {
            Some(id) if !self.has_session(id) => {
                let sessions = &mut self.holdings.sessions;
                let place = sessions.admit(id);
                if sessions.slab[place].is_ending {
                    Status::SessionUnknown
                } else {
                    Status::Ok
                }
            }
            _ => Status::InvalidArgument,
        }
    }

    /// Ends a guest with all that it has here. Ok, also where there is none; or why not.
    pub fn end_guest(&mut self, id: f64, now: u64, buffers: Buffers<'_>) -> Status {
        let mut effects = Effects::new(buffers.records, buffers.notices, buffers.counters);
        self.begin(buffers.input);
        self.begin_step(now);
        let sessions = &self.holdings.sessions;
        let place = session_of_figure(id).map_or(NONE, |id| sessions.find(id));
        let status = if place == NONE {
            Status::Ok
        } else if !sessions.slab[place].is_guest {
            Status::InvalidArgument
        } else {
            let is_ending = sessions.slab[place].is_ending;
            if self.write_refusal == Status::Ok && !is_ending {
                self.expire_session(place, &mut effects);
            }
            self.more |= self.write_refusal == Status::Ok && is_ending;
            self.write_refusal
        };
        self.finish(buffers.outcome, &effects);
        status
    }

    /// Ids of all guests, and of sessions of this engine that are not there but have left something, ascending.
    pub fn guests(&self) -> Vec<u64> {
        self.holdings.sessions.guests()
    }

    /// Moves time on for a step that wants all the room that a call has: due work is left to the next one.
    pub fn begin_step(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.more = false;
    }
}
