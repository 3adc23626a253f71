// What a worker counts as it runs, as plain figures in a block of its own: memory that workers of one process
// share, so that each can show the sums of all. They are turned into metrics when those are read.
//
// A block has the counters first, which only grow, then the gauges, which say what is at present, then once
// more the counters: what earlier threads of the worker had counted when they died. So sums never shrink.

import { OPERATION_CODE_COUNT } from '../ts/engine/engine.js';
import { STATUS_COUNT } from '../ts/wire/status.js';

/** Buckets of a duration histogram: 2^0 to 2^23 microseconds, and one for what is longer. */
export const DURATION_BUCKET_COUNT = 25;
/** HTTP statuses with which an upgrade request is refused. */
export const UPGRADE_REFUSALS = [403, 404, 503] as const;

// Places of counters.
const FRAMES = 0;
const RECEIVED_BYTES = 1;
const SENT_BYTES = 2;
const RECORD_BYTES = 3;
const CONNECTIONS_ACCEPTED = 4;
const OPERATIONS_OVERLOADED = 5;
const FORWARDED_FRAMES = 6;
const FORWARDED_OPERATIONS = 7;
/** Buckets, then the sum in milliseconds. */
const FRAME_DURATIONS = 8;
const REFUSED = FRAME_DURATIONS + DURATION_BUCKET_COUNT + 1;
const UPGRADES_REFUSED = REFUSED + STATUS_COUNT;
/** `Engine.counters`. */
const OPERATIONS = UPGRADES_REFUSED + UPGRADE_REFUSALS.length;
const OPERATIONS_LENGTH = OPERATION_CODE_COUNT * STATUS_COUNT;
const LOG_COUNTERS = OPERATIONS + OPERATIONS_LENGTH;

/** Counters that the log and its compactor keep, and gauges. Written now and then: see `Figures.publish`. */
export const LOG_APPENDS = LOG_COUNTERS;
export const LOG_DURABLE_APPENDS = LOG_COUNTERS + 1;
export const COMPACTIONS = LOG_COUNTERS + 2;
export const COMPACTIONS_FAILED = LOG_COUNTERS + 3;

const GAUGES = LOG_COUNTERS + 4;
export const CONNECTIONS = GAUGES;
export const KEYS = GAUGES + 1;
export const MEMORY_BYTES = GAUGES + 2;
/** Sum of the revisions of its partitions. */
export const RECORDS = GAUGES + 3;
export const SESSIONS = GAUGES + 4;
export const SESSIONS_CONNECTED = GAUGES + 5;
export const LOCK_HOLDS = GAUGES + 6;
export const LOCK_WAITS = GAUGES + 7;
export const WATCHES = GAUGES + 8;
export const LOG_BATCHES = GAUGES + 9;
export const LOG_PENDING_BYTES = GAUGES + 10;
export const LOG_SEALED_BYTES = GAUGES + 11;
export const SNAPSHOT_BYTES = GAUGES + 12;
export const HELD_REPLIES = GAUGES + 13;
export const HELD_BYTES = GAUGES + 14;
export const WRITES_REFUSED = GAUGES + 15;
/** Moves on as long as the worker's event loop turns. */
export const BEATS = GAUGES + 16;
const EARLIER = GAUGES + 17;

/** Numbers of a block. */
export const FIGURES_LENGTH = EARLIER + GAUGES;

/** Durations in buckets of powers of two. An observation is two additions. */
export class Durations {
  /** Bucket `i` holds what took up to `2^i` microseconds and more than the bucket before. */
  readonly buckets: Float64Array;

  /** `rows`: the buckets, then the sum in milliseconds. */
  constructor(private readonly rows: Float64Array = new Float64Array(DURATION_BUCKET_COUNT + 1)) {
    this.buckets = rows.subarray(0, DURATION_BUCKET_COUNT);
  }

  get sumMs(): number {
    return this.rows[DURATION_BUCKET_COUNT] as number;
  }

  observe(ms: number): void {
    const us = Math.ceil(ms * 1000);
    const bucket = us <= 1 ? 0 : 32 - Math.clz32(us - 1);
    const index = Math.min(bucket, DURATION_BUCKET_COUNT - 1);
    this.rows[index] = (this.rows[index] as number) + 1;
    this.rows[DURATION_BUCKET_COUNT] = this.sumMs + ms;
  }
}

export class Counters {
  /** Frames and connections refused, by status. */
  readonly refused: Float64Array;
  /** Of one frame in FRAMES_PER_TIMED_FRAME. */
  readonly frameDurations: Durations;
  /** Upgrade requests refused, as UPGRADE_REFUSALS has the statuses. */
  readonly upgradesRefused: Float64Array;
  /** `Engine.counters` of engines that share their figures. */
  readonly operations: Float64Array;

  /** `block`: FIGURES_LENGTH numbers, written by this worker alone. */
  constructor(private readonly block: Float64Array = new Float64Array(FIGURES_LENGTH)) {
    this.refused = block.subarray(REFUSED, REFUSED + STATUS_COUNT);
    this.frameDurations = new Durations(block.subarray(FRAME_DURATIONS, REFUSED));
    this.upgradesRefused = block.subarray(UPGRADES_REFUSED, OPERATIONS);
    this.operations = block.subarray(OPERATIONS, OPERATIONS + OPERATIONS_LENGTH);
  }

  /** Request frames that came after a hello. */
  get frames(): number {
    return this.block[FRAMES] as number;
  }
  set frames(value: number) {
    this.block[FRAMES] = value;
  }

  get receivedBytes(): number {
    return this.block[RECEIVED_BYTES] as number;
  }
  set receivedBytes(value: number) {
    this.block[RECEIVED_BYTES] = value;
  }

  get sentBytes(): number {
    return this.block[SENT_BYTES] as number;
  }
  set sentBytes(value: number) {
    this.block[SENT_BYTES] = value;
  }

  get recordBytes(): number {
    return this.block[RECORD_BYTES] as number;
  }
  set recordBytes(value: number) {
    this.block[RECORD_BYTES] = value;
  }

  get connections(): number {
    return this.block[CONNECTIONS_ACCEPTED] as number;
  }
  set connections(value: number) {
    this.block[CONNECTIONS_ACCEPTED] = value;
  }

  /** Operations answered with OVERLOADED, unexecuted. */
  get operationsOverloaded(): number {
    return this.block[OPERATIONS_OVERLOADED] as number;
  }
  set operationsOverloaded(value: number) {
    this.block[OPERATIONS_OVERLOADED] = value;
  }

  /** Frames, and the operations in them, that were sent on to the workers whose they are. */
  get forwardedFrames(): number {
    return this.block[FORWARDED_FRAMES] as number;
  }
  set forwardedFrames(value: number) {
    this.block[FORWARDED_FRAMES] = value;
  }

  get forwardedOperations(): number {
    return this.block[FORWARDED_OPERATIONS] as number;
  }
  set forwardedOperations(value: number) {
    this.block[FORWARDED_OPERATIONS] = value;
  }
}

/** Puts aside what a worker that has died had counted, so that the next one begins with zeros. */
export function retire(block: Float64Array): void {
  for (let index = 0; index < GAUGES; index++) {
    block[EARLIER + index] = (block[EARLIER + index] as number) + (block[index] as number);
  }
  block.fill(0, 0, EARLIER);
}

/** Makes `total`, a block too, the sum of all blocks. */
export function sumBlocks(blocks: readonly Float64Array[], total: Float64Array): void {
  total.fill(0);
  for (const block of blocks) {
    for (let index = 0; index < EARLIER; index++) {
      const earlier = index < GAUGES ? (block[EARLIER + index] as number) : 0;
      total[index] = (total[index] as number) + (block[index] as number) + earlier;
    }
  }
}
