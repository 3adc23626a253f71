//! Effect records: what a write did, never what was asked. State is the fold of these, so their layout
//! can never change once released; new kinds are added. Little-endian, a multiple of 8 bytes:
//!
//! ```text
//!  0  u32 value length       16  u64 revision (of the partition)
//!  4  u16 key length         24  u64 time of the effect, ms since 1970
//!  6  u8  kind               32  u64 expiry, ms since 1970; 0 = never
//!  7  u8  zero               40  key, value, zero padding to 8
//!  8  u32 partition
//! 12  u32 zero
//! ```

use crate::layout::{read_u16, read_u32, read_u64, write};
use crate::limits::{INTEGER_LIMIT, KEY_BYTES_MAX, VALUE_BYTES_CONFIGURABLE_MAX};

pub const RECORD_HEADER_BYTES: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// The key has this value and expiry.
    Put = 1,
    /// The key was deleted.
    Delete = 2,
    /// The key's time to live ran out.
    Expire = 3,
    /// The key has this expiry; the value stays.
    Touch = 4,
}

/// One record, borrowed from where it is made or read.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub kind: RecordKind,
    pub partition: usize,
    pub revision: u64,
    pub time: u64,
    pub expires_at: u64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Bytes of a record.
#[inline]
pub fn record_bytes(key_length: usize, value_length: usize) -> usize {
    RECORD_HEADER_BYTES + (key_length + value_length).next_multiple_of(8)
}

/// Writes records one after another into a buffer.
pub struct RecordWriter<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl<'a> RecordWriter<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, length: 0 }
    }

    #[inline]
    pub fn length(&self) -> usize {
        self.length
    }

    #[inline]
    pub fn room(&self) -> usize {
        self.bytes.len() - self.length
    }

    /// The caller has seen that there is room.
    #[inline]
    pub fn append(&mut self, record: Record<'_>) {
        let Record { key, value, .. } = record;
        let total = record_bytes(key.len(), value.len());
        let bytes = &mut self.bytes[self.length..self.length + total];
        write(bytes, 0, (value.len() as u32).to_le_bytes());
        write(bytes, 4, (key.len() as u16).to_le_bytes());
        write(bytes, 6, [record.kind as u8, 0]);
        write(bytes, 8, (record.partition as u32).to_le_bytes());
        write(bytes, 12, [0; 4]);
        write(bytes, 16, record.revision.to_le_bytes());
        write(bytes, 24, record.time.to_le_bytes());
        write(bytes, 32, record.expires_at.to_le_bytes());
        let value_at = RECORD_HEADER_BYTES + key.len();
        let end = value_at + value.len();
        bytes[RECORD_HEADER_BYTES..value_at].copy_from_slice(key);
        bytes[value_at..end].copy_from_slice(value);
        bytes[end..].fill(0);
        self.length += total;
    }
}

/// The record at the head of `bytes` and the bytes after it, or `None` where that is not a whole,
/// valid one.
pub fn read_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    let value_length = read_u32(header, 0) as usize;
    let key_length = usize::from(read_u16(header, 4));
    if key_length == 0 || key_length > KEY_BYTES_MAX || value_length > VALUE_BYTES_CONFIGURABLE_MAX
    {
        return None;
    }
    let body = bytes.get(RECORD_HEADER_BYTES..record_bytes(key_length, value_length))?;
    let (key, rest) = body.split_at_checked(key_length)?;
    let (value, padding) = rest.split_at_checked(value_length)?;

    let kind = match header[6] {
        1 => RecordKind::Put,
        2 => RecordKind::Delete,
        3 => RecordKind::Expire,
        4 => RecordKind::Touch,
        _ => return None,
    };
    let record = Record {
        kind,
        partition: read_u32(header, 8) as usize,
        revision: read_u64(header, 16),
        time: read_u64(header, 24),
        expires_at: read_u64(header, 32),
        key,
        value,
    };
    let carries_expiry = matches!(kind, RecordKind::Put | RecordKind::Touch);
    let valid = (kind == RecordKind::Put || value.is_empty())
        && (carries_expiry || record.expires_at == 0)
        && header[7] == 0
        && read_u32(header, 12) == 0
        && record.revision < INTEGER_LIMIT
        && record.time < INTEGER_LIMIT
        && record.expires_at < INTEGER_LIMIT
        && padding.iter().all(|&byte| byte == 0);
    let rest = bytes.get(RECORD_HEADER_BYTES + body.len()..)?;
    valid.then_some((record, rest))
}

/// The key of the record at the head of `bytes`, which is whole, and the bytes after that record.
#[inline]
pub fn key_at(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    let key_length = usize::from(read_u16(header, 4));
    let key = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + key_length)?;
    let rest = bytes.get(record_bytes(key_length, read_u32(header, 0) as usize)..)?;
    Some((key, rest))
}
