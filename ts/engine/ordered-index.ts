// The keys in byte order, for prefix scans. A list of sorted blocks of handles: a binary search over
// the blocks' first keys and one within the block find a place in O(log n) comparisons, and an
// insertion moves at most one block's worth of handles. Four to eight bytes a key.
//
// While records are folded nobody scans, so the index may fall behind: handles that come and go are only
// noted, and `settle` sorts and merges all of them at once, which for keys in random order is many times
// as fast as a search for each.

import type { Entries } from './entries.js';
import { sortByKey } from './key-order.js';

/** Handles of a block at most; it splits in two above. */
const BLOCK_KEYS_MAX = 512;
/** A block and its successor are joined when together they hold no more. */
const BLOCK_KEYS_JOIN = 256;
/** Changes are merged in one pass over the index where they are no fewer than this part of it. */
const MERGE_PART = 32;
/** Memory kept for removed entries of an index that is behind, in bytes. */
const REMOVED_BYTES_MAX = 64 * 1024 * 1024;

class Block {
  readonly handles = new Uint32Array(BLOCK_KEYS_MAX + 1);
  count = 0;

  insert(at: number, handle: number): void {
    this.handles.copyWithin(at + 1, at, this.count);
    this.handles[at] = handle;
    this.count++;
  }

  remove(at: number): void {
    this.handles.copyWithin(at, at + 1, this.count);
    this.count--;
  }

  /** Moves the handles from `at` on to the end of another block. */
  moveTo(other: Block, at: number): void {
    other.handles.set(this.handles.subarray(at, this.count), other.count);
    other.count += this.count - at;
    this.count = at;
  }
}

/** A place in the index; valid until the next insertion or removal. */
export class IndexCursor {
  block = 0;
  at = 0;
}

export class OrderedIndex {
  /** Whether changes are only noted. */
  deferring = false;
  /** None is empty. */
  private blocks: Block[] = [];
  /** Handles noted to come, and to go. One may be in both; the entries of both must stay readable. */
  private added: number[] = [];
  private removed: number[] = [];
  private removedBytes = 0;

  constructor(private readonly entries: Entries) {}

  /** The entry of the greatest key; 0 where there is none. */
  get greatest(): number {
    const last = this.blocks.at(-1);
    return last === undefined ? 0 : (last.handles[last.count - 1] as number);
  }

  /** Whether changes are noted that `settle` has to make before the index is read. */
  get isBehind(): boolean {
    return this.added.length > 0 || this.removed.length > 0;
  }

  /** Makes the changes that were noted, and frees the memory of removed entries. */
  settle(): void {
    const { entries, removed: freed } = this;
    const [added, removed] = withoutShared(this.added, freed);
    this.added = [];
    this.removed = [];
    this.removedBytes = 0;
    sortByKey(entries, added);
    sortByKey(entries, removed);
    if ((added.length + removed.length) * MERGE_PART >= this.blocks.length * BLOCK_KEYS_JOIN) {
      this.merge(added, removed);
    } else {
      for (const handle of removed) this.takeOut(handle);
      for (const handle of added) this.takeIn(handle);
    }
    for (const handle of freed) entries.arena.free(handle);
  }

  /** Makes the index anew. Both lists are in the order of keys. */
  private merge(added: Uint32Array, removed: Uint32Array): void {
    const { blocks, entries } = this;
    let nextAdded = 0;
    let nextRemoved = 0;
    this.blocks = [];
    for (const { handles, count } of blocks) {
      for (let at = 0; at < count; at++) {
        const handle = handles[at] as number;
        if (handle === removed[nextRemoved]) {
          nextRemoved++;
          continue;
        }
        const bytes = entries.bytes(handle);
        const [start, end] = [entries.keyStart(handle), entries.keyEnd(handle)];
        for (; nextAdded < added.length; nextAdded++) {
          const other = added[nextAdded] as number;
          if (entries.compareKey(other, bytes, start, end) > 0) break;
          this.push(other);
        }
        this.push(handle);
      }
    }
    for (; nextAdded < added.length; nextAdded++) this.push(added[nextAdded] as number);
  }

  /** Adds an entry whose key is greater than every other. */
  private push(handle: number): void {
    let last = this.blocks.at(-1);
    if (last === undefined || last.count === BLOCK_KEYS_MAX) {
      last = new Block();
      this.blocks.push(last);
    }
    last.handles[last.count++] = handle;
  }

  /** Adds an entry whose key is not there yet. */
  insert(handle: number): void {
    if (this.deferring) this.added.push(handle);
    else this.takeIn(handle);
  }

  private takeIn(handle: number): void {
    const { blocks, entries } = this;
    const bytes = entries.bytes(handle);
    const start = entries.keyStart(handle);
    const end = entries.keyEnd(handle);

    // Keys often come in order: no search, and full blocks stay full.
    const { greatest } = this;
    if (greatest === 0 || entries.compareKey(greatest, bytes, start, end) < 0) {
      this.push(handle);
      return;
    }
    const blockAt = this.blockOf(bytes, start, end);
    const block = blocks[blockAt] as Block;
    block.insert(this.lowerBound(block, bytes, start, end), handle);
    if (block.count > BLOCK_KEYS_MAX) {
      const upper = new Block();
      block.moveTo(upper, block.count >>> 1);
      blocks.splice(blockAt + 1, 0, upper);
    }
  }

  /** Removes an entry that is there, and frees its memory. */
  remove(handle: number): void {
    const { arena } = this.entries;
    if (this.deferring) {
      this.removed.push(handle);
      this.removedBytes += arena.blockBytes(handle);
      if (this.removedBytes > REMOVED_BYTES_MAX) this.settle();
    } else {
      this.takeOut(handle);
      arena.free(handle);
    }
  }

  private takeOut(handle: number): void {
    const { blocks } = this;
    const blockAt = this.blockOfHandle(handle);
    const block = blocks[blockAt] as Block;
    block.remove(this.placeOf(block, handle));
    if (block.count === 0) {
      blocks.splice(blockAt, 1);
      return;
    }
    const next = blocks[blockAt + 1];
    if (next !== undefined && block.count + next.count <= BLOCK_KEYS_JOIN) {
      next.moveTo(block, 0);
      blocks.splice(blockAt + 1, 1);
    }
  }

  /** Puts another entry of the same key where `handle` is, whose memory is freed. */
  replace(handle: number, other: number): void {
    if (this.deferring) {
      this.insert(other);
      this.remove(handle);
      return;
    }
    const block = this.blocks[this.blockOfHandle(handle)] as Block;
    block.handles[this.placeOf(block, handle)] = other;
    this.entries.arena.free(handle);
  }

  /** Sets the cursor to the first entry whose key is not below `bytes[start, end)`. */
  seek(cursor: IndexCursor, bytes: Uint8Array, start: number, end: number): void {
    cursor.block = this.blockOf(bytes, start, end);
    const block = this.blocks[cursor.block];
    cursor.at = block === undefined ? 0 : this.lowerBound(block, bytes, start, end);
  }

  /** The entry at the cursor, which moves on; 0 after the last. */
  next(cursor: IndexCursor): number {
    for (;;) {
      const block = this.blocks[cursor.block];
      if (block === undefined) return 0;
      if (cursor.at < block.count) return block.handles[cursor.at++] as number;
      cursor.block++;
      cursor.at = 0;
    }
  }

  private blockOfHandle(handle: number): number {
    const { entries } = this;
    return this.blockOf(entries.bytes(handle), entries.keyStart(handle), entries.keyEnd(handle));
  }

  private placeOf(block: Block, handle: number): number {
    const { entries } = this;
    const bytes = entries.bytes(handle);
    return this.lowerBound(block, bytes, entries.keyStart(handle), entries.keyEnd(handle));
  }

  /** The last block whose first key is not greater than the given one, or the first block. */
  private blockOf(bytes: Uint8Array, start: number, end: number): number {
    const { blocks, entries } = this;
    let low = 0;
    let high = blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const first = (blocks[middle] as Block).handles[0] as number;
      if (entries.compareKey(first, bytes, start, end) <= 0) low = middle;
      else high = middle;
    }
    return low;
  }

  private lowerBound(block: Block, bytes: Uint8Array, start: number, end: number): number {
    let low = 0;
    let high = block.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const handle = block.handles[middle] as number;
      if (this.entries.compareKey(handle, bytes, start, end) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Both lists without what is in both. The first may be longer than a set may hold. */
export function withoutShared(
  added: readonly number[],
  removed: readonly number[],
): [Uint32Array, Uint32Array] {
  if (removed.length === 0) return [Uint32Array.from(added), new Uint32Array(0)];
  const wereRemoved = new Set(removed);
  const shared = new Set(added.filter((handle) => wereRemoved.has(handle)));
  return [
    Uint32Array.from(added.filter((handle) => !shared.has(handle))),
    Uint32Array.from(removed.filter((handle) => !shared.has(handle))),
  ];
}
