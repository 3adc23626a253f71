// Fences: the highest token of a lock that has been seen in a partition which is not the lock's own, so
// that a write by one who holds the lock no more is refused there as well.

import { compareBytes } from '../wire/bytes.js';

/** Bytes of a fence's key in records behind the lock's name: the partition. */
export const FENCE_SUFFIX_BYTES = 4;

export class Fences {
  /** By partition and name of the lock. */
  private readonly fences = new Map<string, number>();
  /** The key, as in records, that comes last in byte order; empty where there is none. */
  greatestKey: Uint8Array = new Uint8Array(0);

  /** The highest token seen; 0: none. `name`: see `nameText` of `locks.ts`. */
  seen(partition: number, name: string): number {
    return this.fences.get(`${partition}:${name}`) ?? 0;
  }

  /** Notes a token; `key` as in records. Whether the fence is new. */
  note(partition: number, name: string, key: Uint8Array, token: number): boolean {
    const text = `${partition}:${name}`;
    const isNew = !this.fences.has(text);
    this.fences.set(text, token);
    const { greatestKey } = this;
    if (isNew && compareBytes(greatestKey, 0, greatestKey.length, key, 0, key.length) < 0) {
      this.greatestKey = key.slice();
    }
    return isNew;
  }
}

/** The key of a fence in records: the lock's name `bytes[start, end)`, then the partition. */
export function fenceKey(
  bytes: Uint8Array,
  start: number,
  end: number,
  partition: number,
): Uint8Array {
  const key = new Uint8Array(end - start + FENCE_SUFFIX_BYTES);
  key.set(bytes.subarray(start, end));
  new DataView(key.buffer).setUint32(end - start, partition, true);
  return key;
}
