// Effect records: what a write did, never what was asked. State is the fold of these, so their layout
// can never change once released; new kinds are added. Little-endian, a multiple of 8 bytes:
//
//   0  u32 value length       16  u64 revision (of the partition)
//   4  u16 key length         24  u64 time of the effect, ms since 1970
//   6  u8  kind               32  u64 expiry, ms since 1970; 0 = never
//   7  u8  zero               40  key, value, zero padding to 8
//   8  u32 partition
//  12  u32 zero

import { copyBytes } from '../wire/bytes.js';
import { readU64, writeU64 } from '../wire/layout.js';
import { INTEGER_LIMIT, KEY_BYTES_MAX, VALUE_BYTES_CONFIGURABLE_MAX } from '../wire/limits.js';

export const RECORD_HEADER_BYTES = 40;

/** The key has this value and expiry. */
export const RECORD_PUT = 1;
/** The key was deleted. */
export const RECORD_DELETE = 2;
/** The key's time to live ran out. */
export const RECORD_EXPIRE = 3;
/** The key has this expiry; the value stays. */
export const RECORD_TOUCH = 4;

/** Bytes of a record. */
export function recordBytes(keyLength: number, valueLength: number): number {
  return RECORD_HEADER_BYTES + Math.ceil((keyLength + valueLength) / 8) * 8;
}

/** Writes records one after another into a buffer that its owner registered. */
export class RecordWriter {
  length = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  clear(): void {
    this.length = 0;
  }

  get room(): number {
    return this.bytes.length - this.length;
  }

  /** Key and value are `keyBytes[keyStart, keyEnd)` and `valueBytes[valueStart, valueEnd)`. */
  append(
    kind: number,
    partition: number,
    revision: number,
    time: number,
    expiresAt: number,
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const { view, bytes, length: at } = this;
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    view.setUint32(at, valueLength, true);
    view.setUint16(at + 4, keyLength, true);
    view.setUint8(at + 6, kind);
    view.setUint8(at + 7, 0);
    view.setUint32(at + 8, partition, true);
    view.setUint32(at + 12, 0, true);
    writeU64(view, at + 16, revision);
    writeU64(view, at + 24, time);
    writeU64(view, at + 32, expiresAt);
    const keyAt = at + RECORD_HEADER_BYTES;
    const valueAt = keyAt + keyLength;
    copyBytes(bytes, keyAt, keyBytes, keyStart, keyEnd);
    copyBytes(bytes, valueAt, valueBytes, valueStart, valueEnd);
    this.length = at + recordBytes(keyLength, valueLength);
    for (let padding = valueAt + valueLength; padding < this.length; padding++) bytes[padding] = 0;
  }
}

/** Reads records one after another; the fields hold the current one, its key and value as ranges. */
export class RecordReader {
  kind = 0;
  partition = 0;
  revision = 0;
  time = 0;
  expiresAt = 0;
  keyAt = 0;
  /** Also where the key ends. */
  valueAt = 0;
  valueEnd = 0;
  private readonly view: DataView;
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get key(): Uint8Array {
    return this.bytes.subarray(this.keyAt, this.valueAt);
  }

  get value(): Uint8Array {
    return this.bytes.subarray(this.valueAt, this.valueEnd);
  }

  /** Whether all bytes were read. */
  get done(): boolean {
    return this.at === this.bytes.length;
  }

  /** Moves to the next record; false where the bytes at this place are not a whole, valid one. */
  next(): boolean {
    const { view, at, bytes } = this;
    if (bytes.length - at < RECORD_HEADER_BYTES) return false;
    const valueLength = view.getUint32(at, true);
    const keyLength = view.getUint16(at + 4, true);
    const end = at + recordBytes(keyLength, valueLength);
    if (end > bytes.length) return false;
    if (keyLength === 0 || keyLength > KEY_BYTES_MAX) return false;
    if (valueLength > VALUE_BYTES_CONFIGURABLE_MAX) return false;

    this.kind = view.getUint8(at + 6);
    this.partition = view.getUint32(at + 8, true);
    this.revision = readU64(view, at + 16);
    this.time = readU64(view, at + 24);
    this.expiresAt = readU64(view, at + 32);
    if (this.kind < RECORD_PUT || this.kind > RECORD_TOUCH) return false;
    if (this.kind !== RECORD_PUT && valueLength !== 0) return false;
    const carriesExpiry = this.kind === RECORD_PUT || this.kind === RECORD_TOUCH;
    if (!carriesExpiry && this.expiresAt !== 0) return false;
    if (view.getUint8(at + 7) !== 0 || view.getUint32(at + 12, true) !== 0) return false;
    if (this.revision >= INTEGER_LIMIT || this.time >= INTEGER_LIMIT) return false;
    if (this.expiresAt >= INTEGER_LIMIT) return false;

    this.keyAt = at + RECORD_HEADER_BYTES;
    this.valueAt = this.keyAt + keyLength;
    this.valueEnd = this.valueAt + valueLength;
    for (let padding = this.valueEnd; padding < end; padding++) {
      if (bytes[padding] !== 0) return false;
    }
    this.at = end;
    return true;
  }
}
