// What is due when: a binary heap by time, then by the order in which the times were set. A deadline that
// moves on, as a session's does with each frame, stays where it is and is looked up anew when its turn
// comes; one that comes nearer is moved at once.

/** Something with a deadline. The fields below `dueAt` are the heap's own. */
export interface Timed {
  /** When it is due, as of now; 0: never. */
  readonly dueAt: number;
  /** The time that it stands under; `dueAt` or earlier. */
  standsAt: number;
  sequence: number;
  /** Its place in the heap; NOWHERE: it is not in. */
  place: number;
}

export const NOWHERE = -1;

/** Orders what was set at equal times; one for all heaps that are compared. */
export class Sequence {
  private newest = 0;

  next(): number {
    return ++this.newest;
  }
}

export class Deadlines<T extends Timed> {
  private readonly heap: T[] = [];

  constructor(private readonly sequence: Sequence) {}

  /** The time to look at the heap again; Infinity where it is empty. */
  get firstAt(): number {
    return this.heap[0]?.standsAt ?? Infinity;
  }

  /** Takes an item in, or notes that its deadline has changed. */
  set(item: T): void {
    const { dueAt } = item;
    if (dueAt === 0) return;
    if (item.place === NOWHERE) item.place = this.heap.push(item) - 1;
    else if (item.standsAt <= dueAt) return;
    item.standsAt = dueAt;
    item.sequence = this.sequence.next();
    this.sink(item, this.rise(item, item.place));
  }

  /** Takes an item out, where it is in. */
  remove(item: T): void {
    const { place } = item;
    if (place === NOWHERE) return;
    item.place = NOWHERE;
    const last = this.heap.pop() as T;
    if (last !== item) this.sink(last, this.rise(last, place));
  }

  /** The item that is due first, where that is at `now` or before. It stays in. */
  firstDue(now: number): T | undefined {
    for (let first = this.heap[0]; first !== undefined; first = this.heap[0]) {
      if (first.standsAt > now) return undefined;
      if (first.dueAt === first.standsAt) return first;
      this.remove(first);
      this.set(first);
    }
    return undefined;
  }

  private rise(item: T, from: number): number {
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >>> 1;
      const parent = this.heap[parentAt] as T;
      if (isBefore(parent, item)) break;
      this.put(parent, at);
      at = parentAt;
    }
    this.put(item, at);
    return at;
  }

  private sink(item: T, from: number): void {
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
      if (isBefore(item, child)) break;
      this.put(child, at);
      at = childAt;
    }
    this.put(item, at);
  }

  private put(item: T, at: number): void {
    this.heap[at] = item;
    item.place = at;
  }
}

/** Whether one item's turn comes before another's. */
export function isBefore(left: Timed, right: Timed): boolean {
  if (left.standsAt !== right.standsAt) return left.standsAt < right.standsAt;
  return left.sequence < right.sequence;
}
