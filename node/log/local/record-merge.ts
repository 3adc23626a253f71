// Merges sorted sequences of records, of which newer ones stand over older ones: of each key what was said
// last is kept, and a touch applies to the put that is next older.

import { RECORD_PUT, RECORD_TOUCH, RecordReader } from '../../../ts/engine/records.js';
import type { Piece } from './batch-stream.js';
import { isFinal, recordLengthAt, setVersion } from './sorted-run.js';

/** Records in ascending order of their keys, a piece at a time. */
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
  view = new DataView(this.bytes.buffer, this.bytes.byteOffset, 0);
  reader = new RecordReader(this.bytes);
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
    return true;
  }

  /** Moves to the first record of the next piece; false at the end. */
  async refill(): Promise<boolean> {
    while (true) {
      const piece = await this.source.next();
      if (piece === undefined) return false;
      const { buffer, byteOffset, length } = piece.bodies;
      this.bytes = Buffer.from(buffer, byteOffset, length);
      this.view = new DataView(buffer, byteOffset, length);
      this.reader = new RecordReader(this.bytes);
      this.end = 0;
      if (this.step()) return true;
    }
  }
}

/**
 * `sources` come newest first. With `isWhole`, nothing older is left out: deletes go, and touches of
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
    while (heap[0] !== undefined && Buffer.compare(heap[0].reader.key, first.reader.key) === 0) {
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
  const decisive = same.find(({ reader }) => isFinal(reader.kind));
  const { revision, time, expiresAt, kind } = newest.reader;
  if (decisive === undefined) {
    // Touches only.
    if (!isWhole) emit(newest.bytes, newest.start, newest.end, time);
    return;
  }
  const isPut = decisive.reader.kind === RECORD_PUT;
  if (isPut && kind === RECORD_TOUCH) {
    setVersion(decisive.view, decisive.start, revision, time, expiresAt);
  }
  if (isPut || !isWhole) {
    const recordTime = isPut ? time : decisive.reader.time;
    emit(decisive.bytes, decisive.start, decisive.end, recordTime);
  }
}

/** Whether `a` comes before `b`: by key, of one key the newer first. */
function isBefore(a: Cursor, b: Cursor): boolean {
  const order = Buffer.compare(a.reader.key, b.reader.key);
  return order < 0 || (order === 0 && a.age < b.age);
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
