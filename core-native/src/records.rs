//! Effect records: what a write did, never what was asked. `ts/engine/records.ts` describes their bytes;
//! they can never change once released. New kinds are added.

use crate::layout::{read_u16, read_u32, read_u64, write};
use crate::limits::{INTEGER_LIMIT, KEY_BYTES_MAX, VALUE_BYTES_CONFIGURABLE_MAX};

pub const RECORD_HEADER_BYTES: usize = 40;

/// Flag of a put: the key is ephemeral, and in place of an expiry stands the session it lives with.
pub const RECORD_FLAG_EPHEMERAL: u8 = 1;

/// The most that `back` says.
pub const BACK_MAX: u64 = 0xffff_ffff;

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
    Session = 5,
    SessionEnd = 6,
    Hold = 7,
    HoldEnd = 8,
    Fence = 9,
}

/// What records are of, in the order in which a snapshot has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Space {
    Keys = 0,
    Sessions = 1,
    Holds = 2,
    Fences = 3,
}

/// How many there are.
pub const SPACES: usize = 4;

impl RecordKind {
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Put,
            2 => Self::Delete,
            3 => Self::Expire,
            4 => Self::Touch,
            5 => Self::Session,
            6 => Self::SessionEnd,
            7 => Self::Hold,
            8 => Self::HoldEnd,
            9 => Self::Fence,
            _ => return None,
        })
    }

    pub fn space(self) -> Space {
        match self {
            Self::Put | Self::Delete | Self::Expire | Self::Touch => Space::Keys,
            Self::Session | Self::SessionEnd => Space::Sessions,
            Self::Hold | Self::HoldEnd => Space::Holds,
            Self::Fence => Space::Fences,
        }
    }

    /// Whether it says that what it is of is gone.
    pub fn is_removal(self) -> bool {
        matches!(
            self,
            Self::Delete | Self::Expire | Self::SessionEnd | Self::HoldEnd
        )
    }

    /// Bytes at the end of its key that its partition does not come from.
    pub fn suffix_bytes(self) -> usize {
        match self {
            Self::Hold | Self::HoldEnd => 8,
            Self::Fence => 4,
            _ => 0,
        }
    }

    fn value_fits(self, length: usize) -> bool {
        match self {
            Self::Put => length <= VALUE_BYTES_CONFIGURABLE_MAX,
            Self::Session | Self::Hold => length == 24,
            Self::Fence => length == 8,
            _ => length == 0,
        }
    }

    fn has_expiry(self) -> bool {
        matches!(self, Self::Put | Self::Touch | Self::Hold)
    }
}

/// One record, borrowed from where it is made or read.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub kind: RecordKind,
    pub flags: u8,
    pub partition: usize,
    /// Revisions back to the key's record before; 0: there was none. Cut at BACK_MAX when written.
    pub back: u64,
    pub revision: u64,
    pub time: u64,
    pub expires_at: u64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Bytes of a record.
#[inline]
pub const fn record_bytes(key_length: usize, value_length: usize) -> usize {
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

    /// The records so far.
    #[inline]
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    pub fn room(&self) -> usize {
        self.bytes.len() - self.length
    }

    /// The caller has seen that there is room.
    #[inline]
    pub fn append(&mut self, record: Record<'_>) {
        self.append_suffixed(record, &[]);
    }

    /// Appends a record whose key is `record.key` and then `suffix`.
    #[inline(always)]
    pub fn append_suffixed(&mut self, record: Record<'_>, suffix: &[u8]) {
        let Record { key, value, .. } = record;
        let key_length = key.len() + suffix.len();
        let total = record_bytes(key_length, value.len());
        let bytes = &mut self.bytes[self.length..self.length + total];
        write(bytes, 0, (value.len() as u32).to_le_bytes());
        write(bytes, 4, (key_length as u16).to_le_bytes());
        write(bytes, 6, [record.kind as u8, record.flags]);
        write(bytes, 8, (record.partition as u32).to_le_bytes());
        write(bytes, 12, (record.back.min(BACK_MAX) as u32).to_le_bytes());
        write(bytes, 16, record.revision.to_le_bytes());
        write(bytes, 24, record.time.to_le_bytes());
        write(bytes, 32, record.expires_at.to_le_bytes());
        let suffix_at = RECORD_HEADER_BYTES + key.len();
        let value_at = RECORD_HEADER_BYTES + key_length;
        let end = value_at + value.len();
        bytes[RECORD_HEADER_BYTES..suffix_at].copy_from_slice(key);
        bytes[suffix_at..value_at].copy_from_slice(suffix);
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
    let kind = RecordKind::from_byte(header[6])?;
    let named = key_length.checked_sub(kind.suffix_bytes())?;
    if named == 0 || named > KEY_BYTES_MAX || !kind.value_fits(value_length) {
        return None;
    }
    let body = bytes.get(RECORD_HEADER_BYTES..record_bytes(key_length, value_length))?;
    let (key, rest) = body.split_at_checked(key_length)?;
    let (value, padding) = rest.split_at_checked(value_length)?;

    let record = Record {
        kind,
        flags: header[7],
        partition: read_u32(header, 8) as usize,
        back: u64::from(read_u32(header, 12)),
        revision: read_u64(header, 16),
        time: read_u64(header, 24),
        expires_at: read_u64(header, 32),
        key,
        value,
    };
    let flags_fit = record.flags == 0
        || (kind == RecordKind::Put
            && record.flags == RECORD_FLAG_EPHEMERAL
            && record.expires_at != 0);
    let valid = flags_fit
        && (kind.has_expiry() || record.expires_at == 0)
        && (kind.space() == Space::Keys || record.back == 0)
        && record.revision < INTEGER_LIMIT
        && record.time < INTEGER_LIMIT
        && record.expires_at < INTEGER_LIMIT
        && padding.iter().all(|&byte| byte == 0);
    let rest = bytes.get(RECORD_HEADER_BYTES + body.len()..)?;
    valid.then_some((record, rest))
}

/// The partition of the record at the head of `bytes`, which is whole.
#[inline]
pub fn partition_at(bytes: &[u8]) -> usize {
    read_u32(bytes, 8) as usize
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
