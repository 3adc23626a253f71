// The keys in byte order, for prefix scans. A list of sorted blocks of handles: a binary search over
// the blocks' first keys and one within the block find a place in O(log n) comparisons, and an
// insertion moves at most one block's worth of handles. Four to eight bytes a key.

import type { Entries } from './entries.js';

/** Handles of a block at most; it splits in two above. */
const BLOCK_KEYS_MAX = 512;
/** A block and its successor are joined when together they hold no more. */
const BLOCK_KEYS_JOIN = 256;

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
  /** None is empty. */
  private readonly blocks: Block[] = [];

  constructor(private readonly entries: Entries) {}

  /** The entry of the greatest key; 0 where there is none. */
  get greatest(): number {
    const last = this.blocks.at(-1);
    return last === undefined ? 0 : (last.handles[last.count - 1] as number);
  }

  /** Adds an entry whose key is not there yet. */
  insert(handle: number): void {
    const { blocks, entries } = this;
    const bytes = entries.bytes(handle);
    const start = entries.keyStart(handle);
    const end = entries.keyEnd(handle);

    const last = blocks.at(-1);
    const { greatest } = this;
    // Keys often come in order: no search, and full blocks stay full.
    if (greatest === 0 || entries.compareKey(greatest, bytes, start, end) < 0) {
      if (last !== undefined && last.count < BLOCK_KEYS_MAX) {
        last.insert(last.count, handle);
        return;
      }
      const added = new Block();
      added.insert(0, handle);
      blocks.push(added);
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

  /** Removes an entry that is there. */
  remove(handle: number): void {
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

  /** Puts another entry of the same key where `handle` is. Both must still be readable. */
  replace(handle: number, other: number): void {
    const block = this.blocks[this.blockOfHandle(handle)] as Block;
    block.handles[this.placeOf(block, handle)] = other;
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
