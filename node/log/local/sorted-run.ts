// The fold of some records in memory: of each key what was said last, be it a put, a delete, or a touch of
// a value that is older than these records. Written out in order of the keys it is a sorted run.

import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_HEADER_BYTES,
  RECORD_PUT,
  RECORD_TOUCH,
} from '../../../ts/engine/records.js';
import { writeU64 } from '../../../ts/wire/layout.js';
import type { BatchWriter } from './batch-writer.js';

// Where a record has its revision, time and expiry, 24 bytes in a row.
const VERSION_AT = 16;
const VERSION_END = RECORD_HEADER_BYTES;

export class RunFold {
  /** Where the records of the keys begin in `arena`; keys as latin1, whose order is that of the bytes. */
  private readonly places = new Map<string, number>();
  private arena: Buffer<ArrayBuffer>;
  private used = 0;

  constructor(
    private readonly bytesMax: number,
    private readonly keysMax: number,
  ) {
    this.arena = Buffer.allocUnsafeSlow(bytesMax);
  }

  get isEmpty(): boolean {
    return this.places.size === 0;
  }

  /** Takes the record `bytes[start, end)`; false where the run is full and has to be written first. */
  add(bytes: Buffer, start: number, end: number): boolean {
    const keyAt = start + RECORD_HEADER_BYTES;
    const key = bytes.toString('latin1', keyAt, keyAt + bytes.readUInt16LE(start + 4));
    const kind = bytes[start + 6];
    const place = this.places.get(key);
    if (place !== undefined) {
      if (kind === RECORD_TOUCH) {
        const before = this.arena[place + 6];
        // Only a key that is there can be touched.
        if (before !== RECORD_DELETE && before !== RECORD_EXPIRE) {
          bytes.copy(this.arena, place + VERSION_AT, start + VERSION_AT, start + VERSION_END);
        }
        return true;
      }
      if (end - start <= this.lengthAt(place)) {
        bytes.copy(this.arena, place, start, end);
        return true;
      }
    } else if (this.places.size >= this.keysMax) {
      return false;
    }
    if (!this.hasRoom(end - start)) return false;
    bytes.copy(this.arena, this.used, start, end);
    this.places.set(key, this.used);
    this.used += end - start;
    return true;
  }

  /** Appends all to a run and begins anew. */
  writeTo(writer: BatchWriter): void {
    for (const key of [...this.places.keys()].sort()) {
      const place = this.places.get(key) as number;
      writer.append(this.arena, place, place + this.lengthAt(place), 0);
    }
    this.places.clear();
    this.used = 0;
  }

  private lengthAt(place: number): number {
    return recordLengthAt(this.arena, place);
  }

  private hasRoom(length: number): boolean {
    if (this.used + length <= this.arena.length) return true;
    if (this.isEmpty) {
      // A record of its own that is larger than a run.
      this.arena = Buffer.allocUnsafeSlow(Math.max(this.bytesMax, length));
      this.used = 0;
      return true;
    }
    let live = 0;
    for (const place of this.places.values()) live += this.lengthAt(place);
    if (live > this.arena.length / 2 || live + length > this.arena.length) return false;
    // Keys that are written again and again: make room of what they were.
    const arena = Buffer.allocUnsafeSlow(this.arena.length);
    let at = 0;
    for (const [key, place] of this.places) {
      const end = place + this.lengthAt(place);
      this.arena.copy(arena, at, place, end);
      this.places.set(key, at);
      at += end - place;
    }
    this.arena = arena;
    this.used = at;
    return true;
  }
}

/** Bytes of the record that begins at `at`. */
export function recordLengthAt(bytes: Buffer, at: number): number {
  const body = bytes.readUInt32LE(at) + bytes.readUInt16LE(at + 4);
  return RECORD_HEADER_BYTES + Math.ceil(body / 8) * 8;
}

/** Gives the record at `at` the revision, time and expiry of another. */
export function setVersion(
  bytes: DataView,
  at: number,
  revision: number,
  time: number,
  expiresAt: number,
): void {
  writeU64(bytes, at + 16, revision);
  writeU64(bytes, at + 24, time);
  writeU64(bytes, at + 32, expiresAt);
}

/** Whether a record of this kind ends what was said of its key before. */
export function isFinal(kind: number): boolean {
  return kind === RECORD_PUT || kind === RECORD_DELETE || kind === RECORD_EXPIRE;
}
