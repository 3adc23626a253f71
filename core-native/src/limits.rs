//! The bounds of wire and engine, as in `ts/wire/limits.ts`; the loader refuses an addon whose figures
//! differ.

use crate::forwards::FORWARD_OVERHEAD_BYTES;
use crate::layout::OPERATION_BYTES;

pub const KEY_BYTES_MAX: usize = 1024;
pub const VALUE_BYTES_CONFIGURABLE_MAX: usize = 64 * 1024 * 1024;
pub const FRAME_BYTES_MAX_DEFAULT: usize = 4 * 1024 * 1024;
pub const FRAME_BYTES_SLACK: usize = 64 * 1024;
pub const OPERATIONS_PER_FRAME_MAX: usize = 8192;
pub const RESULTS_PER_REPLY_MAX: usize = 1024;
pub const SCAN_ENTRIES_MAX: usize = 1000;
pub const SCAN_BYTES_MAX: usize = 1024 * 1024;
pub const SCAN_EXPIRED_MAX: usize = 1024;
pub const TTL_MS_MAX: u64 = 10 * 365 * 24 * 3600 * 1000;
/// Revisions and times stay below this, so that a double holds each exactly.
pub const INTEGER_LIMIT: u64 = 1 << 53;
pub const ENTRY_OVERHEAD_BYTES: usize = 96;
pub const EXPIRIES_PER_ADVANCE_MAX: usize = 1024;
pub const GATE_REMOVALS_EXAMINED_MAX: usize = 256;
pub const SESSION_TTL_MS_MIN: u64 = 1_000;
pub const SESSION_TTL_MS_MAX: u64 = 24 * 3600 * 1000;
pub const SESSION_SECRET_BYTES: usize = 16;
pub const SESSION_END_BYTES_MAX: usize = 2 * 1024 * 1024;
pub const SESSION_WAITS_MAX: usize = 4096;
pub const ANSWERS_REMEMBERED_MAX: usize = 1024;
pub const LEASE_MS_MAX: u64 = SESSION_TTL_MS_MAX;
pub const PERMITS_MAX: u64 = 65_535;
pub const LOCK_DEPTH_MAX: u16 = 65_535;
pub const SESSION_OVERHEAD_BYTES: usize = 256;
pub const HOLD_OVERHEAD_BYTES: usize = 192;
pub const FENCE_OVERHEAD_BYTES: usize = 64;
pub const DEADLOCK_WAITS_EXAMINED_MAX: usize = 4096;
pub const DEADLOCK_BLOCKERS_EXAMINED_MAX: usize = 16_384;
pub const DEADLOCK_STEPS_SHOWN_MAX: usize = 16;
pub const LOCK_ITEMS_SHOWN_MAX: usize = 64;
pub const NOTICES_BYTES: usize = 1024 * 1024;
pub const PARTITIONS_MAX: usize = 65_536;
pub const WORKERS_MAX: usize = 64;

/// Bytes of what one frame leaves to other workers, at most. Keys and values of a frame from outside may
/// overlap its operations: then they come apart when it is split.
pub fn forwards_bytes_for(value_bytes_max: usize) -> usize {
    frame_bytes_max_for(value_bytes_max)
        + OPERATIONS_PER_FRAME_MAX * OPERATION_BYTES
        + WORKERS_MAX * FORWARD_OVERHEAD_BYTES
}

/// The frame bound that goes with a value bound: a reply must hold the largest value.
pub fn frame_bytes_max_for(value_bytes_max: usize) -> usize {
    FRAME_BYTES_MAX_DEFAULT.max(value_bytes_max + FRAME_BYTES_SLACK)
}
