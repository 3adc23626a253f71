// The Rust engine behind the contract of `engine.ts`. Buffers are made here, registered once and
// written in place by the addon; a call passes a frame and numbers and returns a number.

import {
  ROUTING_BYTES,
  ROUTING_OWNERS,
  ROUTING_PARTITIONS,
  ROUTING_SEQUENCE,
  ROUTING_STATES,
  ROUTING_VERSION,
  ROUTING_WORKERS,
} from '../shared/layout.js';
import { HEADER_BYTES, OPERATION_BYTES, PROTOCOL_VERSION, RESULT_BYTES } from '../wire/layout.js';
import {
  ANSWERS_REMEMBERED_MAX,
  DEADLOCK_BLOCKERS_EXAMINED_MAX,
  DEADLOCK_STEPS_SHOWN_MAX,
  DEADLOCK_WAITS_EXAMINED_MAX,
  ENTRY_OVERHEAD_BYTES,
  EXPIRIES_PER_ADVANCE_MAX,
  FENCE_OVERHEAD_BYTES,
  FRAME_BYTES_MAX_DEFAULT,
  FRAME_BYTES_SLACK,
  frameBytesMaxFor,
  GATE_REMOVALS_EXAMINED_MAX,
  HOLD_OVERHEAD_BYTES,
  KEY_BYTES_MAX,
  LEASE_MS_MAX,
  LOCK_DEPTH_MAX,
  LOCK_ITEMS_SHOWN_MAX,
  NOTICES_BYTES,
  OPERATIONS_PER_FRAME_MAX,
  PARTITIONS_MAX,
  PERMITS_MAX,
  RESULTS_PER_REPLY_MAX,
  SCAN_BYTES_MAX,
  SCAN_ENTRIES_MAX,
  SCAN_EXPIRED_MAX,
  SESSION_END_BYTES_MAX,
  SESSION_OVERHEAD_BYTES,
  SESSION_SECRET_BYTES,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
  SESSION_WAITS_MAX,
  TTL_MS_MAX,
  VALUE_BYTES_CONFIGURABLE_MAX,
  WORKERS_MAX,
} from '../wire/limits.js';
import { STATUS_COUNT, type Status } from '../wire/status.js';
import {
  DUE_PER_CALL_MAX,
  DUE_ROOM_BYTES,
  DUE_SESSION_ROOM_BYTES,
  NOTICE_DATA_AT,
} from './coordination.js';
import {
  checkOptions,
  type Engine,
  type EngineOptions,
  INPUT_LENGTH,
  initialInput,
  OPERATION_CODE_COUNT,
  OUTCOME_LENGTH,
  recordsMalformed,
  recordTooLarge,
} from './engine.js';
import type { NativeRingAddon } from './native-ring.js';
import { RECORD_HEADER_BYTES } from './records.js';
import { FORWARD_HEAD_BYTES } from './workers.js';

/** The layouts and limits that both sides must share, in the order of `abi` in `lib.rs`. */
export const ADDON_ABI = [
  PROTOCOL_VERSION,
  HEADER_BYTES,
  OPERATION_BYTES,
  RESULT_BYTES,
  RECORD_HEADER_BYTES,
  STATUS_COUNT,
  OPERATION_CODE_COUNT,
  OUTCOME_LENGTH,
  INPUT_LENGTH,
  KEY_BYTES_MAX,
  VALUE_BYTES_CONFIGURABLE_MAX,
  FRAME_BYTES_MAX_DEFAULT,
  FRAME_BYTES_SLACK,
  OPERATIONS_PER_FRAME_MAX,
  RESULTS_PER_REPLY_MAX,
  SCAN_ENTRIES_MAX,
  SCAN_BYTES_MAX,
  SCAN_EXPIRED_MAX,
  TTL_MS_MAX,
  ENTRY_OVERHEAD_BYTES,
  EXPIRIES_PER_ADVANCE_MAX,
  PARTITIONS_MAX,
  GATE_REMOVALS_EXAMINED_MAX,
  NOTICE_DATA_AT,
  SESSION_TTL_MS_MIN,
  SESSION_TTL_MS_MAX,
  SESSION_SECRET_BYTES,
  SESSION_END_BYTES_MAX,
  SESSION_WAITS_MAX,
  ANSWERS_REMEMBERED_MAX,
  LEASE_MS_MAX,
  PERMITS_MAX,
  LOCK_DEPTH_MAX,
  SESSION_OVERHEAD_BYTES,
  HOLD_OVERHEAD_BYTES,
  FENCE_OVERHEAD_BYTES,
  DEADLOCK_WAITS_EXAMINED_MAX,
  DEADLOCK_BLOCKERS_EXAMINED_MAX,
  DEADLOCK_STEPS_SHOWN_MAX,
  LOCK_ITEMS_SHOWN_MAX,
  NOTICES_BYTES,
  DUE_PER_CALL_MAX,
  DUE_SESSION_ROOM_BYTES,
  DUE_ROOM_BYTES,
  WORKERS_MAX,
  ROUTING_SEQUENCE,
  ROUTING_VERSION,
  ROUTING_WORKERS,
  ROUTING_PARTITIONS,
  ROUTING_STATES,
  ROUTING_OWNERS,
  ROUTING_BYTES,
  FORWARD_HEAD_BYTES,
].join(' ');

/** What the addon exports. */
export interface NativeAddon extends NativeRingAddon {
  abi(): string;
  NativeEngine: new (
    partitions: number,
    valueBytesMax: number,
    memoryBytesMax: number,
    hashSeed: number,
    reply: Uint8Array,
    records: Uint8Array,
    notices: Uint8Array,
    /** Empty without routing. */
    forwards: Uint8Array,
    outcome: Float64Array,
    input: Float64Array,
    counters: Float64Array,
    worker?: number,
    routingTable?: Uint32Array,
    revisions?: BigUint64Array,
  ) => NativeHandle;
}

interface NativeHandle {
  /** The function behind `Engine.execute`, without the cost of a generated binding. */
  executeFunction(): Engine['execute'];
  advance(now: number): number;
  openSession(id: number, ttlMs: number, digest: Uint8Array, now: number): Status;
  resumeSession(id: number, digest: Uint8Array, now: number): Status;
  admitSession(id: number): Status;
  endGuest(id: number, now: number): Status;
  guests(): Float64Array;
  /** How many; -1 where they had no room. */
  listBlockers(sessions: Float64Array): number;
  refuseWait(session: number, id: number, detail: Uint8Array, now: number): boolean;
  /** 0 where the records were applied; the length of a value that is too large; or -1. */
  fold(records: Uint8Array): number;
  /** As `fold`. */
  restore(records: Uint8Array): number;
  /** Whether the revisions were set. */
  restoreRevisions(revisions: Float64Array, time: number): boolean;
  revisionOf(partition: number): number;
  partitionOf(key: Uint8Array): number;
  close(): void;
}

export class NativeEngine implements Engine {
  readonly kind = 'native';
  readonly reply: Uint8Array<ArrayBuffer>;
  readonly records: Uint8Array<ArrayBuffer>;
  readonly notices = new Uint8Array(NOTICES_BYTES);
  readonly forwards: Uint8Array<ArrayBuffer>;
  readonly outcome = new Float64Array(OUTCOME_LENGTH);
  readonly input = initialInput();
  readonly counters: Float64Array;
  readonly execute: Engine['execute'];
  private readonly handle: NativeHandle;

  constructor(addon: NativeAddon, options: EngineOptions) {
    checkOptions(options);
    this.reply = new Uint8Array(frameBytesMaxFor(options.valueBytesMax));
    this.records = new Uint8Array(this.reply.length);
    const { routing } = options;
    const forwardsBytes = routing === undefined ? 0 : forwardsBytesFor(this.reply.length);
    this.forwards = new Uint8Array(forwardsBytes);
    this.counters = options.counters ?? new Float64Array(OPERATION_CODE_COUNT * STATUS_COUNT);
    this.handle = new addon.NativeEngine(
      options.partitions,
      options.valueBytesMax,
      options.memoryBytesMax,
      options.hashSeed,
      this.reply,
      this.records,
      this.notices,
      this.forwards,
      this.outcome,
      this.input,
      this.counters,
      routing?.worker,
      routing?.table,
      routing?.revisions,
    );
    this.execute = this.handle.executeFunction();
  }

  advance(now: number): number {
    return this.handle.advance(now);
  }

  openSession(id: number, ttlMs: number, digest: Uint8Array, now: number): Status {
    return this.handle.openSession(id, ttlMs, digest, now);
  }

  resumeSession(id: number, digest: Uint8Array, now: number): Status {
    return this.handle.resumeSession(id, digest, now);
  }

  admitSession(id: number): Status {
    return this.handle.admitSession(id);
  }

  endGuest(id: number, now: number): Status {
    return this.handle.endGuest(id, now);
  }

  guests(): Float64Array {
    return this.handle.guests();
  }

  listBlockers(sessions: Float64Array): number {
    return this.handle.listBlockers(sessions);
  }

  refuseWait(session: number, id: number, detail: Uint8Array, now: number): boolean {
    return this.handle.refuseWait(session, id, detail, now);
  }

  fold(records: Uint8Array): void {
    checkTaken(this.handle.fold(records));
  }

  restore(records: Uint8Array): void {
    checkTaken(this.handle.restore(records));
  }

  restoreRevisions(revisions: Float64Array, time: number): void {
    if (!this.handle.restoreRevisions(revisions, time)) throw recordsMalformed();
  }

  revisionOf(partition: number): number {
    return this.handle.revisionOf(partition);
  }

  partitionOf(key: Uint8Array): number {
    return this.handle.partitionOf(key);
  }

  close(): void {
    this.handle.close();
  }
}

/** Bytes of what one frame leaves to other workers, at most; `limits.rs` says why. */
function forwardsBytesFor(frameBytesMax: number): number {
  const overheadBytes = FORWARD_HEAD_BYTES + HEADER_BYTES + 4 + 7;
  return frameBytesMax + OPERATIONS_PER_FRAME_MAX * OPERATION_BYTES + WORKERS_MAX * overheadBytes;
}

/** Throws what the addon's answer to records stands for. */
function checkTaken(answer: number): void {
  if (answer > 0) throw recordTooLarge(answer);
  if (answer < 0) throw recordsMalformed();
}
