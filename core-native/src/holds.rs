//! Holds of locks and waits for them: what each is, and what fits beside what.

use crate::layout::{LOCK_EXCLUSIVE, LOCK_SHARED, read_u16, read_u32, read_u64, write};
use crate::limits::{HOLD_OVERHEAD_BYTES, INTEGER_LIMIT};
use crate::records::record_bytes;
use crate::sessions::is_session;
use crate::slab::Link;

/// Bytes of a hold's key behind the lock's name: the token.
pub const HOLD_SUFFIX_BYTES: usize = 8;
pub const HOLD_VALUE_BYTES: usize = 24;
pub const MODES: usize = 3;

/// What a hold's record says beside its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub session: u64,
    /// When it was granted.
    pub since: u64,
    /// When its lease ends; 0: as its session does.
    pub lease: u64,
    /// Of the operation that asked for it.
    pub id: u32,
    pub depth: u16,
    pub mode: u8,
}

#[derive(Clone, Copy)]
pub struct Hold {
    pub grant: Grant,
    pub token: u64,
    pub lock: u32,
    /// Place of its session.
    pub owner: u32,
    /// Tells it from others in the same place; 0 once it has ended.
    pub serial: u64,
    /// The deadline that was set for it and has not come, by its sequence; 0: none.
    pub deadline: u64,
    /// When that is.
    pub deadline_at: u64,
    pub in_lock: Link,
    pub in_session: Link,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub id: u32,
    pub mode: u8,
    pub permits: u64,
    /// 0: as long as the session lives.
    pub lease_ms: u64,
    /// The token of the shared hold that is to become exclusive; 0: none.
    pub upgrades: u64,
}

#[derive(Clone, Copy)]
pub struct Wait {
    pub request: Request,
    pub lock: u32,
    /// Place of its session.
    pub owner: u32,
    pub serial: u64,
    pub since: u64,
    /// 0: none.
    pub deadline: u64,
    /// Ascends along the queue.
    pub order: u64,
    pub in_lock: Link,
    pub in_session: Link,
}

impl Hold {
    pub fn next_in_lock(&self) -> u32 {
        self.in_lock.next
    }

    pub fn before_in_lock(&self) -> u32 {
        self.in_lock.before
    }
}

impl Wait {
    pub fn next_in_lock(&self) -> u32 {
        self.in_lock.next
    }

    pub fn before_in_lock(&self) -> u32 {
        self.in_lock.before
    }

    pub fn next_in_session(&self) -> u32 {
        self.in_session.next
    }
}

impl Grant {
    /// The value of its record.
    pub fn to_value(self) -> [u8; HOLD_VALUE_BYTES] {
        let mut value = [0; HOLD_VALUE_BYTES];
        write(&mut value, 0, self.session.to_le_bytes());
        write(&mut value, 8, self.since.to_le_bytes());
        write(&mut value, 16, self.id.to_le_bytes());
        write(&mut value, 20, self.depth.to_le_bytes());
        value[22] = self.mode;
        value
    }

    /// What a record says, or `None` where that is no grant.
    pub fn of_record(value: &[u8], lease: u64) -> Option<Self> {
        if value.len() != HOLD_VALUE_BYTES {
            return None;
        }
        let grant = Self {
            session: read_u64(value, 0),
            since: read_u64(value, 8),
            lease,
            id: read_u32(value, 16),
            depth: read_u16(value, 20),
            mode: value[22],
        };
        let valid = is_session(grant.session)
            && grant.since < INTEGER_LIMIT
            && grant.depth > 0
            && usize::from(grant.mode) < MODES
            && value[23] == 0;
        valid.then_some(grant)
    }

    /// Whether a request of its session is covered by it.
    pub fn covers(self, mode: u8) -> bool {
        self.mode == mode || (self.mode == LOCK_EXCLUSIVE && mode == LOCK_SHARED)
    }
}

/// The name of the lock and the token that a record of a hold has as its key.
pub fn split_hold_key(key: &[u8]) -> Option<(&[u8], u64)> {
    let (name, suffix) = key.split_last_chunk::<HOLD_SUFFIX_BYTES>()?;
    Some((name, u64::from_be_bytes(*suffix)))
}

/// Whether two can be held side by side, permits left aside.
pub fn fit_beside(mode: u8, other: u8) -> bool {
    mode == other && mode != LOCK_EXCLUSIVE
}

/// Logical bytes of a hold.
pub fn hold_memory_bytes(name_length: usize) -> usize {
    name_length + HOLD_OVERHEAD_BYTES
}

/// Bytes of the record that ends a hold.
pub fn hold_end_bytes(name_length: usize) -> usize {
    record_bytes(name_length + HOLD_SUFFIX_BYTES, 0)
}
