// The newest records, for watches that go on from where they were. A bounded run of chunks; what is older
// is forgotten a chunk at a time. A record's position is the place after it: the sum of all revisions before
// it, plus 1. Taking records in only copies them, as every write pays for it: what is in a chunk is looked up
// when a watch asks.

import { RECORD_HEADER_BYTES, recordBytes } from '../../ts/engine/records.js';
import { readU64 } from '../../ts/wire/layout.js';
import {
  WATCH_HISTORY_BYTES,
  WATCH_HISTORY_CHUNK_BYTES,
  WATCH_HISTORY_RECORDS,
} from '../limits.js';

/** Buffers of forgotten chunks that are kept to be used again. */
const SPARE_CHUNKS_MAX = 4;

export interface HistoryBounds {
  readonly bytes: number;
  readonly records: number;
  /** Bytes of a chunk; larger appends have one of their own. */
  readonly chunkBytes: number;
}

/** As a node has it. */
export const WATCH_HISTORY: HistoryBounds = {
  bytes: WATCH_HISTORY_BYTES,
  records: WATCH_HISTORY_RECORDS,
  chunkBytes: WATCH_HISTORY_CHUNK_BYTES,
};

class Chunk {
  readonly view: DataView;
  /** Position after its last record. */
  end: number;
  used = 0;
  next: Chunk | undefined;
  /** The oldest revision of each partition in its bytes up to `noted`. */
  private readonly firsts = new Map<number, number>();
  private noted = 0;

  constructor(
    readonly bytes: Uint8Array<ArrayBuffer>,
    /** Position before its first record. */
    readonly start: number,
  ) {
    this.view = new DataView(bytes.buffer);
    this.end = start;
  }

  /** The oldest revision of a partition in it. */
  firstOf(partition: number): number | undefined {
    const { view, firsts, used } = this;
    let at = this.noted;
    while (at < used) {
      const one = view.getUint32(at + 8, true);
      if (!firsts.has(one)) firsts.set(one, readU64(view, at + 16));
      at += recordBytes(view.getUint16(at + 4, true), view.getUint32(at, true));
    }
    this.noted = at;
    return firsts.get(partition);
  }
}

export class History {
  /** Position after the newest record. */
  end = 0;
  private readonly chunks: Chunk[] = [];
  private readonly spare: Uint8Array<ArrayBuffer>[] = [];
  private capacity = 0;

  constructor(
    private readonly bounds: HistoryBounds,
    /** The newest revision of a partition: of its newest record here, if there is one. */
    private readonly revisionOf: (partition: number) => number,
  ) {}

  /** Everything behind this position is known. */
  get oldest(): number {
    return this.chunks[0]?.start ?? this.end;
  }

  /** Bytes of memory taken. */
  get bytes(): number {
    return this.capacity;
  }

  /** Knows nothing from here on: the records before `position` never came by. */
  reset(position: number): void {
    this.end = position;
    this.chunks.length = 0;
    this.capacity = 0;
  }

  /**
   * Takes a copy of whole records, the first of which comes behind `position` and the last of which ends at
   * `end`. Forgets the oldest beyond the bounds, but for what comes behind `keepFrom`. Positions that do not
   * go on from the newest are a reset.
   */
  append(records: Uint8Array, position: number, end: number, keepFrom: number): void {
    if (position !== this.end) this.reset(position);
    let chunk = this.chunks.at(-1);
    if (chunk === undefined || chunk.used + records.length > chunk.bytes.length) {
      chunk = this.open(records.length);
    }
    chunk.bytes.set(records, chunk.used);
    chunk.used += records.length;
    chunk.end = this.end = end;
    this.forget(keepFrom);
  }

  /**
   * A position behind which all records of a partition above `revision` come; -1 where some of them are
   * forgotten.
   */
  positionBefore(partition: number, revision: number): number {
    const { chunks } = this;
    let first = this.revisionOf(partition) + 1;
    let position = this.end;
    for (let index = chunks.length - 1; index >= 0 && first > revision + 1; index--) {
      const chunk = chunks[index] as Chunk;
      first = chunk.firstOf(partition) ?? first;
      position = chunk.start;
    }
    return first > revision + 1 ? -1 : position;
  }

  /** The chunk with the record behind `position`, which is not below `oldest`; undefined at the end. */
  chunkAt(position: number): Chunk | undefined {
    let low = 0;
    let high = this.chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.chunks[middle] as Chunk).start <= position) low = middle;
      else high = middle - 1;
    }
    return this.chunks[low];
  }

  private open(bytes: number): Chunk {
    const { chunkBytes } = this.bounds;
    const buffer =
      bytes > chunkBytes ? new Uint8Array(bytes) : (this.spare.pop() ?? new Uint8Array(chunkBytes));
    const chunk = new Chunk(buffer, this.end);
    const last = this.chunks.at(-1);
    if (last !== undefined) last.next = chunk;
    this.chunks.push(chunk);
    this.capacity += buffer.length;
    return chunk;
  }

  /** Whether it takes more than its bounds for what comes behind `keepFrom`. */
  isOverfull(keepFrom: number): boolean {
    this.forget(keepFrom);
    const [first] = this.chunks;
    return first !== undefined && this.chunks.length > 1 && !this.isWithinBounds(first);
  }

  /** What comes behind its oldest chunk, too. */
  private isWithinBounds(first: Chunk): boolean {
    return this.capacity <= this.bounds.bytes && this.end - first.start <= this.bounds.records;
  }

  private forget(keepFrom: number): void {
    const { chunks, bounds } = this;
    for (let first = chunks[0]; first !== undefined; first = chunks[0]) {
      if (this.isWithinBounds(first) || chunks.length === 1 || first.end > keepFrom) return;
      chunks.shift();
      this.capacity -= first.bytes.length;
      const isStandard = first.bytes.length === bounds.chunkBytes;
      if (isStandard && this.spare.length < SPARE_CHUNKS_MAX) this.spare.push(first.bytes);
    }
  }
}

/**
 * Goes through records one after another; the fields hold the current one, its key and value as ranges of
 * `bytes`, which the history may use again once it has taken in more.
 */
export class HistoryReader {
  /** Position after the current record. */
  position = -1;
  bytes = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  /** Where the current record begins. */
  at = 0;
  kind = 0;
  keyAt = 0;
  /** Also where the value begins. */
  keyEnd = 0;
  valueEnd = 0;
  private chunk: Chunk | undefined;
  private nextAt = 0;

  constructor(private readonly history: History) {}

  /** The next record will be the one behind `position`, which is not below the history's oldest. */
  seek(position: number): void {
    if (this.position === position && this.chunk !== undefined) return;
    const chunk = this.history.chunkAt(position);
    const isAtEnd = chunk === undefined || chunk.end === position;
    this.chunk = chunk;
    this.position = isAtEnd ? position : chunk.start;
    this.nextAt = isAtEnd ? (chunk?.used ?? 0) : 0;
    while (this.position < position && this.next()) {
      // Records have no index: a chunk is walked from its beginning.
    }
  }

  /** Lets go of the chunk that it stands in. */
  release(): void {
    this.chunk = undefined;
  }

  /** Moves to the next record; false behind the newest. */
  next(): boolean {
    let { chunk } = this;
    if (chunk === undefined) return false;
    while (this.nextAt === chunk.used) {
      if (chunk.next === undefined) return false;
      this.chunk = chunk = chunk.next;
      this.nextAt = 0;
    }
    const { view } = chunk;
    const at = this.nextAt;
    const keyLength = view.getUint16(at + 4, true);
    const valueLength = view.getUint32(at, true);
    this.bytes = chunk.bytes;
    this.view = view;
    this.at = at;
    this.kind = view.getUint8(at + 6);
    this.keyAt = at + RECORD_HEADER_BYTES;
    this.keyEnd = this.keyAt + keyLength;
    this.valueEnd = this.keyEnd + valueLength;
    this.nextAt = at + recordBytes(keyLength, valueLength);
    this.position++;
    return true;
  }

  get partition(): number {
    return this.view.getUint32(this.at + 8, true);
  }

  get back(): number {
    return this.view.getUint32(this.at + 12, true);
  }

  get revision(): number {
    return readU64(this.view, this.at + 16);
  }
}
