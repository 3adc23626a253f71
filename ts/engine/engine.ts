// The engine contract: the one way into either engine. An engine is synchronous, single-threaded and
// deterministic: it does no I/O and reads no clock, so equal calls give equal bytes, whichever engine
// runs them. One engine belongs to one thread.
//
// Each call leaves what it made in buffers that live as long as the engine: `reply`, `records` and
// `outcome`. They are overwritten by the next call; a caller that keeps bytes copies them first.
//
// What operations mean (`ts/wire/rondo.fbs` has their layout). Both engines check in this order, and
// the first finding is the answer:
//
// 1. A code that is not known: UNKNOWN_OPERATION.
// 2. A flag bit or a field that the operation does not use and that is not zero; a condition or ttl
//    mode that it does not take; ttl set outside 1..TTL_MS_MAX; expected_revision of 2^53 or more; a
//    limit outside 1..SCAN_ENTRIES_MAX: INVALID_ARGUMENT. Used are: get: keys_only. put: condition,
//    ttl, value. delete: condition always or if_revision. increment: ttl, value (8 bytes exactly).
//    touch: ttl none or set. scan: keys_only, limit, value (cursor, KEY_BYTES_MAX at most), ttl_ms
//    (an address, see `workers.ts`).
// 3. Key longer than KEY_BYTES_MAX: KEY_TOO_LONG. Empty key (scan: allowed) or invalid UTF-8 (scan:
//    not checked, a prefix may end inside a character): INVALID_KEY.
// 4. put: value over the configured bound: VALUE_TOO_LARGE.
// 5. If the key has expired at `now`, an expire record is made and the key is gone.
// 6. The operation itself:
//    - get: NOT_FOUND, or value (empty under keys_only), revision, ttl left.
//    - put: if_absent on a live key: ALREADY_EXISTS with its revision. if_revision: REVISION_MISMATCH
//      with the present revision (0: absent) unless equal; 0 asks for absence. Ttl none clears an
//      expiry, set replaces it, keep leaves it (a new key: none).
//    - delete: NOT_FOUND; if_revision as for put, but 0 never matches a live key. The reply has the
//      revision of the deletion.
//    - increment: an absent key counts as 0; a value that is not a canonical decimal signed 64-bit
//      integer: NOT_A_NUMBER; a sum out of range: NUMBER_OVERFLOW; both with the present revision.
//    - touch: NOT_FOUND, or the new expiry under a new revision (every effect is a version).
//    - scan: live keys that begin with the prefix and are greater than the cursor, in byte order, up
//      to the limit and SCAN_BYTES_MAX of keys and values (the first always fits); MORE and the last
//      key as cursor when live keys are left. Expired keys are passed over and make no record; after
//      SCAN_EXPIRED_MAX of them the page ends too, with MORE and the last one as cursor.
//    A write that would raise the memory in use above `memoryBytesMax`: RESOURCE_EXHAUSTED. One that
//    does not raise it always passes.
// 7. Each effect takes the next revision of its partition and makes one record (`records.ts`).
//
// Sessions, locks, fences, ephemeral keys and watches: `coordination.ts` has their part of this contract.
// Several engines that share the partitions among them: `workers.ts` has theirs.
//
// What lies outside an operation reaches the engine through `input`:
//
// - Appends and the gate. Each `execute` or `advance` that leaves records is one append, numbered from 1
//   on; `fold` and `restore` are none. After `execute`, OUTCOME_GATE is the append that must be durable
//   before the reply may leave, 0 where all that it shows is settled: durable, or not made by an append.
//   A call that made a record waits for its own append; any other for the highest that its operations
//   saw. One that found its key, whatever it answered, saw the key's newest record. One that found no
//   key saw the newest unsettled delete or expire record of just that key. A scan saw the newest records
//   of the keys that it returned, passed over as expired, or met after the end of its page, and the
//   newest unsettled removal of a key with its prefix, above its cursor and, on a page with MORE, not
//   beyond the page's last key; of the removals it looks at the newest GATE_REMOVALS_EXAMINED_MAX, and
//   the next one counts as seen. An operation refused by steps 1 to 4 or by a write refusal saw nothing.
// - Write refusal. While INPUT_WRITE_REFUSAL holds a status, step 5 is: put, delete, increment and touch
//   end with that status and revision 0. Then no record is made at all: a get of an expired key is
//   NOT_FOUND and saw the key's newest record; `advance` moves time and expires nothing.
//
// Time never runs backwards: a `now` below an earlier one counts as the earlier one. An expiry is
// `now + ttl_ms`, 2^53 - 1 at most; a key is expired when `now >= expiry`.

import { ROUTING_BYTES } from '../shared/layout.js';
import { PARTITIONS_MAX, VALUE_BYTES_CONFIGURABLE_MAX, WORKERS_MAX } from '../wire/limits.js';
import { STATUS_COUNT, type Status } from '../wire/status.js';

export type EngineKind = 'native' | 'ts';

export interface EngineOptions {
  /** A power of two, 1..PARTITIONS_MAX. */
  readonly partitions: number;
  /** Bytes of a value at most, up to VALUE_BYTES_CONFIGURABLE_MAX. */
  readonly valueBytesMax: number;
  /** Logical bytes held at most (keys, values, ENTRY_OVERHEAD_BYTES a key); 0 = no bound. */
  readonly memoryBytesMax: number;
  /** 32 random bits against chosen hash collisions. Shows in no output. */
  readonly hashSeed: number;
  /** Where the partitions are shared among several engines; undefined: this one has them all. */
  readonly routing?: EngineRouting | undefined;
  /** The memory of `Engine.counters`, zeros at first, such as shared memory; undefined: memory of its own. */
  readonly counters?: Float64Array | undefined;
}

/** The place of an engine among several; `workers.ts` says what it makes of it. */
export interface EngineRouting {
  /** Its index. */
  readonly worker: number;
  /** The routing table (`ts/shared/layout.ts`): ROUTING_BYTES of shared memory. */
  readonly table: Uint32Array;
  /** The newest revision of each partition, in shared memory: written by the partition's engine. */
  readonly revisions: BigUint64Array;
}

// Indices into `Engine.outcome`.
/** After `execute`: the operation to go on with; equals OUTCOME_COUNT when the frame is done. */
export const OUTCOME_NEXT = 0;
/** After `execute`: operations in the frame. */
export const OUTCOME_COUNT = 1;
/** After `execute` and `advance`: bytes in `records`. */
export const OUTCOME_RECORD_BYTES = 2;
/** Keys held, expired ones that were not yet met included. */
export const OUTCOME_KEYS = 3;
/** Logical bytes held. */
export const OUTCOME_MEMORY_BYTES = 4;
/** The newest append; 0 before the first. */
export const OUTCOME_APPEND = 5;
/** After `execute`: the append that must be durable before the reply may leave; 0: it may leave now. */
export const OUTCOME_GATE = 6;
/** Bytes in `notices`. They wait for OUTCOME_APPEND, as far as it is not durable. */
export const OUTCOME_NOTICE_BYTES = 7;
/** 1: work is due that had no room in this call: call `advance` soon. */
export const OUTCOME_MORE = 8;
/** Sum of the revisions of all partitions: grows by 1 a record, and is the place of a watch. */
export const OUTCOME_POSITION = 9;
/** Sessions, holds of locks, waits for locks. */
export const OUTCOME_SESSIONS = 10;
export const OUTCOME_HOLDS = 11;
export const OUTCOME_WAITS = 12;
/** After `execute`: bytes in `forwards`. */
export const OUTCOME_FORWARD_BYTES = 13;
export const OUTCOME_LENGTH = 16;

// Indices into `Engine.input`.
/**
 * The newest append that is durable. Infinity, as at start: nothing ever waits, and nothing is kept to
 * find out. A caller with a durable log sets 0 before the first `execute` or `advance`. A figure below
 * an earlier one counts as the earlier one.
 */
export const INPUT_DURABLE = 0;
/** The `Status` that refuses every write; 0, or what is no status: none. */
export const INPUT_WRITE_REFUSAL = 1;
/** The session whose frame `execute` gets; 0: none. */
export const INPUT_SESSION = 2;
/** 1: another worker has forwarded the frame that `execute` gets. */
export const INPUT_FORWARDED = 3;
export const INPUT_LENGTH = 8;

/** `Engine.input` as an engine starts with it. */
export function initialInput(): Float64Array {
  const input = new Float64Array(INPUT_LENGTH);
  input[INPUT_DURABLE] = Infinity;
  return input;
}

/** Rows of `Engine.counters`: one an operation code, row 0 for unknown codes. */
export const OPERATION_CODE_COUNT = 32;
/** Figures in `Engine.counters`. */
export const COUNTERS = OPERATION_CODE_COUNT * STATUS_COUNT;

export interface Engine {
  readonly kind: EngineKind;
  /** The reply frame of the last `execute`. */
  readonly reply: Uint8Array<ArrayBuffer>;
  /** The effect records of the last `execute` or `advance`, in order of execution. */
  readonly records: Uint8Array<ArrayBuffer>;
  /** What the last call tells the node beside the reply; see NOTICE_* in `coordination.ts`. */
  readonly notices: Uint8Array<ArrayBuffer>;
  /** What the last `execute` left to other workers; see FORWARD_* in `workers.ts`. Empty without routing. */
  readonly forwards: Uint8Array<ArrayBuffer>;
  /** Scalars of the last call; see OUTCOME_*. */
  readonly outcome: Float64Array;
  /** What the caller sets between calls and `execute` and `advance` read; see INPUT_*. */
  readonly input: Float64Array;
  /** Operations ended since start, at `code * STATUS_COUNT + status`. */
  readonly counters: Float64Array;

  /**
   * Executes the operations of a request frame from index `first` on (0 for a new frame) at `now`
   * (milliseconds since 1970). Returns the length of the reply, or minus the `Status` that refuses
   * the whole frame, in which case nothing has changed.
   *
   * One call normally does the whole frame. After RESULTS_PER_REPLY_MAX results, or when the reply or
   * the records fill their buffer, it stops between two operations: send the reply, store the records and call again with
   * `first = outcome[OUTCOME_NEXT]` until that equals `outcome[OUTCOME_COUNT]`. It may stop where it began, also at
   * 0, where due work (`coordination.ts`) has taken the room that the operation wants: the same call again goes on.
   */
  execute(frame: ArrayBuffer, first: number, now: number): number;

  /**
   * Moves time to `now`, does the due work of sessions and locks (`coordination.ts`), and expires keys that
   * are due, oldest expiry first, at most EXPIRIES_PER_ADVANCE_MAX. Returns how many keys; call again while
   * it returns that many, or OUTCOME_MORE is 1.
   */
  advance(now: number): number;

  /**
   * Makes a session of an id that the caller has drawn. `digest`: SESSION_SECRET_BYTES that stand for its
   * secret. Leaves a record, and due work like any call. Ok; else nothing is made: INVALID_ARGUMENT (id not
   * 1..2^53 - 1 or digest of another length), TTL_OUT_OF_RANGE, ALREADY_EXISTS, a write refusal,
   * RESOURCE_EXHAUSTED.
   */
  openSession(id: number, ttlMs: number, digest: Uint8Array, now: number): Status;

  /**
   * A sign of life of a session by whoever knows its secret. Ok, SESSION_UNKNOWN, SESSION_FORBIDDEN (and no
   * sign of life); due work first. The outcome has the ttl in OUTCOME_COUNT.
   */
  resumeSession(id: number, digest: Uint8Array, now: number): Status;

  /**
   * Makes a session of another worker's known here, as a guest (`workers.ts`). Ok, also where it is one
   * already; INVALID_ARGUMENT: the id is not 1..2^53 - 1, or is of a partition of this engine; SESSION_UNKNOWN: its end
   * goes on here.
   */
  admitSession(id: number): Status;

  /**
   * Ends a guest, or what a session has left here that is not there any more: steps like those of the end of a
   * session (`coordination.ts`), but without a SESSION_END record. Ok, also where nothing is left; a write
   * refusal; INVALID_ARGUMENT: it is a session of this engine that is there.
   */
  endGuest(id: number, now: number): Status;

  /** All guests, and all sessions of own partitions that are not there but have holds or keys here; ascending. */
  guests(): Float64Array;

  /**
   * Whom these sessions wait for here: NOTICE_BLOCKER notices (`workers.ts`), by session in the order given.
   * Returns how many; -1 where they had no room: ask for fewer sessions.
   */
  listBlockers(sessions: Float64Array): number;

  /**
   * Ends the wait of a session under this operation id with DEADLOCK and `detail` as deferred answer, and
   * settles the lock. False: there is no such wait.
   */
  refuseWait(session: number, id: number, detail: Uint8Array, now: number): boolean;

  /**
   * Applies records made by an engine of the same number of partitions, in their order. Takes no
   * decisions: no expiry, no bounds. Throws `EngineError` (`RECORDS_MALFORMED`) before it changes
   * anything when the bytes are not whole, valid records whose revisions go on from this engine's, and
   * `RECORD_TOO_LARGE` when a value is longer than this engine takes.
   *
   * Puts no keys in order: the next call of another kind does, for all calls since. After a recovery,
   * call `advance` before the first request comes.
   */
  fold(records: Uint8Array): void;

  /**
   * Applies a part of a snapshot: records of any revision from 1 on that say what is (PUT, SESSION, HOLD,
   * FENCE, in that order of kinds), the keys of a kind in strictly ascending byte order and above every one
   * held of that kind. A partition's revision becomes the highest seen. Time moves as in `fold`; so does what
   * is thrown, before anything changes.
   */
  restore(records: Uint8Array): void;

  /**
   * Ends a snapshot: sets the newest revision of each partition, one figure each (integers below 2^53,
   * none below the present one), and moves time on to `time` (ms since 1970, below 2^53). Both are those
   * of records that a snapshot may not have any more, such as a delete. Throws `EngineError`
   * (`RECORDS_MALFORMED`) before it changes anything otherwise.
   */
  restoreRevisions(revisions: Float64Array, time: number): void;

  /** The newest revision of a partition; 0 before its first record. */
  revisionOf(partition: number): number;

  /** The partition of a key, 0..partitions - 1. */
  partitionOf(key: Uint8Array): number;

  /** Frees memory. No call may follow. */
  close(): void;
}

/** The engine could not be made, or was called in a way that the contract excludes. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  constructor(
    readonly code:
      | 'OPTIONS_INVALID'
      | 'RECORDS_MALFORMED'
      | 'RECORD_TOO_LARGE'
      | 'ADDON_BROKEN'
      | 'ADDON_ABSENT',
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** Throws `EngineError` (`OPTIONS_INVALID`) where an option is out of range. */
export function checkOptions(options: EngineOptions): void {
  const { partitions, valueBytesMax, memoryBytesMax, hashSeed, routing, counters } = options;
  if (!isWithin(partitions, 1, PARTITIONS_MAX) || (partitions & (partitions - 1)) !== 0) {
    throw invalid('partitions', partitions, `a power of two from 1 to ${PARTITIONS_MAX}`);
  }
  if (!isWithin(valueBytesMax, 1, VALUE_BYTES_CONFIGURABLE_MAX)) {
    throw invalid('valueBytesMax', valueBytesMax, `1 to ${VALUE_BYTES_CONFIGURABLE_MAX}`);
  }
  if (!isWithin(memoryBytesMax, 0, Number.MAX_SAFE_INTEGER)) {
    throw invalid('memoryBytesMax', memoryBytesMax, '0 (no bound) or a number of bytes');
  }
  if (!isWithin(hashSeed, 0, 2 ** 32 - 1)) {
    throw invalid('hashSeed', hashSeed, 'an unsigned 32-bit integer');
  }
  if (routing !== undefined) checkRouting(routing, partitions);
  if (counters !== undefined && counters.length !== COUNTERS) {
    throw invalid('counters.length', counters.length, `${COUNTERS}`);
  }
}

function checkRouting({ worker, table, revisions }: EngineRouting, partitions: number): void {
  if (!isWithin(worker, 0, WORKERS_MAX - 1)) {
    throw invalid('routing.worker', worker, `0 to ${WORKERS_MAX - 1}`);
  }
  if (table.byteLength !== ROUTING_BYTES) {
    throw invalid('routing.table.byteLength', table.byteLength, `${ROUTING_BYTES}`);
  }
  if (revisions.length !== partitions) {
    throw invalid('routing.revisions.length', revisions.length, 'one a partition');
  }
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function invalid(option: string, value: number, allowed: string): EngineError {
  return new EngineError('OPTIONS_INVALID', `${option} is ${value}; use ${allowed}.`);
}

/** The answer to records that an engine cannot apply. */
export function recordsMalformed(): EngineError {
  return new EngineError(
    'RECORDS_MALFORMED',
    'The records are not whole and valid or do not go on from this state; nothing was applied.',
  );
}

/** The answer to a record with a value of `valueBytes`, where the bound is lower. */
export function recordTooLarge(valueBytes: number): EngineError {
  return new EngineError(
    'RECORD_TOO_LARGE',
    `A record holds a value of ${valueBytes} bytes, above the bound; raise --value-bytes-max to at least ${valueBytes}. Nothing was applied.`,
  );
}
