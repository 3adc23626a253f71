//! What stands around a write with one of the flags `fenced`, `ephemeral` and `once`: whether its session
//! is there, an answer that is remembered, and whether its fence lets it pass.

use crate::answers::{Answer, Answers};
use crate::effects::{Effects, End, Full, Output, done, refused};
use crate::engine::Engine;
use crate::fences::{Fence, FenceKey};
use crate::generated::Status;
use crate::holdings::fence_memory_bytes;
use crate::limits::SESSION_END_BYTES_MAX;
use crate::operation::Operation;
use crate::records::{Record, RecordKind, record_bytes};
use crate::sessions::{is_session, session_text};
use crate::slab::NONE;

impl Engine {
    /// Takes in whose frame is executed, which is a sign of life of its session.
    #[inline]
    pub fn enter_session(&mut self, session: f64) {
        self.session = session as u64;
        self.session_place = NONE;
        if self.session != 0 {
            self.renew_session();
        }
    }

    fn renew_session(&mut self) {
        let sessions = &mut self.holdings.sessions;
        let place = sessions.find(self.session);
        if place != NONE && !sessions.slab[place].is_ending {
            sessions.slab[place].seen = self.now;
            self.session_place = place;
        }
    }

    /// Whether sessions of this id are this engine's.
    pub fn has_session(&self, id: u64) -> bool {
        let partition = self.partition_of(&session_text(id));
        let routing = self.routing.as_ref();
        routing.is_none_or(|routing| routing.has(partition))
    }

    /// The place of the frame's session, or why it has none.
    pub fn require_session(&mut self) -> Result<u32, Status> {
        if self.session == 0 {
            return Err(Status::SessionRequired);
        }
        if self.session_place == NONE {
            self.see_session();
            return Err(Status::SessionUnknown);
        }
        Ok(self.session_place)
    }

    /// The operation has seen the newest record of the partition of the frame's session.
    pub fn see_session(&mut self) {
        if is_session(self.session) {
            self.see_partition(self.partition_of(&session_text(self.session)));
        }
    }

    /// The operation has seen the newest record of a partition.
    pub fn see_partition(&mut self, partition: usize) {
        if self.gate.watching() {
            let revision = self.keyspace.revision_of(partition);
            self.gate.see(partition, revision);
        }
    }

    /// The answer to a write that its session refuses or remembers; `None` where it is to be done.
    #[cold]
    pub fn answer_guarded(
        &mut self,
        operation: &Operation<'_>,
        output: &mut Output<'_>,
    ) -> Option<Result<(), Full>> {
        if !operation.is_ephemeral() && !operation.is_once() {
            return None;
        }
        match self.require_session() {
            Ok(_) => self.answer_again(operation, output),
            Err(status) => {
                output.end(operation, refused(status, 0), &[]);
                Some(Ok(()))
            }
        }
    }

    /// Answers an operation that the frame's session remembers the answer to; `None` where it does not.
    pub fn answer_again(
        &mut self,
        operation: &Operation<'_>,
        output: &mut Output<'_>,
    ) -> Option<Result<(), Full>> {
        if !operation.is_once() {
            return None;
        }
        let session = &self.holdings.sessions.slab[self.session_place];
        let answer = session.answers.as_ref()?.get(operation.id)?;
        if output.reply.data_room() < answer.value.len() {
            return Some(Err(Full));
        }
        let end = End {
            count: answer.count,
            ..done(answer.revision, answer.ttl_ms)
        };
        output.end(operation, end, &answer.value);
        self.gate.see_append(answer.append);
        Some(Ok(()))
    }

    /// Remembers the answer to an operation with the flag `once` that has made a record of its own.
    #[cold]
    pub fn remember(&mut self, operation: &Operation<'_>, end: End, value: &[u8]) {
        if !operation.is_once() || end.status != Status::Ok || self.session_place == NONE {
            return;
        }
        let answer = Answer {
            revision: end.revision,
            count: end.count,
            ttl_ms: end.ttl_ms,
            value: value.into(),
            append: self.gate.appends() + 1,
        };
        let session = &mut self.holdings.sessions.slab[self.session_place];
        let answers = session.answers.get_or_insert_with(Box::<Answers>::default);
        answers.remember(operation.id, answer);
    }

    /// Whether the frame's session may have this key as an ephemeral one.
    #[cold]
    pub fn session_takes_key(&self, key: &[u8], handle: Option<u32>) -> bool {
        let present = handle.and_then(|handle| {
            let entry = self.keyspace.entries.get(handle);
            self.keyspace.ephemerals.session_at(entry.expiry_at())
        });
        if present == Some(self.session) || self.session_place == NONE {
            return true;
        }
        self.session_end_bytes(self.session_place) + record_bytes(key.len(), 0)
            <= SESSION_END_BYTES_MAX
    }

    /// Whether the fence of a write to a key lets it pass; a token higher than was seen is noted.
    #[cold]
    pub fn pass_fence(
        &mut self,
        key: &[u8],
        handle: Option<u32>,
        fence: Fence<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), End> {
        let Fence { token, name } = fence;
        let partition = match handle {
            Some(handle) => self.keyspace.entries.get(handle).partition(),
            None => self.partition_of(key),
        };
        let of_lock = self.partition_of(name);
        let locks = &self.holdings.locks;
        if of_lock == partition {
            let lock = locks.find(name);
            if lock != NONE && locks.hold_of_token(lock, token) != NONE {
                return Ok(());
            }
            let newest = locks.newest_token(lock);
            return Err(self.fenced(newest));
        }

        let fence_key = FenceKey::new(name, partition);
        let fence_key = fence_key.as_bytes();
        let hashing = self.holdings.hashing;
        let seen = self.holdings.fences.token(hashing, fence_key);
        if seen > token {
            return Err(self.fenced(seen));
        }
        if token > self.newest_revision(of_lock) {
            return Err(self.fenced(0));
        }
        if token > seen {
            if seen == 0 && !self.memory_takes(fence_memory_bytes(name.len())) {
                let present = self.revision_at(handle);
                return Err(refused(Status::ResourceExhausted, present));
            }
            self.note_fence(fence_key, partition, token, effects);
        }
        Ok(())
    }

    /// The newest revision of a partition, whosever it is.
    fn newest_revision(&self, partition: usize) -> u64 {
        match &self.routing {
            Some(routing) if !routing.has(partition) => routing.newest(partition),
            _ => self.keyspace.revision_of(partition),
        }
    }

    fn note_fence(&mut self, key: &[u8], partition: usize, token: u64, effects: &mut Effects<'_>) {
        let revision = self.next_record(partition);
        effects.records.append(Record {
            kind: RecordKind::Fence,
            flags: 0,
            back: 0,
            partition,
            revision,
            time: self.now,
            expires_at: 0,
            key,
            value: &token.to_le_bytes(),
        });
        self.holdings.note_fence(&mut self.keyspace, key, token);
    }

    fn fenced(&mut self, revision: u64) -> End {
        self.gate.see_newest();
        refused(Status::Fenced, revision)
    }
}
