// Keys that expire, soonest first: a binary heap in which each entry knows its place, so that a
// renewed ttl moves the entry instead of leaving a stale one behind. Keys due at the same time go by
// partition and revision, so that the order is the same in both engines and on every machine.

/** What the heap needs of an entry; it keeps `expiryAt` (its place, -1 outside) itself. */
export interface Expiring {
  expiresAt: number;
  partition: number;
  revision: number;
  expiryAt: number;
}

export class ExpiryHeap<T extends Expiring> {
  private readonly heap: T[] = [];

  /** The entry that expires first. */
  get first(): T | undefined {
    return this.heap[0];
  }

  /** Takes in an entry, or finds the new place of one whose expiry or revision has changed. */
  set(entry: T): void {
    if (entry.expiryAt < 0) {
      entry.expiryAt = this.heap.length;
      this.heap.push(entry);
    }
    this.sink(entry, this.rise(entry, entry.expiryAt));
  }

  remove(entry: T): void {
    const at = entry.expiryAt;
    if (at < 0) return;
    entry.expiryAt = -1;
    const last = this.heap.pop() as T;
    if (last !== entry) this.sink(last, this.rise(last, at));
  }

  private rise(entry: T, from: number): number {
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >>> 1;
      const parent = this.heap[parentAt] as T;
      if (before(parent, entry)) break;
      this.place(parent, at);
      at = parentAt;
    }
    this.place(entry, at);
    return at;
  }

  private sink(entry: T, from: number): void {
    let at = from;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= this.heap.length) break;
      const right = this.heap[childAt + 1];
      if (right !== undefined && before(right, this.heap[childAt] as T)) childAt++;
      const child = this.heap[childAt] as T;
      if (before(entry, child)) break;
      this.place(child, at);
      at = childAt;
    }
    this.place(entry, at);
  }

  private place(entry: T, at: number): void {
    this.heap[at] = entry;
    entry.expiryAt = at;
  }
}

function before(left: Expiring, right: Expiring): boolean {
  if (left.expiresAt !== right.expiresAt) return left.expiresAt < right.expiresAt;
  if (left.partition !== right.partition) return left.partition < right.partition;
  return left.revision < right.revision;
}
