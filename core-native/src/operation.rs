//! One decoded operation, and the checks that need no state: steps 1 to 4 of the contract
//! (`ts/engine/engine.ts`).

use crate::generated::{OperationCode, Status};
use crate::layout::{
    CONDITION_ALWAYS, CONDITION_IF_ABSENT, CONDITION_IF_REVISION, CONDITION_MASK, FLAG_KEYS_ONLY,
    OPERATION_CODE, OPERATION_EXPECTED_REVISION, OPERATION_FLAGS, OPERATION_ID,
    OPERATION_KEY_LENGTH, OPERATION_LIMIT, OPERATION_TTL_MS, OPERATION_VALUE_LENGTH, TTL_KEEP,
    TTL_MASK, TTL_SET, read_u16, read_u32, read_u64,
};
use crate::limits::{INTEGER_LIMIT, KEY_BYTES_MAX, SCAN_ENTRIES_MAX, TTL_MS_MAX};

/// Bytes of the delta of an increment.
const DELTA_BYTES: usize = 8;

#[derive(Clone, Copy)]
pub struct Operation<'a> {
    pub id: u32,
    pub code: OperationCode,
    flags: u8,
    pub limit: usize,
    ttl_ms: u64,
    expected_revision: u64,
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

    /// The delta of an increment that has passed `check`.
    pub fn delta(&self) -> i64 {
        read_u64(self.value, 0).cast_signed()
    }

    /// The first finding of steps 1 to 4.
    #[inline]
    pub fn check(&self, value_bytes_max: usize) -> Result<(), Status> {
        if !(OperationCode::Get..=OperationCode::Scan).contains(&self.code) {
            return Err(Status::UnknownOperation);
        }
        if !self.fields_fit() {
            return Err(Status::InvalidArgument);
        }
        if self.key.len() > KEY_BYTES_MAX {
            return Err(Status::KeyTooLong);
        }
        if self.code != OperationCode::Scan && !key_is_valid(self.key) {
            return Err(Status::InvalidKey);
        }
        if self.code == OperationCode::Put && self.value.len() > value_bytes_max {
            return Err(Status::ValueTooLarge);
        }
        Ok(())
    }

    #[inline]
    fn fields_fit(&self) -> bool {
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
            0 => self.ttl_ms == 0,
            TTL_SET => (1..=TTL_MS_MAX).contains(&self.ttl_ms),
            TTL_KEEP => code != OperationCode::Touch && self.ttl_ms == 0,
            _ => false,
        };
        let rest_fits = match code {
            OperationCode::Scan => {
                (1..=SCAN_ENTRIES_MAX).contains(&self.limit) && self.value.len() <= KEY_BYTES_MAX
            }
            OperationCode::Increment => self.limit == 0 && self.value.len() == DELTA_BYTES,
            OperationCode::Put => self.limit == 0,
            _ => self.limit == 0 && self.value.is_empty(),
        };
        condition_fits && ttl_fits && rest_fits
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

    /// The expiry that a write at `now` leaves on a key whose expiry was `before` (0: none).
    #[inline]
    pub fn expiry_after(&self, before: u64, now: u64) -> u64 {
        match self.flags & TTL_MASK {
            TTL_SET => now.saturating_add(self.ttl_ms).min(INTEGER_LIMIT - 1),
            TTL_KEEP => before,
            _ => 0,
        }
    }
}

#[inline]
fn flags_taken(code: OperationCode) -> u8 {
    match code {
        OperationCode::Put => CONDITION_MASK | TTL_MASK,
        OperationCode::Delete => CONDITION_MASK,
        OperationCode::Increment | OperationCode::Touch => TTL_MASK,
        _ => FLAG_KEYS_ONLY,
    }
}

#[inline]
fn key_is_valid(key: &[u8]) -> bool {
    !key.is_empty() && (key.is_ascii() || std::str::from_utf8(key).is_ok())
}
