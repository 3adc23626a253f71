// The fold of some records in memory: of each thing, known by its space and key, what was said last, be it
// what it is, its removal, or a touch of a value that is older than these records. Written out space by
// space in order of the keys it is a sorted run.

import {
  isRemoval,
  RECORD_FLAG_EPHEMERAL,
  RECORD_HEADER_BYTES,
  RECORD_TOUCH,
  SPACES,
  spaceOf,
} from '../../../ts/engine/records.js';
import type { BatchWriter } from './batch-writer.js';

const KIND_AT = 6;
const FLAGS_AT = 7;
// Where a record has its revision, time and expiry, 24 bytes in a row.
const VERSION_AT = 16;
const VERSION_END = RECORD_HEADER_BYTES;

export class RunFold {
  /**
   * Of each space, where the records of its keys begin in `arena`; keys as latin1, whose order is that of
   * the bytes.
   */
  private readonly places = Array.from({ length: SPACES }, () => new Map<string, number>());
  private arena: Buffer<ArrayBuffer>;
  private used = 0;

  constructor(
    private readonly bytesMax: number,
    private readonly keysMax: number,
  ) {
    this.arena = Buffer.allocUnsafeSlow(bytesMax);
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** Takes the record `bytes[start, end)`; false where the run is full and has to be written first. */
  add(bytes: Buffer, start: number, end: number): boolean {
    const keyAt = start + RECORD_HEADER_BYTES;
    const key = bytes.toString('latin1', keyAt, keyAt + bytes.readUInt16LE(start + 4));
    const kind = bytes[start + KIND_AT] as number;
    const places = this.places[spaceOf(kind)] as Map<string, number>;
    const place = places.get(key);
    if (place !== undefined) {
      if (kind === RECORD_TOUCH) {
        // Only a key that is there can be touched.
        if (!isRemoval(this.arena[place + KIND_AT] as number)) {
          touch(this.arena, place, bytes, start);
        }
        return true;
      }
      if (end - start <= this.lengthAt(place)) {
        bytes.copy(this.arena, place, start, end);
        return true;
      }
    } else if (this.count >= this.keysMax) {
      return false;
    }
    if (!this.hasRoom(end - start)) return false;
    bytes.copy(this.arena, this.used, start, end);
    places.set(key, this.used);
    this.used += end - start;
    return true;
  }

  /** Appends all to a run and begins anew. */
  writeTo(writer: BatchWriter): void {
    for (const places of this.places) {
      for (const key of [...places.keys()].sort()) {
        const place = places.get(key) as number;
        writer.append(this.arena, place, place + this.lengthAt(place), 0);
      }
      places.clear();
    }
    this.used = 0;
  }

  private get count(): number {
    let count = 0;
    for (const places of this.places) count += places.size;
    return count;
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
    for (const places of this.places) {
      for (const place of places.values()) live += this.lengthAt(place);
    }
    if (live > this.arena.length / 2 || live + length > this.arena.length) return false;
    // Keys that are written again and again: make room of what they were.
    const arena = Buffer.allocUnsafeSlow(this.arena.length);
    let at = 0;
    for (const places of this.places) {
      for (const [key, place] of places) {
        const end = place + this.lengthAt(place);
        this.arena.copy(arena, at, place, end);
        places.set(key, at);
        at += end - place;
      }
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

/**
 * Gives the record at `at` the revision, time and expiry of the touch at `touchAt`, which is newer. What
 * stood in place of the expiry of an ephemeral key goes with that, and so must the flag; `back` stays that
 * of the record.
 */
export function touch(bytes: Buffer, at: number, touchBytes: Buffer, touchAt: number): void {
  touchBytes.copy(bytes, at + VERSION_AT, touchAt + VERSION_AT, touchAt + VERSION_END);
  bytes[at + FLAGS_AT] = (bytes[at + FLAGS_AT] as number) & ~RECORD_FLAG_EPHEMERAL;
}
