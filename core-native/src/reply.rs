//! The writer of reply frames. Results and data grow in one pass: room for the results is set aside,
//! and `finish` closes what was not used. The bytes are those of `ts/wire/reply.ts`.

use crate::generated::Status;
use crate::layout::{
    DATA_OFFSET_AT, HEADER_BYTES, REPLY_HEADER, RESULT_BYTES, RESULT_COUNT, RESULT_FLAGS,
    RESULT_ID, RESULT_KEY_LENGTH, RESULT_REVISION, RESULT_STATUS, RESULT_TTL_MS,
    RESULT_VALUE_LENGTH, VECTOR_LENGTH_AT, write,
};

pub struct ReplyWriter<'a> {
    bytes: &'a mut [u8],
    count: usize,
    data_at: usize,
    data_end: usize,
}

/// The fixed part of a result; lengths are taken from what is appended with it.
#[derive(Clone, Copy)]
pub struct Head {
    pub id: u32,
    pub status: Status,
    pub flags: u8,
    pub count: u32,
    pub revision: u64,
    pub ttl_ms: u64,
}

impl<'a> ReplyWriter<'a> {
    pub fn new(bytes: &'a mut [u8], results_max: usize) -> Self {
        let data_at = HEADER_BYTES + results_max * RESULT_BYTES + 4;
        write(bytes, 0, REPLY_HEADER);
        Self {
            bytes,
            count: 0,
            data_at,
            data_end: data_at,
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of key and value for which there is still room.
    #[inline]
    pub fn data_room(&self) -> usize {
        self.bytes.len() - self.data_end
    }

    /// Results for which there is still room.
    #[inline]
    pub fn result_room(&self) -> usize {
        (self.data_at - 4 - HEADER_BYTES) / RESULT_BYTES - self.count
    }

    /// Adds a result with its key and value. The caller has seen that there is room.
    #[inline]
    pub fn result(&mut self, head: Head, key: &[u8], value: &[u8]) {
        self.append(key);
        self.append(value);
        let at = HEADER_BYTES + self.count * RESULT_BYTES;
        let bytes = &mut self.bytes[at..at + RESULT_BYTES];
        write(bytes, RESULT_ID, head.id.to_le_bytes());
        write(bytes, RESULT_STATUS, [head.status.0]);
        write(bytes, RESULT_FLAGS, [head.flags]);
        write(bytes, RESULT_KEY_LENGTH, (key.len() as u16).to_le_bytes());
        write(
            bytes,
            RESULT_VALUE_LENGTH,
            (value.len() as u32).to_le_bytes(),
        );
        write(bytes, RESULT_COUNT, head.count.to_le_bytes());
        write(bytes, RESULT_REVISION, head.revision.to_le_bytes());
        write(bytes, RESULT_TTL_MS, head.ttl_ms.to_le_bytes());
        self.count += 1;
    }

    /// Length of the frame in bytes.
    pub fn finish(self) -> usize {
        let data_bytes = self.data_end - self.data_at;
        let data_length_at = HEADER_BYTES + self.count * RESULT_BYTES;
        if data_length_at + 4 != self.data_at {
            self.bytes
                .copy_within(self.data_at..self.data_end, data_length_at + 4);
        }
        write(
            self.bytes,
            VECTOR_LENGTH_AT,
            (self.count as u32).to_le_bytes(),
        );
        write(
            self.bytes,
            DATA_OFFSET_AT,
            ((data_length_at - DATA_OFFSET_AT) as u32).to_le_bytes(),
        );
        write(
            self.bytes,
            data_length_at,
            (data_bytes as u32).to_le_bytes(),
        );
        data_length_at + 4 + data_bytes
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        let end = self.data_end + bytes.len();
        self.bytes[self.data_end..end].copy_from_slice(bytes);
        self.data_end = end;
    }
}
