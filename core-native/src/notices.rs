//! The writer of the notices: what an engine tells the node beside a reply. `ts/engine/coordination.ts`
//! has their layout.

use crate::generated::Status;
use crate::layout::{
    OPERATION_BYTES, RESULT_BYTES, RESULT_COUNT, RESULT_FLAGS, RESULT_ID, RESULT_KEY_LENGTH,
    RESULT_REVISION, RESULT_STATUS, RESULT_TTL_MS, RESULT_VALUE_LENGTH, write,
};
use crate::reply::Head;

/// An answer to an operation that a session sent in an earlier frame.
const NOTICE_ANSWER: u8 = 1;
/// A session has ended.
const NOTICE_SESSION_ENDED: u8 = 2;
/// An operation of the frame that the node carries out.
const NOTICE_REQUEST: u8 = 3;
/// Whom a session waits for.
const NOTICE_BLOCKER: u8 = 4;
/// Flag of a blocker that only waits before the one that waits for it.
const FLAG_WAITS: u8 = 1;

const KIND_AT: usize = 4;
const SESSION_AT: usize = 8;
const STRUCT_AT: usize = 16;
/// Where key and value stand; bytes of a notice without them.
pub const NOTICE_DATA_AT: usize = 48;

pub struct NoticeWriter<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

/// Bytes of a notice with so many bytes of key and value.
pub fn notice_bytes(data_length: usize) -> usize {
    NOTICE_DATA_AT + data_length.next_multiple_of(8)
}

impl<'a> NoticeWriter<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, length: 0 }
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// Drops all notices.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    pub fn room(&self) -> usize {
        self.bytes.len() - self.length
    }

    // The caller of each has seen that there is room.

    pub fn answer(&mut self, session: u64, head: Head, value: &[u8]) {
        self.result(NOTICE_ANSWER, session, head, &[], value);
    }

    /// `session` waits for the lock of this name since then, with the operation `id`, because of another
    /// session, which holds it or only waits before.
    pub fn blocker(
        &mut self,
        session: u64,
        (id, since): (u32, u64),
        name: &[u8],
        (other, is_held): (u64, bool),
    ) {
        let head = Head {
            id,
            status: Status::Ok,
            flags: if is_held { 0 } else { FLAG_WAITS },
            count: 0,
            revision: other,
            ttl_ms: since,
        };
        self.result(NOTICE_BLOCKER, session, head, name, &[]);
    }

    pub fn session_ended(&mut self, session: u64) {
        self.begin(NOTICE_SESSION_ENDED, session, &[], &[]);
    }

    /// `operation` is a struct of OPERATION_BYTES.
    pub fn request(&mut self, operation: &[u8], key: &[u8], value: &[u8]) {
        let bytes = self.begin(NOTICE_REQUEST, 0, key, value);
        bytes[STRUCT_AT..STRUCT_AT + OPERATION_BYTES].copy_from_slice(operation);
    }

    /// Adds a notice whose struct is a result.
    fn result(&mut self, kind: u8, session: u64, head: Head, key: &[u8], value: &[u8]) {
        let bytes = self.begin(kind, session, key, value);
        let result = &mut bytes[STRUCT_AT..NOTICE_DATA_AT];
        write(result, RESULT_ID, head.id.to_le_bytes());
        write(result, RESULT_STATUS, [head.status.0]);
        write(result, RESULT_FLAGS, [head.flags]);
        write(result, RESULT_KEY_LENGTH, (key.len() as u16).to_le_bytes());
        let value_length = value.len() as u32;
        write(result, RESULT_VALUE_LENGTH, value_length.to_le_bytes());
        write(result, RESULT_COUNT, head.count.to_le_bytes());
        write(result, RESULT_REVISION, head.revision.to_le_bytes());
        write(result, RESULT_TTL_MS, head.ttl_ms.to_le_bytes());
    }

    /// Adds a notice whose struct is zeros; its bytes.
    fn begin(&mut self, kind: u8, session: u64, key: &[u8], value: &[u8]) -> &mut [u8] {
        const { assert!(STRUCT_AT + RESULT_BYTES == NOTICE_DATA_AT) };
        let total = notice_bytes(key.len() + value.len());
        let bytes = &mut self.bytes[self.length..self.length + total];
        self.length += total;
        bytes[..NOTICE_DATA_AT].fill(0);
        write(bytes, 0, (total as u32).to_le_bytes());
        write(bytes, KIND_AT, [kind]);
        write(bytes, SESSION_AT, session.to_le_bytes());
        let value_at = NOTICE_DATA_AT + key.len();
        let end = value_at + value.len();
        bytes[NOTICE_DATA_AT..value_at].copy_from_slice(key);
        bytes[value_at..end].copy_from_slice(value);
        bytes[end..].fill(0);
        bytes
    }
}
