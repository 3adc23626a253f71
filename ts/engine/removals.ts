// The unsettled removals: keys whose delete or expire record is not durable yet, for whoever sees that
// they are gone. Each record is an entry with the removed key, its append in place of a revision.

import { GATE_REMOVALS_EXAMINED_MAX } from '../wire/limits.js';
import { Entries } from './entries.js';
import { Fifo } from './fifo.js';
import { Table } from './table.js';

interface Removal {
  readonly hash: number;
  readonly handle: number;
}

export class Removals {
  private readonly entries = new Entries();
  /** Oldest first. */
  private readonly queue = new Fifo<Removal>();
  /** The newest removal of each key. */
  private readonly newest = new Table();

  /** Takes in a record about the key `bytes[start, end)`, made by `append`. */
  add(hash: number, bytes: Uint8Array, start: number, end: number, append: number): void {
    const before = this.find(hash, bytes, start, end);
    const handle = this.entries.add(bytes, start, end, bytes, start, start, 0);
    this.entries.setRevision(handle, append);
    if (before === 0) this.newest.insert(hash, handle);
    else this.newest.replace(hash, before, handle);
    this.queue.push({ hash, handle });
  }

  /** Drops what the appends up to `durable` removed. */
  settle(durable: number): void {
    const { entries, queue, newest } = this;
    for (let first = queue.at(0); first !== undefined; first = queue.at(0)) {
      const { hash, handle } = first;
      if (entries.revision(handle) > durable) return;
      const bytes = entries.bytes(handle);
      const named = this.find(hash, bytes, entries.keyStart(handle), entries.keyEnd(handle));
      if (named === handle) newest.remove(hash, handle);
      entries.remove(handle);
      queue.shift();
    }
  }

  /** The append of the newest removal of the key `bytes[start, end)`; 0 for none. */
  appendOf(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const handle = this.find(hash, bytes, start, end);
    return handle === 0 ? 0 : this.entries.revision(handle);
  }

  /**
   * The append of the newest removal that a page of a scan would show: prefix and cursor are ranges of
   * `frame`, `last` is an entry of `held` with the last key of a page that ended early, or 0. Beyond
   * GATE_REMOVALS_EXAMINED_MAX of them, the next one counts as shown. 0 for none.
   */
  appendOfPage(
    frame: Uint8Array,
    prefixAt: number,
    prefixEnd: number,
    cursorAt: number,
    cursorEnd: number,
    held: Entries,
    last: number,
  ): number {
    const { entries, queue } = this;
    for (let examined = 0; examined < queue.length; examined++) {
      const { handle } = queue.at(queue.length - 1 - examined) as Removal;
      const isShown =
        examined === GATE_REMOVALS_EXAMINED_MAX ||
        (entries.keyStartsWith(handle, frame, prefixAt, prefixEnd) &&
          entries.compareKey(handle, frame, cursorAt, cursorEnd) > 0 &&
          (last === 0 || this.isUpTo(handle, held, last)));
      if (isShown) return entries.revision(handle);
    }
    return 0;
  }

  private isUpTo(handle: number, held: Entries, last: number): boolean {
    const bytes = held.bytes(last);
    return this.entries.compareKey(handle, bytes, held.keyStart(last), held.keyEnd(last)) <= 0;
  }

  private find(hash: number, bytes: Uint8Array, start: number, end: number): number {
    let handle = this.newest.find(hash, 0);
    while (handle !== 0 && !this.entries.keyEquals(handle, bytes, start, end)) {
      handle = this.newest.find(hash, handle);
    }
    return handle;
  }
}
