// A semaphore is a lock with places: up to `permits` holders at a time, first come first served. All who use it
// must name the same number.

import { PERMITS_MAX } from '../wire/limits.js';
import { invalidArgument } from './errors.js';
import type { Lock, WaitOptions } from './lock.js';
import type { Locks } from './locks.js';

export interface PermitOptions extends WaitOptions {
  /** Milliseconds of a lease of its own; see LockOptions. */
  readonly ttlMs?: number | undefined;
}

export class Semaphore {
  constructor(
    private readonly locks: Locks,
    readonly name: string,
    readonly permits: number,
  ) {
    if (Number.isInteger(permits) && permits >= 1 && permits <= PERMITS_MAX) return;
    throw invalidArgument(`a semaphore has 1 to ${PERMITS_MAX} permits`);
  }

  /** Takes a place; it is held and given back as a lock is. */
  acquire({ waitMs, signal, ttlMs }: PermitOptions = {}): Promise<Lock> {
    return this.locks.acquire(this.name, { waitMs, signal, ttlMs }, this.permits);
  }
}
