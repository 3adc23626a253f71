// A hash table of handles: open addressing with linear probing over cells of two words, a key's hash
// and its handle (0: empty). The keys themselves are in the entries, so a lookup tells a cell by its
// hash first and compares the key then.

const CELLS_MIN = 8;

export class Table {
  /** hash, handle, hash, handle, …; a power of two of cells, never full: a probe always ends. */
  private cells = new Uint32Array(0);
  private mask = -1;
  private used = 0;

  /**
   * The next handle under `hash` after `previous` (0: the first), or 0. A caller compares keys and
   * asks on, which two keys with one 32-bit hash make necessary once in a long while.
   */
  find(hash: number, previous: number): number {
    const { cells, mask } = this;
    let passed = previous === 0;
    for (let at = hash & mask; this.used > 0; at = (at + 1) & mask) {
      const handle = cells[at * 2 + 1] as number;
      if (handle === 0) break;
      if (cells[at * 2] === hash) {
        if (passed) return handle;
        passed = handle === previous;
      }
    }
    return 0;
  }

  /** Adds a handle whose key is not there yet. */
  insert(hash: number, handle: number): void {
    if ((this.used + 1) * 4 > (this.mask + 1) * 3) this.grow();
    this.place(hash, handle);
    this.used++;
  }

  /** Puts another handle where `handle` is. */
  replace(hash: number, handle: number, other: number): void {
    this.cells[this.cellOf(hash, handle) * 2 + 1] = other;
  }

  /** Removes a handle that is there, and closes the gap so that no probe ends too early. */
  remove(hash: number, handle: number): void {
    const { cells, mask } = this;
    let gap = this.cellOf(hash, handle);
    for (let at = (gap + 1) & mask; cells[at * 2 + 1] !== 0; at = (at + 1) & mask) {
      // A cell may move to the gap when its home is not between the gap (exclusive) and itself.
      const home = (cells[at * 2] as number) & mask;
      if (((at - home) & mask) >= ((at - gap) & mask)) {
        cells[gap * 2] = cells[at * 2] as number;
        cells[gap * 2 + 1] = cells[at * 2 + 1] as number;
        gap = at;
      }
    }
    cells[gap * 2 + 1] = 0;
    this.used--;
  }

  private cellOf(hash: number, handle: number): number {
    let at = hash & this.mask;
    while (this.cells[at * 2 + 1] !== handle) at = (at + 1) & this.mask;
    return at;
  }

  private place(hash: number, handle: number): void {
    const { cells, mask } = this;
    let at = hash & mask;
    while (cells[at * 2 + 1] !== 0) at = (at + 1) & mask;
    cells[at * 2] = hash;
    cells[at * 2 + 1] = handle;
  }

  private grow(): void {
    const before = this.cells;
    const length = Math.max(before.length, CELLS_MIN);
    this.cells = new Uint32Array(length * 2);
    this.mask = length - 1;
    for (let at = 0; at < before.length; at += 2) {
      const handle = before[at + 1] as number;
      if (handle !== 0) this.place(before[at] as number, handle);
    }
  }
}
