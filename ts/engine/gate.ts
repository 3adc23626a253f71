// The gate: which append must be durable before a reply may leave. A reply shows records, those that its
// own call made and those behind what it read; one of them lost in a crash would make it a lie.
//
// Appends are numbered by call, revisions by partition. The two meet in marks: one a partition and
// append, with the last revision that the append gave there. A revision is unsettled when it is above
// `settled` of its partition, which is one read for a key that nobody has written lately.

import { Fifo } from './fifo.js';
import type { Keyspace } from './keyspace.js';
import { Removals } from './removals.js';

interface Mark {
  readonly partition: number;
  /** The last revision of the partition that the append made. */
  revision: number;
  /** 0: revisions that came by `fold` or `restore`, which are settled. */
  readonly append: number;
}

export class Gate {
  /**
   * Whether what operations see counts: not where nothing waits, nor once the call has made a record,
   * since its own append comes after every other.
   */
  watching = false;
  /** Unsettled removals; empty where nothing waits. */
  removals = new Removals();
  /** The newest append. */
  appends = 0;
  /** The newest append that is durable; Infinity: nothing waits, and nothing is kept. */
  private durable = 0;
  /** The newest unsettled append that the call has seen. */
  private seen = 0;
  /** By partition: every revision up to this one is settled. */
  private settled = new Float64Array(0);
  /** By partition, oldest first; none before its first unsettled record. */
  private marks: (Fifo<Mark> | undefined)[] = [];
  /** The marks of all partitions in the order in which they were made. */
  private unsettled = new Fifo<Mark>();

  constructor(private readonly partitions: number) {}

  /** Begins a call. A durable number below an earlier one counts as the earlier one. */
  begin(durable: number): void {
    if (durable > this.durable) this.durable = durable;
    this.seen = 0;
    this.watching = this.durable < Infinity;
    if (!this.watching) {
      if (this.settled.length > 0) this.forget();
      return;
    }
    if (this.settled.length === 0) this.settled = new Float64Array(this.partitions);
    this.settle();
  }

  /** The call makes a record of this revision. */
  made(partition: number, revision: number): void {
    if (this.durable === Infinity) return;
    this.watching = false;
    const append = this.appends + 1;
    const last = this.marksOf(partition).last;
    if (last === undefined) {
      this.settled[partition] = revision - 1;
    } else if (last.revision !== revision - 1) {
      this.mark({ partition, revision: revision - 1, append: 0 });
    } else if (last.append === append) {
      last.revision = revision;
      return;
    }
    this.mark({ partition, revision, append });
  }

  /** The call removes the key `bytes[start, end)`; the record itself goes through `made`. */
  removed(keyspace: Keyspace, bytes: Uint8Array, start: number, end: number): void {
    if (this.durable === Infinity) return;
    const hash = keyspace.hash(bytes, start, end);
    this.removals.add(hash, bytes, start, end, this.appends + 1);
  }

  /** An operation has seen the record of this revision. */
  see(partition: number, revision: number): void {
    if (revision <= (this.settled[partition] as number)) return;
    const marks = this.marksOf(partition);
    let low = 0;
    let high = marks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((marks.at(middle) as Mark).revision < revision) low = middle + 1;
      else high = middle;
    }
    if (marks.length === 0) this.settled[partition] = revision;
    this.seeAppend(marks.at(low)?.append ?? 0);
  }

  /** An operation has seen what this append made; 0 for none. */
  seeAppend(append: number): void {
    if (append > this.durable) this.seen = Math.max(this.seen, append);
  }

  /** An operation has seen all that there is. */
  seeNewest(): void {
    this.seeAppend(this.appends);
  }

  /** Ends a call: the append that must be durable before its reply may leave, or 0. */
  end(madeRecords: boolean): number {
    if (!madeRecords) return this.seen;
    this.appends++;
    return this.appends > this.durable ? this.appends : 0;
  }

  private settle(): void {
    const { unsettled, durable } = this;
    for (let mark = unsettled.at(0); mark !== undefined; mark = unsettled.at(0)) {
      if (mark.append > durable) break;
      this.settled[mark.partition] = mark.revision;
      this.marksOf(mark.partition).shift();
      unsettled.shift();
    }
    this.removals.settle(durable);
  }

  private mark(mark: Mark): void {
    this.marksOf(mark.partition).push(mark);
    this.unsettled.push(mark);
  }

  private marksOf(partition: number): Fifo<Mark> {
    let marks = this.marks[partition];
    if (marks === undefined) {
      marks = new Fifo();
      this.marks[partition] = marks;
    }
    return marks;
  }

  private forget(): void {
    this.settled = new Float64Array(0);
    this.marks = [];
    this.unsettled = new Fifo();
    this.removals = new Removals();
  }
}
