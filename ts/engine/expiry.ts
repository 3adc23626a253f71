// Keys that expire, soonest first: a binary heap in which each entry knows its place, so that a
// renewed ttl moves the entry instead of leaving a stale one behind. Keys due at the same time go by
// partition and revision, so that the order is the same in both engines and on every machine.

import { type Entries, EPHEMERAL_FROM, NO_EXPIRY } from './entries.js';

interface Node {
  expiresAt: number;
  partition: number;
  revision: number;
  handle: number;
}

export class ExpiryHeap {
  private readonly heap: Node[] = [];

  constructor(private readonly entries: Entries) {}

  /** The entry that expires first, where that is at `now` or before; 0 for none. */
  firstDue(now: number): number {
    const first = this.heap[0];
    return first !== undefined && first.expiresAt <= now ? first.handle : 0;
  }

  /** When an entry expires; 0 = never. */
  expiresAt(handle: number): number {
    const at = this.entries.expiryAt(handle);
    return at >= EPHEMERAL_FROM ? 0 : (this.heap[at] as Node).expiresAt;
  }

  /** Takes in an entry, or finds the new place of one whose expiry or revision has changed. */
  set(handle: number, expiresAt: number): void {
    const { entries, heap } = this;
    const partition = entries.partition(handle);
    const node = { expiresAt, partition, revision: entries.revision(handle), handle };
    let at = entries.expiryAt(handle);
    if (at >= EPHEMERAL_FROM) at = heap.push(node) - 1;
    this.sink(node, this.rise(node, at));
  }

  /** Takes an entry out, where it is in. */
  remove(handle: number): void {
    const at = this.entries.expiryAt(handle);
    if (at >= EPHEMERAL_FROM) return;
    this.entries.setExpiryAt(handle, NO_EXPIRY);
    const last = this.heap.pop() as Node;
    if (last.handle !== handle) this.sink(last, this.rise(last, at));
  }

  /** An entry has moved to another handle. */
  moved(handle: number): void {
    const at = this.entries.expiryAt(handle);
    if (at < EPHEMERAL_FROM) (this.heap[at] as Node).handle = handle;
  }

  private rise(node: Node, from: number): number {
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >>> 1;
      const parent = this.heap[parentAt] as Node;
      if (isBefore(parent, node)) break;
      this.place(parent, at);
      at = parentAt;
    }
    this.place(node, at);
    return at;
  }

  private sink(node: Node, from: number): void {
    let at = from;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = this.heap[childAt];
      if (child === undefined) break;
      const right = this.heap[childAt + 1];
      if (right !== undefined && isBefore(right, child)) {
        childAt++;
        child = right;
      }
      if (isBefore(node, child)) break;
      this.place(child, at);
      at = childAt;
    }
    this.place(node, at);
  }

  private place(node: Node, at: number): void {
    this.heap[at] = node;
    this.entries.setExpiryAt(node.handle, at);
  }
}

function isBefore(left: Node, right: Node): boolean {
  if (left.expiresAt !== right.expiresAt) return left.expiresAt < right.expiresAt;
  if (left.partition !== right.partition) return left.partition < right.partition;
  return left.revision < right.revision;
}
