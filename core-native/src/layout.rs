//! Byte positions of the hot frames, as in `ts/wire/layout.ts`. The schema (`ts/wire/rondo.fbs`) is
//! the authority: a test compares these figures with the generated code.

pub const PROTOCOL_VERSION: u16 = 1;
pub const FILE_IDENTIFIER: &[u8; 4] = b"RNDO";

// struct Operation
pub const OPERATION_BYTES: usize = 32;
pub const OPERATION_ID: usize = 0;
pub const OPERATION_CODE: usize = 4;
pub const OPERATION_FLAGS: usize = 5;
pub const OPERATION_KEY_LENGTH: usize = 6;
pub const OPERATION_VALUE_LENGTH: usize = 8;
pub const OPERATION_LIMIT: usize = 12;
pub const OPERATION_TTL_MS: usize = 16;
pub const OPERATION_EXPECTED_REVISION: usize = 24;

// struct Result
pub const RESULT_BYTES: usize = 32;
pub const RESULT_ID: usize = 0;
pub const RESULT_STATUS: usize = 4;
pub const RESULT_FLAGS: usize = 5;
pub const RESULT_KEY_LENGTH: usize = 6;
pub const RESULT_VALUE_LENGTH: usize = 8;
pub const RESULT_COUNT: usize = 12;
pub const RESULT_REVISION: usize = 16;
pub const RESULT_TTL_MS: usize = 24;

// Operation.flags
pub const CONDITION_MASK: u8 = 0b11;
pub const CONDITION_ALWAYS: u8 = 0;
pub const CONDITION_IF_ABSENT: u8 = 1;
pub const CONDITION_IF_REVISION: u8 = 2;
pub const TTL_MASK: u8 = 0b1100;
pub const TTL_SET: u8 = 0b0100;
pub const TTL_KEEP: u8 = 0b1000;
pub const FLAG_KEYS_ONLY: u8 = 0b10000;
/// The value begins with u64 token, u16 length and name of a lock.
pub const FLAG_FENCED: u8 = 0b100000;
pub const FLAG_EPHEMERAL: u8 = 0b1000000;
pub const FLAG_ONCE: u8 = 0b10000000;
/// Bytes of a fence at the head of a value, before the lock's name.
pub const FENCE_HEAD_BYTES: usize = 10;

// Operation.flags of Lock; the limit is the wait in ms.
pub const LOCK_MODE_MASK: u8 = 0b11;
pub const LOCK_EXCLUSIVE: u8 = 0;
pub const LOCK_SHARED: u8 = 1;
pub const LOCK_PERMIT: u8 = 2;
pub const FLAG_REENTRANT: u8 = 0b100;
pub const FLAG_UPGRADE: u8 = 0b1000;
pub const WAIT_NONE: u32 = 0;
pub const WAIT_FOREVER: u32 = 0xffff_ffff;

// Operation.flags of Watch; the limit has the classes of events.
pub const FLAG_WATCH_PREFIX: u8 = 0b1;
pub const OVERFLOW_MASK: u8 = 0b110;
pub const START_MASK: u8 = 0b11000;
pub const START_REVISION: u8 = 0b10000;
pub const START_POSITION: u8 = 0b11000;
pub const FLAG_WATCH_KEYS_ONLY: u8 = 0b100000;
pub const CLASS_KEYS: u32 = 0b1;
pub const CLASSES_ALL: u32 = 0b111;
/// Bytes of a resume token: u64 node, u32 partitions, u32 zero, u64 position.
pub const RESUME_BYTES: usize = 24;

// Result.flags
pub const FLAG_ENTRY: u8 = 0b01;
pub const FLAG_MORE: u8 = 0b10;

// Replies and requests are laid out front to back, always the same way: root offset, identifier, vtable,
// table Frame, then the vector of results or operations, whose elements start at HEADER_BYTES, then the
// vector `data`.
pub const VECTOR_LENGTH_AT: usize = 36;
pub const DATA_OFFSET_AT: usize = 28;
const KIND_AT: usize = 32;
pub const HEADER_BYTES: usize = 40;

/// The constant part of a reply; vector length and data offset are zero.
pub const REPLY_HEADER: [u8; HEADER_BYTES] = [
    20, 0, 0, 0, // root table
    b'R', b'N', b'D', b'O', // identifier
    12, 0, 16, 0, // vtable: its length, the table's
    12, 0, 0, 0, 4, 0, 8, 0, // fields: kind, operations (absent), results, data
    12, 0, 0, 0, // table: back to the vtable
    12, 0, 0, 0, // results
    0, 0, 0, 0, // data
    4, 0, 0, 0, // kind = Reply
    0, 0, 0, 0, // results: length
];

/// The same of a request.
pub const REQUEST_HEADER: [u8; HEADER_BYTES] = {
    let mut header = REPLY_HEADER;
    // fields: operations in place of results
    header[14] = 4;
    header[16] = 0;
    header[KIND_AT] = 3; // kind = Request
    header
};

/// Four bytes at `at`, little-endian.
#[inline(always)]
pub fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Two bytes at `at`, little-endian.
#[inline(always)]
pub fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Eight bytes at `at`, little-endian.
#[inline(always)]
pub fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Writes `field` at `at`.
#[inline(always)]
pub fn write<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}
