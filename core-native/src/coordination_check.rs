//! The checks of operations on sessions, locks and watches that need no state: steps 1 to 3 of the
//! contract, and those of a lease.

use crate::generated::{OperationCode, Status};
use crate::layout::{
    CLASS_KEYS, CLASSES_ALL, FLAG_ONCE, FLAG_REENTRANT, FLAG_UPGRADE, FLAG_WATCH_KEYS_ONLY,
    FLAG_WATCH_PREFIX, LOCK_EXCLUSIVE, LOCK_MODE_MASK, LOCK_PERMIT, OVERFLOW_MASK, RESUME_BYTES,
    START_MASK, START_POSITION, START_REVISION,
};
use crate::limits::{INTEGER_LIMIT, KEY_BYTES_MAX, LEASE_MS_MAX, PERMITS_MAX, SCAN_ENTRIES_MAX};
use crate::operation::{Operation, check_name, code_is_known};

const LOCK_FLAGS: u8 = LOCK_MODE_MASK | FLAG_REENTRANT | FLAG_UPGRADE;
const WATCH_FLAGS: u8 = FLAG_WATCH_PREFIX | OVERFLOW_MASK | START_MASK | FLAG_WATCH_KEYS_ONLY;

/// The first finding about an operation that is not on a key, where so many workers share the partitions.
pub fn check_coordination(operation: &Operation<'_>, workers: usize) -> Result<(), Status> {
    let code = operation.code;
    if !code_is_known(code) {
        return Err(Status::UnknownOperation);
    }
    let has_name = (OperationCode::Lock..=OperationCode::Watch).contains(&code);
    if !fields_fit(operation, workers) || (!has_name && !operation.key.is_empty()) {
        return Err(Status::InvalidArgument);
    }
    if !has_name {
        return Ok(());
    }
    let is_prefix = code == OperationCode::ListLocks
        || (code == OperationCode::Watch && operation.flags & FLAG_WATCH_PREFIX != 0);
    if !is_prefix {
        check_name(operation.key)?;
    } else if operation.key.len() > KEY_BYTES_MAX {
        return Err(Status::KeyTooLong);
    }
    if operation.ttl_ms > LEASE_MS_MAX {
        return Err(Status::TtlOutOfRange);
    }
    Ok(())
}

/// Whether the operation has in its fields what it takes, and zero in all others.
fn fields_fit(operation: &Operation<'_>, workers: usize) -> bool {
    let Operation {
        code,
        flags,
        limit,
        ttl_ms,
        expected_revision,
        value,
        ..
    } = *operation;
    if expected_revision >= INTEGER_LIMIT {
        return false;
    }
    match code {
        OperationCode::Lock => value.is_empty() && lock_fits(flags, expected_revision),
        OperationCode::Unlock | OperationCode::Downgrade => {
            flags & !FLAG_ONCE == 0 && limit == 0 && ttl_ms == 0 && value.is_empty()
        }
        OperationCode::Extend => flags & !FLAG_ONCE == 0 && limit == 0 && value.is_empty(),
        OperationCode::CancelLock => flags == 0 && limit == 0 && ttl_ms == 0 && value.is_empty(),
        OperationCode::ListLocks => {
            (1..=SCAN_ENTRIES_MAX).contains(&limit)
                && value.len() <= KEY_BYTES_MAX
                && flags == 0
                && expected_revision == 0
                && operation.address_fits(workers)
        }
        OperationCode::Watch => {
            let address_fits = if flags & FLAG_WATCH_PREFIX == 0 {
                ttl_ms == 0
            } else {
                operation.address_fits(workers)
            };
            address_fits && watch_fits(operation)
        }
        OperationCode::Unwatch => {
            let is_id = expected_revision <= u64::from(u32::MAX);
            let address_fits = ttl_ms <= workers as u64;
            flags == 0 && limit == 0 && address_fits && value.is_empty() && is_id
        }
        _ => flags == 0 && limit == 0 && ttl_ms == 0 && value.is_empty() && expected_revision == 0,
    }
}

fn lock_fits(flags: u8, expected_revision: u64) -> bool {
    let mode = flags & LOCK_MODE_MASK;
    if flags & !LOCK_FLAGS != 0 || mode > LOCK_PERMIT {
        return false;
    }
    if flags & FLAG_UPGRADE != 0 {
        return mode == LOCK_EXCLUSIVE && flags & FLAG_REENTRANT == 0 && expected_revision != 0;
    }
    if mode == LOCK_PERMIT {
        return (1..=PERMITS_MAX).contains(&expected_revision);
    }
    expected_revision == 0
}

fn watch_fits(operation: &Operation<'_>) -> bool {
    let Operation {
        flags,
        limit,
        expected_revision,
        value,
        ..
    } = *operation;
    let start = flags & START_MASK;
    if flags & !WATCH_FLAGS != 0 || flags & OVERFLOW_MASK == OVERFLOW_MASK {
        return false;
    }
    let value_length = if start == START_POSITION {
        RESUME_BYTES
    } else {
        0
    };
    // The limit has the classes.
    if !(1..=CLASSES_ALL as usize).contains(&limit) || value.len() != value_length {
        return false;
    }
    if start != START_REVISION {
        return expected_revision == 0;
    }
    flags & FLAG_WATCH_PREFIX == 0 && limit & CLASS_KEYS as usize != 0
}
