// From a key to its partition. The ring of 2^32 positions is cut into equal arcs, a power of two of
// them, so that the partition is the top bits of the key's hash.

import { xxh32 } from './xxh32.js';

const OPEN = 0x7b; // {
const CLOSE = 0x7d; // }

/**
 * The partition of the key `bytes[start, end)`. Where the key holds `{tag}` (the first `{`, and a
 * `}` after it with at least one byte between), only the tag is hashed, so that keys with one tag
 * share a partition.
 */
export function partitionOfKey(
  bytes: Uint8Array,
  start: number,
  end: number,
  partitions: number,
): number {
  const partition = partitionOfTag(bytes, start, end, partitions);
  return partition >= 0 ? partition : partitionOfHash(xxh32(bytes, start, end, 0), partitions);
}

/** The partition that all keys with this prefix share, because a whole `{tag}` is in it; -1: none. */
export function partitionOfTag(
  bytes: Uint8Array,
  start: number,
  end: number,
  partitions: number,
): number {
  let open = start;
  while (open < end && bytes[open] !== OPEN) open++;
  let close = open + 1;
  while (close < end && bytes[close] !== CLOSE) close++;
  if (close >= end || close <= open + 1) return -1;
  return partitionOfHash(xxh32(bytes, open + 1, close, 0), partitions);
}

function partitionOfHash(hash: number, partitions: number): number {
  // partitions is a power of two, so the division is exact and the quotient has its top bits.
  return Math.floor(hash / (2 ** 32 / partitions));
}
