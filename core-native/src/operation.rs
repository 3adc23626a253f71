//! One decoded operation, and the checks that need no state: steps 1 to 4 of the contract
//! (`ts/engine/engine.ts`).

use crate::coordination_check::check_coordination;
use crate::ephemerals::Life;
use crate::fences::Fence;
use crate::generated::{OperationCode, Status};
use crate::layout::{
    CONDITION_ALWAYS, CONDITION_IF_ABSENT, CONDITION_IF_REVISION, CONDITION_MASK, FENCE_HEAD_BYTES,
    FLAG_EPHEMERAL, FLAG_FENCED, FLAG_KEYS_ONLY, FLAG_ONCE, OPERATION_CODE,
    OPERATION_EXPECTED_REVISION, OPERATION_FLAGS, OPERATION_ID, OPERATION_KEY_LENGTH,
    OPERATION_LIMIT, OPERATION_TTL_MS, OPERATION_VALUE_LENGTH, TTL_KEEP, TTL_MASK, TTL_SET,
    read_u16, read_u32, read_u64,
};
use crate::limits::{INTEGER_LIMIT, KEY_BYTES_MAX, SCAN_ENTRIES_MAX, TTL_MS_MAX};
use crate::partition::tag_of;

/// Bytes of the delta of an increment.
const DELTA_BYTES: usize = 8;

#[derive(Clone, Copy)]
pub struct Operation<'a> {
    pub id: u32,
    pub code: OperationCode,
    pub flags: u8,
    pub limit: usize,
    pub ttl_ms: u64,
    pub expected_revision: u64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> Operation<'a> {
    /// Reads a struct of OPERATION_BYTES; key and value are the head of `data`.
    #[inline]
    pub fn decode(bytes: &[u8], data: &'a [u8]) -> Self {
        let key_length = usize::from(read_u16(bytes, OPERATION_KEY_LENGTH));
        let value_length = read_u32(bytes, OPERATION_VALUE_LENGTH) as usize;
        Self {
            id: read_u32(bytes, OPERATION_ID),
            code: OperationCode(bytes[OPERATION_CODE]),
            flags: bytes[OPERATION_FLAGS],
            limit: read_u32(bytes, OPERATION_LIMIT) as usize,
            ttl_ms: read_u64(bytes, OPERATION_TTL_MS),
            expected_revision: read_u64(bytes, OPERATION_EXPECTED_REVISION),
            key: &data[..key_length],
            value: &data[key_length..key_length + value_length],
        }
    }

    /// Bytes of its key and value in the frame's data.
    #[inline]
    pub fn data_bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    #[inline]
    pub fn keys_only(&self) -> bool {
        self.flags & FLAG_KEYS_ONLY != 0
    }

    /// Whether it has to do with a session or a fence. Only where it has passed `check` as an operation
    /// on a key.
    #[inline]
    pub fn is_guarded(&self) -> bool {
        self.flags >= FLAG_FENCED
    }

    #[inline]
    pub fn is_ephemeral(&self) -> bool {
        self.flags & FLAG_EPHEMERAL != 0
    }

    #[inline]
    pub fn is_once(&self) -> bool {
        self.flags & FLAG_ONCE != 0
    }

    /// The fence at the head of the value of a write that has passed `check`.
    #[inline]
    pub fn fence(&self) -> Option<Fence<'a>> {
        if self.flags & FLAG_FENCED == 0 {
            return None;
        }
        let (fence, _) = split_fence(self.value)?;
        Some(fence)
    }

    /// The operation with what follows the fence as its value.
    #[inline]
    pub fn behind_fence(&self) -> Self {
        let value = self.value_behind_fence().unwrap_or(&[]);
        Self { value, ..*self }
    }

    /// `None` where a fence is announced and does not fit.
    #[inline]
    fn value_behind_fence(&self) -> Option<&'a [u8]> {
        if self.flags & FLAG_FENCED == 0 {
            return Some(self.value);
        }
        let (_, value) = split_fence(self.value)?;
        Some(value)
    }

    /// The delta of an increment that has passed `check`.
    pub fn delta(&self) -> i64 {
        read_u64(self.value, 0).cast_signed()
    }

    /// The first finding of steps 1 to 4, where so many workers share the partitions.
    #[inline]
    pub fn check(&self, value_bytes_max: usize, workers: usize) -> Result<(), Status> {
        if !(OperationCode::Get..=OperationCode::Scan).contains(&self.code) {
            return check_coordination(self, workers);
        }
        let Some(value) = self.value_behind_fence() else {
            return Err(Status::InvalidArgument);
        };
        if !self.fields_fit(value.len(), workers) {
            return Err(Status::InvalidArgument);
        }
        if self.key.len() > KEY_BYTES_MAX {
            return Err(Status::KeyTooLong);
        }
        if self.code != OperationCode::Scan && !key_is_valid(self.key) {
            return Err(Status::InvalidKey);
        }
        if let Some(Fence { name, .. }) = self.fence() {
            check_name(name)?;
        }
        if self.code == OperationCode::Put && value.len() > value_bytes_max {
            return Err(Status::ValueTooLarge);
        }
        Ok(())
    }

    #[inline]
    fn fields_fit(&self, value_length: usize, workers: usize) -> bool {
        let code = self.code;
        if self.flags & !flags_taken(code) != 0 {
            return false;
        }
        let condition_fits = match self.flags & CONDITION_MASK {
            CONDITION_ALWAYS => self.expected_revision == 0,
            CONDITION_IF_ABSENT => code != OperationCode::Delete && self.expected_revision == 0,
            CONDITION_IF_REVISION => self.expected_revision < INTEGER_LIMIT,
            _ => false,
        };
        let ttl_fits = match self.flags & TTL_MASK {
            0 => self.ttl_ms == 0 || code == OperationCode::Scan,
            TTL_SET => (1..=TTL_MS_MAX).contains(&self.ttl_ms) && !self.is_ephemeral(),
            TTL_KEEP => code != OperationCode::Touch && self.ttl_ms == 0 && !self.is_ephemeral(),
            _ => false,
        };
        let rest_fits = match code {
            OperationCode::Scan => {
                (1..=SCAN_ENTRIES_MAX).contains(&self.limit)
                    && value_length <= KEY_BYTES_MAX
                    && self.address_fits(workers)
            }
            OperationCode::Increment => self.limit == 0 && value_length == DELTA_BYTES,
            OperationCode::Put => self.limit == 0,
            _ => self.limit == 0 && value_length == 0,
        };
        condition_fits && ttl_fits && rest_fits
    }

    /// Whether an operation on a prefix says which of so many workers it asks.
    pub fn address_fits(&self, workers: usize) -> bool {
        if self.ttl_ms == 0 {
            workers == 1 || tag_of(self.key).is_some()
        } else {
            self.ttl_ms <= workers as u64
        }
    }

    /// Whether the condition holds for a key at `revision` (0: absent), and if not, why.
    #[inline]
    pub fn check_condition(&self, revision: u64) -> Result<(), Status> {
        match self.flags & CONDITION_MASK {
            CONDITION_ALWAYS => Ok(()),
            CONDITION_IF_ABSENT if revision == 0 => Ok(()),
            CONDITION_IF_ABSENT => Err(Status::AlreadyExists),
            _ if self.expected_revision == revision => Ok(()),
            _ => Err(Status::RevisionMismatch),
        }
    }

    /// How long a key lives after a write at `now` that found it with the life `before`.
    #[inline]
    pub fn life_after(&self, before: impl FnOnce() -> Life, now: u64) -> Life {
        match self.flags & TTL_MASK {
            TTL_SET => Life::until(now.saturating_add(self.ttl_ms).min(INTEGER_LIMIT - 1)),
            TTL_KEEP => before(),
            _ => Life::FOR_EVER,
        }
    }
}

/// Whether there is an operation of this code.
#[inline]
pub fn code_is_known(code: OperationCode) -> bool {
    (OperationCode::Get..=OperationCode::Scan).contains(&code)
        || (OperationCode::Renew..=OperationCode::Unwatch).contains(&code)
}

#[inline]
fn flags_taken(code: OperationCode) -> u8 {
    match code {
        OperationCode::Put => CONDITION_MASK | TTL_MASK | FLAG_FENCED | FLAG_EPHEMERAL | FLAG_ONCE,
        OperationCode::Delete => CONDITION_MASK | FLAG_FENCED | FLAG_ONCE,
        OperationCode::Increment | OperationCode::Touch => TTL_MASK | FLAG_FENCED | FLAG_ONCE,
        _ => FLAG_KEYS_ONLY,
    }
}

/// The fence at the head of a value, and what follows it.
fn split_fence(value: &[u8]) -> Option<(Fence<'_>, &[u8])> {
    let (head, rest) = value.split_at_checked(FENCE_HEAD_BYTES)?;
    let (name, value) = rest.split_at_checked(usize::from(read_u16(head, 8)))?;
    let token = read_u64(head, 0);
    let fits = (1..INTEGER_LIMIT).contains(&token);
    fits.then_some((Fence { token, name }, value))
}

/// The finding about the name of a lock, which is as valid as a key.
pub fn check_name(name: &[u8]) -> Result<(), Status> {
    if name.len() > KEY_BYTES_MAX {
        Err(Status::KeyTooLong)
    } else if !key_is_valid(name) {
        Err(Status::InvalidKey)
    } else {
        Ok(())
    }
}

#[inline]
fn key_is_valid(key: &[u8]) -> bool {
    !key.is_empty() && (key.is_ascii() || std::str::from_utf8(key).is_ok())
}
