// What a worker counts as it runs, as plain figures in a block of its own: memory that workers of one process
// share, so that each can show the sums of all. They are turned into metrics when those are read.
//
// A block has the counters first, which only grow, then the gauges, which say what is at present, then once
// more the counters: what earlier threads of the worker had counted when they died. So sums never shrink.

import { OPERATION_CODE_COUNT } from '../ts/engine/engine.js';
import { FigureLayout, type FigureReader, type FigureRow } from '../ts/shared/figures.js';
import { STATUS_COUNT } from '../ts/wire/status.js';

/** Buckets of a duration histogram: 2^0 to 2^23 microseconds, and one for what is longer. */
export const DURATION_BUCKET_COUNT = 25;
/** HTTP statuses with which an upgrade request is refused. */
export const UPGRADE_REFUSALS = [403, 404, 503] as const;

const layout = new FigureLayout();
const place = () => layout.row().start;

// Counters.
const FRAMES = place();
const RECEIVED_BYTES = place();
const SENT_BYTES = place();
const RECORD_BYTES = place();
const CONNECTIONS_ACCEPTED = place();
const OPERATIONS_OVERLOADED = place();
const OPERATIONS_UNAVAILABLE = place();
const FORWARDED_FRAMES = place();
const FORWARDED_OPERATIONS = place();
/** Buckets, then the sum in milliseconds. */
const FRAME_DURATIONS = layout.row(DURATION_BUCKET_COUNT + 1);
const REFUSED = layout.row(STATUS_COUNT);
const UPGRADES_REFUSED = layout.row(UPGRADE_REFUSALS.length);
const OPERATIONS = layout.row(OPERATION_CODE_COUNT * STATUS_COUNT);
export const LOG_APPENDS = place();
export const LOG_DURABLE_APPENDS = place();
export const COMPACTIONS = place();
export const COMPACTIONS_FAILED = place();
const COUNTERS_COUNT = layout.length;

// Gauges.
export const CONNECTIONS = place();
export const KEYS = place();
export const MEMORY_BYTES = place();
/** Sum of the revisions of its partitions. */
export const RECORDS = place();
export const SESSIONS = place();
export const SESSIONS_CONNECTED = place();
export const LOCK_HOLDS = place();
export const LOCK_WAITS = place();
export const WATCHES = place();
export const LOG_BATCHES = place();
export const LOG_PENDING_BYTES = place();
export const LOG_SEALED_BYTES = place();
export const SNAPSHOT_BYTES = place();
export const HELD_REPLIES = place();
export const HELD_BYTES = place();
export const WRITES_REFUSED = place();
/** Moves on as long as the worker's event loop turns. */
export const BEATS = place();

const EARLIER = layout.row(COUNTERS_COUNT).start;

/** Numbers of a block. */
export const FIGURES_LENGTH = layout.length;

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
    const row = ({ start, count }: FigureRow) => block.subarray(start, start + count);
    this.refused = row(REFUSED);
    this.frameDurations = new Durations(row(FRAME_DURATIONS));
    this.upgradesRefused = row(UPGRADES_REFUSED);
    this.operations = row(OPERATIONS);
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

  /** Operations answered with UNAVAILABLE because their worker was not there. */
  get operationsUnavailable(): number {
    return this.block[OPERATIONS_UNAVAILABLE] as number;
  }
  set operationsUnavailable(value: number) {
    this.block[OPERATIONS_UNAVAILABLE] = value;
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

/**
 * Puts aside what a worker that has died had counted, so that the next one begins with zeros. What its log brings
 * back stays until the next one knows it: shown as counters, these must not shrink for the time of a restart.
 */
export function retire(block: Float64Array): void {
  const records = block[RECORDS] as number;
  const batches = block[LOG_BATCHES] as number;
  for (let index = 0; index < COUNTERS_COUNT; index++) {
    block[EARLIER + index] = (block[EARLIER + index] as number) + (block[index] as number);
  }
  block.fill(0, 0, EARLIER);
  block[RECORDS] = records;
  block[LOG_BATCHES] = batches;
}

/** Makes `total`, a block too, the sums of all blocks. */
export function sumInto(total: Float64Array, blocks: FigureReader): void {
  for (let index = 0; index < EARLIER; index++) {
    const earlier = index < COUNTERS_COUNT ? blocks.sumOf(EARLIER + index) : 0;
    total[index] = blocks.sumOf(index) + earlier;
  }
}
