// What a worker counts as it runs. Plain numbers: they are turned into metrics when those are read.

import { STATUS_COUNT } from '../ts/wire/status.js';

/** Buckets of a duration histogram: 2^0 to 2^23 microseconds, and one for what is longer. */
export const DURATION_BUCKET_COUNT = 25;

/** Durations in buckets of powers of two. An observation is two additions. */
export class Durations {
  /** Bucket `i` holds what took up to `2^i` microseconds and more than the bucket before. */
  readonly buckets = new Float64Array(DURATION_BUCKET_COUNT);
  sumMs = 0;

  observe(ms: number): void {
    const us = Math.ceil(ms * 1000);
    const bucket = us <= 1 ? 0 : 32 - Math.clz32(us - 1);
    const index = Math.min(bucket, DURATION_BUCKET_COUNT - 1);
    this.buckets[index] = (this.buckets[index] as number) + 1;
    this.sumMs += ms;
  }
}

export class Counters {
  /** Request frames that came after a hello. */
  frames = 0;
  /** Frames and connections refused, by status. */
  readonly refused = new Float64Array(STATUS_COUNT);
  receivedBytes = 0;
  sentBytes = 0;
  recordBytes = 0;
  connections = 0;
  /** Upgrade requests refused, by HTTP status. */
  readonly upgradesRefused = new Map<number, number>();
  /** Operations answered with OVERLOADED, unexecuted. */
  operationsOverloaded = 0;
  /** Of one frame in FRAMES_PER_TIMED_FRAME. */
  readonly frameDurations = new Durations();
}
