// The keys in byte order, for prefix scans. A list of sorted blocks: a binary search over the blocks'
// first keys and one within the block find a place in O(log n) comparisons, and an insertion moves at
// most one block's worth of references. Keys are Latin-1 strings (one char a byte), whose order is
// that of their bytes.

/** Keys of a block at most; it splits in two above. */
const BLOCK_KEYS_MAX = 512;
/** A block and its successor are joined when together they hold no more. */
const BLOCK_KEYS_JOIN = 256;

export class OrderedIndex {
  private readonly blocks: string[][] = [];

  /** Adds a key that is not there yet. */
  insert(key: string): void {
    const { blocks } = this;
    if (blocks.length === 0) {
      blocks.push([key]);
      return;
    }
    const blockAt = this.blockOf(key);
    const block = blocks[blockAt] as string[];
    block.splice(lowerBound(block, key), 0, key);
    if (block.length > BLOCK_KEYS_MAX) {
      blocks.splice(blockAt + 1, 0, block.splice(block.length >>> 1));
    }
  }

  /** Removes a key that is there. */
  remove(key: string): void {
    const { blocks } = this;
    const blockAt = this.blockOf(key);
    const block = blocks[blockAt] as string[];
    block.splice(lowerBound(block, key), 1);
    if (block.length === 0) {
      blocks.splice(blockAt, 1);
      return;
    }
    const next = blocks[blockAt + 1];
    if (next !== undefined && block.length + next.length <= BLOCK_KEYS_JOIN) {
      block.push(...next);
      blocks.splice(blockAt + 1, 1);
    }
  }

  /** The keys from `from` on, in order. Valid until the next insertion or removal. */
  *from(from: string): Generator<string, void, undefined> {
    const { blocks } = this;
    if (blocks.length === 0) return;
    let blockAt = this.blockOf(from);
    let at = lowerBound(blocks[blockAt] as string[], from);
    for (; blockAt < blocks.length; blockAt++, at = 0) {
      const block = blocks[blockAt] as string[];
      for (; at < block.length; at++) yield block[at] as string;
    }
  }

  /** The last block whose first key is not greater than `key`, or the first block. */
  private blockOf(key: string): number {
    const { blocks } = this;
    let low = 0;
    let high = blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (((blocks[middle] as string[])[0] as string) <= key) low = middle;
      else high = middle;
    }
    return low;
  }
}

function lowerBound(block: string[], key: string): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((block[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
