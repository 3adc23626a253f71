// Every bound that the wire and the engines know, with its unit last in the name; the node's own are in
// `node/limits.ts`. The Rust engine
// has the wire and engine bounds in `core-native/src/limits.rs`; the loader refuses an addon whose
// figures differ.

/** Bytes of a key, UTF-8. The least is 1. */
export const KEY_BYTES_MAX = 1024;
/** Bytes of a value, unless the node is configured otherwise. */
export const VALUE_BYTES_MAX_DEFAULT = 1024 * 1024;
/** The most that a node can be configured to take as a value. */
export const VALUE_BYTES_CONFIGURABLE_MAX = 64 * 1024 * 1024;
/** Bytes of a request or reply frame at least, whatever the value limit. */
export const FRAME_BYTES_MAX_DEFAULT = 4 * 1024 * 1024;
/** Room that a frame has beyond the largest value: headers, RESULTS_PER_REPLY_MAX results, keys. */
export const FRAME_BYTES_SLACK = 64 * 1024;
/** Bytes of a frame before the hello is accepted. */
export const HELLO_BYTES_MAX = 8 * 1024;
/** Bytes of a token. */
export const TOKEN_BYTES_MAX = 4 * 1024;
/** Operations in one request frame. The least is 1. */
export const OPERATIONS_PER_FRAME_MAX = 8192;
/** Results in one reply frame; a request with more is answered in several. */
export const RESULTS_PER_REPLY_MAX = 1024;
/** Entries that one scan returns; with its closing result it fits a reply. The least is 1. */
export const SCAN_ENTRIES_MAX = 1000;
/** Bytes of keys and values that one scan returns; the first entry always fits. */
export const SCAN_BYTES_MAX = 1024 * 1024;
/** Expired keys that one scan passes over before its page ends. */
export const SCAN_EXPIRED_MAX = 1024;
/** Milliseconds to live: ten years. The least is 1. */
export const TTL_MS_MAX = 10 * 365 * 24 * 3600 * 1000;
/** Revisions and times stay below this, so that a double holds each exactly. */
export const INTEGER_LIMIT = 2 ** 53;
/** Logical bytes that a key costs beside its own bytes and its value's; for `--memory-max`. */
export const ENTRY_OVERHEAD_BYTES = 96;
/** Keys that one call of `advance` expires; their records always fit the buffer. */
export const EXPIRIES_PER_ADVANCE_MAX = 1024;
/** Unsettled removals that one scan looks at, newest first, to find out what it must wait for. */
export const GATE_REMOVALS_EXAMINED_MAX = 256;
/** Milliseconds that a session outlives its last sign of life. */
export const SESSION_TTL_MS_MIN = 1_000;
export const SESSION_TTL_MS_MAX = 24 * 3600 * 1000;
export const SESSION_TTL_MS_DEFAULT = 10_000;
/** Bytes of a session's secret, and of its digest that the node keeps. */
export const SESSION_SECRET_BYTES = 16;
/** Bytes of the records that the end of one session makes, so that it is one step; bounds what it holds. */
export const SESSION_END_BYTES_MAX = 2 * 1024 * 1024;
/** Locks that one session waits for at a time. */
export const SESSION_WAITS_MAX = 4096;
/** Answers of operations with the flag `once` that a session remembers, the newest. */
export const ANSWERS_REMEMBERED_MAX = 1024;
/** Milliseconds of a lock's lease, where it has one of its own. */
export const LEASE_MS_MAX = SESSION_TTL_MS_MAX;
/** Permits of a lock that is taken as a semaphore. */
export const PERMITS_MAX = 65_535;
/** Times that a re-entrant lock is taken over again. */
export const LOCK_DEPTH_MAX = 65_535;
/** Logical bytes that a session, a hold (beside its name) and a fence (beside its name) cost. */
export const SESSION_OVERHEAD_BYTES = 256;
export const HOLD_OVERHEAD_BYTES = 192;
export const FENCE_OVERHEAD_BYTES = 64;
/** Waits that the search for a deadlock looks at; beyond them it finds none. */
export const DEADLOCK_WAITS_EXAMINED_MAX = 4096;
/** Holds and waits that it looks at on the way, since one lock may have very many. */
export const DEADLOCK_BLOCKERS_EXAMINED_MAX = 16_384;
/** Steps of a deadlock's cycle that are named. */
export const DEADLOCK_STEPS_SHOWN_MAX = 16;
/** Holds and waiters of one lock that ListLocks shows, each. */
export const LOCK_ITEMS_SHOWN_MAX = 64;
/** Bytes of what one call tells the node beside its reply; see NOTICE_* in `ts/engine/coordination.ts`. */
export const NOTICES_BYTES = 1024 * 1024;
/** Partitions of a node. A power of two, 1 to 65,536. */
export const PARTITIONS_DEFAULT = 64;
export const PARTITIONS_MAX = 65_536;
/** Workers of a node: threads that each have a share of the partitions. */
export const WORKERS_MAX = 64;

/** The frame bound that goes with a value bound: a reply must hold the largest value. */
export function frameBytesMaxFor(valueBytesMax: number): number {
  return Math.max(FRAME_BYTES_MAX_DEFAULT, valueBytesMax + FRAME_BYTES_SLACK);
}
