//! The calls by which the node opens and resumes sessions.

use crate::effects::Effects;
use crate::engine::{Buffers, Engine, OUTCOME_COUNT};
use crate::generated::Status;
use crate::limits::{
    SESSION_OVERHEAD_BYTES, SESSION_SECRET_BYTES, SESSION_TTL_MS_MAX, SESSION_TTL_MS_MIN,
};
use crate::records::RecordKind;
use crate::sessions::{SESSION_VALUE_BYTES, session_of_figure};
use crate::slab::NONE;

impl Engine {
    /// Makes a session of an id that the caller has drawn. Ok, or why not.
    pub fn open_session(
        &mut self,
        id: f64,
        ttl_ms: f64,
        digest: &[u8],
        now: u64,
        buffers: Buffers<'_>,
    ) -> Status {
        let mut effects = Effects::new(buffers.records, buffers.notices, buffers.counters);
        self.begin(buffers.input);
        self.move_time(now, &mut effects);
        let status = self.open(id, ttl_ms, digest, &mut effects);
        self.finish(buffers.outcome, &effects);
        status
    }

    fn open(&mut self, id: f64, ttl_ms: f64, digest: &[u8], effects: &mut Effects<'_>) -> Status {
        let Some(id) = session_of_figure(id).filter(|&id| self.has_session(id)) else {
            return Status::InvalidArgument;
        };
        if digest.len() != SESSION_SECRET_BYTES {
            return Status::InvalidArgument;
        }
        let ttl_bounds = SESSION_TTL_MS_MIN as f64..=SESSION_TTL_MS_MAX as f64;
        if ttl_ms.fract() != 0.0 || !ttl_bounds.contains(&ttl_ms) {
            return Status::TtlOutOfRange;
        }
        let ttl_ms = ttl_ms as u64;
        if self.holdings.sessions.find(id) != NONE {
            return Status::AlreadyExists;
        }
        if self.write_refusal != Status::Ok {
            return self.write_refusal;
        }
        if !self.memory_takes(SESSION_OVERHEAD_BYTES) {
            return Status::ResourceExhausted;
        }
        let mut value = [0; SESSION_VALUE_BYTES];
        let (ttl_bytes, digest_bytes) = value.split_at_mut(8);
        ttl_bytes.copy_from_slice(&ttl_ms.to_le_bytes());
        digest_bytes.copy_from_slice(digest);
        self.record_session(RecordKind::Session, id, &value, effects);
        let Self {
            holdings,
            keyspace,
            now,
            ..
        } = self;
        let place = holdings.open_session(keyspace, id, ttl_ms, digest, *now);
        holdings.set_session_deadline(place);
        Status::Ok
    }

    /// A sign of life of a session by whoever knows its secret. Ok, with the session's time to live in the
    /// outcome, or why not.
    pub fn resume_session(
        &mut self,
        id: f64,
        digest: &[u8],
        now: u64,
        buffers: Buffers<'_>,
    ) -> Status {
        let mut effects = Effects::new(buffers.records, buffers.notices, buffers.counters);
        self.begin(buffers.input);
        self.move_time(now, &mut effects);
        let sessions = &mut self.holdings.sessions;
        let place = session_of_figure(id).map_or(NONE, |id| sessions.find(id));
        buffers.outcome[OUTCOME_COUNT] = 0.0;
        let status = if place == NONE || sessions.slab[place].is_guest {
            Status::SessionUnknown
        } else {
            let session = &mut sessions.slab[place];
            if session.digest == digest {
                session.seen = self.now;
                buffers.outcome[OUTCOME_COUNT] = session.ttl_ms as f64;
                Status::Ok
            } else {
                Status::SessionForbidden
            }
        };
        self.finish(buffers.outcome, &effects);
        status
    }
}
