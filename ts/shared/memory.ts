// All memory that the workers of a process share: made by the supervisor, handed to each thread as it is. Nothing
// else is shared, and each part has one writer a word.

import { PARTITIONS_MAX, WORKERS_MAX } from '../wire/limits.js';
import {
  DOORBELL_WORDS,
  RING_BYTES_DEFAULT,
  RING_BYTES_MANY_WORKERS,
  RING_WORKERS_MAX,
  ROUTING_BYTES,
} from './layout.js';
import { RING_CONTROL_BYTES } from './ring.js';

/** Plain data: it can be posted to a thread, and is then the same memory there. */
export interface SharedMemory {
  readonly workers: number;
  readonly partitions: number;
  /** See `routing-table.ts`. */
  readonly routing: SharedArrayBuffer;
  /** A u64 a partition: its newest revision. */
  readonly revisions: SharedArrayBuffer;
  /** A block a worker; see `figures.ts`. */
  readonly figures: readonly SharedArrayBuffer[];
  /** See `doorbell.ts`. */
  readonly doorbells: SharedArrayBuffer;
  /** By writer, then by reader; see `ring.ts`. A worker has none to itself: 0 bytes. */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
}

export interface SharedMemoryOptions {
  readonly workers: number;
  readonly partitions: number;
  /** Doubles of a worker. */
  readonly figures: number;
  /** Bytes of messages that a ring holds, a power of two. */
  readonly ringBytes?: number;
}

/** All zeros: the supervisor fills the routing table. */
export function makeSharedMemory({
  workers,
  partitions,
  figures,
  ringBytes = workers > RING_WORKERS_MAX ? RING_BYTES_MANY_WORKERS : RING_BYTES_DEFAULT,
}: SharedMemoryOptions): SharedMemory {
  if (!(workers >= 1 && workers <= WORKERS_MAX)) throw new RangeError(`${workers} workers`);
  if (!(partitions >= 1 && partitions <= PARTITIONS_MAX)) {
    throw new RangeError(`${partitions} partitions`);
  }
  const ring = (from: number, to: number) =>
    new SharedArrayBuffer(from === to ? 0 : RING_CONTROL_BYTES + ringBytes);
  const each = Array.from({ length: workers }, (_, worker) => worker);
  return {
    workers,
    partitions,
    routing: new SharedArrayBuffer(ROUTING_BYTES),
    revisions: new SharedArrayBuffer(partitions * BigUint64Array.BYTES_PER_ELEMENT),
    figures: each.map(() => new SharedArrayBuffer(figures * Float64Array.BYTES_PER_ELEMENT)),
    doorbells: new SharedArrayBuffer(workers * DOORBELL_WORDS * Int32Array.BYTES_PER_ELEMENT),
    rings: each.map((from) => each.map((to) => ring(from, to))),
  };
}
