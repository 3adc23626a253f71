// Merges sequences of records, sorted by space and key, of which newer ones stand over older ones: what was
// said last of each thing is kept, and a touch applies to the put that is next older.

import { isRemoval, RECORD_TOUCH, RecordReader, spaceOf } from '../../../ts/engine/records.js';
import type { Piece } from './batch-stream.js';
import { recordLengthAt, touch } from './sorted-run.js';

/** Records in ascending order of their spaces, and of their keys in each, a piece at a time. */
export interface SortedRecords {
  next(): Promise<Piece | undefined>;
  /** Called where a piece does not hold records: throws what is to be said of it. */
  onMalformed(): never;
}

/** Takes the record `bytes[start, end)`. */
export type Emit = (bytes: Uint8Array, start: number, end: number, time: number) => void;

/** One of the sequences, at a record. */
class Cursor {
  bytes: Buffer = Buffer.alloc(0);
  reader = new RecordReader(this.bytes);
  space = 0;
  start = 0;
  end = 0;

  constructor(
    private readonly source: SortedRecords,
    /** Lower is newer. */
    readonly age: number,
  ) {}

  /** Moves to the next record of the piece; false where the piece is read. */
  step(): boolean {
    if (this.reader.done) return false;
    this.start = this.end;
    if (!this.reader.next()) this.source.onMalformed();
    this.end = this.start + recordLengthAt(this.bytes, this.start);
    this.space = spaceOf(this.reader.kind);
    return true;
  }

  /** Moves to the first record of the next piece; false at the end. */
  async refill(): Promise<boolean> {
    while (true) {
      const piece = await this.source.next();
      if (piece === undefined) return false;
      const { buffer, byteOffset, length } = piece.bodies;
      this.bytes = Buffer.from(buffer, byteOffset, length);
      this.reader = new RecordReader(this.bytes);
      this.end = 0;
      if (this.step()) return true;
    }
  }
}

/**
 * `sources` come newest first. With `isWhole`, nothing older is left out: removals go, and touches of
 * what is not there.
 */
export async function mergeRecords(
  sources: readonly SortedRecords[],
  isWhole: boolean,
  emit: Emit,
  checkCancelled: () => void,
): Promise<void> {
  const heap: Cursor[] = [];
  for (const [age, source] of sources.entries()) {
    const cursor = new Cursor(source, age);
    if (await cursor.refill()) push(heap, cursor);
  }
  const same: Cursor[] = [];
  while (heap.length > 0) {
    same.length = 0;
    const first = pop(heap);
    same.push(first);
    while (heap[0] !== undefined && order(heap[0], first) === 0) {
      same.push(pop(heap));
    }
    emitNewest(same, isWhole, emit);
    for (const cursor of same) {
      if (cursor.step()) {
        push(heap, cursor);
        continue;
      }
      checkCancelled();
      if (await cursor.refill()) push(heap, cursor);
    }
  }
}

/** What holds of a key, of which `same` has the records, newest first. */
function emitNewest(same: readonly Cursor[], isWhole: boolean, emit: Emit): void {
  const newest = same[0] as Cursor;
  const decisive = same.find(({ reader }) => reader.kind !== RECORD_TOUCH);
  const { time, kind } = newest.reader;
  if (decisive === undefined) {
    // Touches only.
    if (!isWhole) emit(newest.bytes, newest.start, newest.end, time);
    return;
  }
  const stands = !isRemoval(decisive.reader.kind);
  // Of keys only, so what stands is a put.
  if (stands && kind === RECORD_TOUCH) {
    touch(decisive.bytes, decisive.start, newest.bytes, newest.start);
  }
  if (stands || !isWhole) {
    const recordTime = stands ? time : decisive.reader.time;
    emit(decisive.bytes, decisive.start, decisive.end, recordTime);
  }
}

/** By space, then key; 0 where both are of the same thing. */
function order(a: Cursor, b: Cursor): number {
  return a.space - b.space || Buffer.compare(a.reader.key, b.reader.key);
}

/** Whether `a` comes before `b`: of one thing the newer first. */
function isBefore(a: Cursor, b: Cursor): boolean {
  const difference = order(a, b);
  return difference < 0 || (difference === 0 && a.age < b.age);
}

function push(heap: Cursor[], cursor: Cursor): void {
  let at = heap.length;
  heap.push(cursor);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Cursor;
    if (!isBefore(cursor, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = cursor;
}

function pop(heap: Cursor[]): Cursor {
  const top = heap[0] as Cursor;
  const moved = heap.pop() as Cursor;
  if (heap.length === 0) return top;
  let at = 0;
  while (true) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Cursor, heap[child] as Cursor)) {
      child++;
    }
    if (!isBefore(heap[child] as Cursor, moved)) break;
    heap[at] = heap[child] as Cursor;
    at = child;
  }
  heap[at] = moved;
  return top;
}
