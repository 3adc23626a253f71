// Sorting many entries by their keys. Comparing whole keys would wait for memory at every comparison;
// here three bytes of each key at a time are brought beside its handle, and only runs that are alike in
// them go on to the next three (multikey sorting: Bentley and Sedgewick, "Fast algorithms for sorting and
// searching strings").

import type { Entries } from './entries.js';

/** Bytes of a key that are compared at a time. */
const STEP = 3;
const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
/** Where a 64-bit item has its handle, and where the part of the key that it is sorted by. */
const HANDLE = IS_LITTLE_ENDIAN ? 0 : 1;
const PART = 1 - HANDLE;

/** Sorts handles, all of different keys, by key. */
export function sortByKey(entries: Entries, handles: Uint32Array): void {
  const items = new Uint32Array(handles.length * 2);
  for (let at = 0; at < handles.length; at++) items[at * 2 + HANDLE] = handles[at] as number;
  sortFrom(entries, items, 0);
  for (let at = 0; at < handles.length; at++) handles[at] = items[at * 2 + HANDLE] as number;
}

/** Sorts items whose keys are alike in the first `depth` bytes. */
function sortFrom(entries: Entries, items: Uint32Array, depth: number): void {
  const count = items.length / 2;
  let alike = true;
  for (let at = 0; at < count; at++) {
    items[at * 2 + PART] = partOf(entries, items[at * 2 + HANDLE] as number, depth);
    alike &&= items[at * 2 + PART] === items[PART];
  }
  if (!alike) new BigUint64Array(items.buffer, items.byteOffset, count).sort();
  for (let start = 0, end = 0; start < count; start = end) {
    const part = items[start * 2 + PART];
    while (end < count && items[end * 2 + PART] === part) end++;
    if (end - start > 1) sortFrom(entries, items.subarray(start * 2, end * 2), depth + STEP);
  }
}

/**
 * Three bytes of the key, then how many of its bytes are left, four at most: of keys alike so far, the
 * shorter one comes first.
 */
function partOf(entries: Entries, handle: number, depth: number): number {
  const bytes = entries.bytes(handle);
  const at = entries.keyStart(handle) + depth;
  const left = Math.min(entries.keyEnd(handle) - at, STEP + 1);
  let part = 0;
  for (let index = 0; index < STEP; index++) {
    part = (part << 8) | (index < left ? (bytes[at + index] as number) : 0);
  }
  return ((part << 8) | left) >>> 0;
}
