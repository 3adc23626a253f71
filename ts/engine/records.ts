// Effect records: what a write did, never what was asked. State is the fold of these, so their layout
// can never change once released; new kinds are added. Little-endian, a multiple of 8 bytes:
//
//   0  u32 value length       16  u64 revision (of the partition)
//   4  u16 key length         24  u64 time of the effect, ms since 1970
//   6  u8  kind               32  u64 expiry, ms since 1970; 0 = never
//   7  u8  flags              40  key, value, zero padding to 8
//   8  u32 partition
//  12  u32 back
//
// PUT, DELETE, EXPIRE, TOUCH are of a key. `back` is how many revisions before this one the key's record
// before is: 0 where the key did not exist, 2^32 - 1 for as many or more. Flag bit 0, of a PUT only: the key
// is ephemeral, and in place of an expiry stands the session that it lives with.
//
// The others have neither flags nor `back`, and but for HOLD no expiry:
//   SESSION      key: 14 hexadecimal digits of its id (lower case; the engines check). Value: u64 ttl in ms, 16 bytes that stand for the secret.
//   SESSION_END  key: the same.
//   HOLD         key: name of the lock, u64 token, big-endian. Value: u64 session, u64 time of the grant, u32 id of the
//                operation, u16 depth, u8 mode, u8 zero. Expiry: its lease. The first one of a token has the
//                token as revision; the partition is that of the name.
//   HOLD_END     key: the same.
//   FENCE        key: name of a lock, u32 partition, which is the record's. Value: u64 highest token seen there.

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

export const RECORD_SESSION = 5;
export const RECORD_SESSION_END = 6;
export const RECORD_HOLD = 7;
export const RECORD_HOLD_END = 8;
export const RECORD_FENCE = 9;

export const RECORD_FLAG_EPHEMERAL = 1;

/** The most that `back` says. */
export const BACK_MAX = 0xffffffff;

/** What records are of, in the order in which a snapshot has them. */
export const SPACE_KEYS = 0;
export const SPACE_SESSIONS = 1;
export const SPACE_HOLDS = 2;
export const SPACE_FENCES = 3;
/** How many there are. */
export const SPACES = 4;

interface Kind {
  readonly space: number;
  /** Whether it says that what it is of is gone. */
  readonly isRemoval: boolean;
  /** Bytes of the key beside those that its partition comes from. */
  readonly suffixBytes: number;
  /** Undefined: any length. */
  readonly valueBytes: number | undefined;
  readonly hasExpiry: boolean;
}

/** By kind; 0 is none. */
const KINDS: readonly (Kind | undefined)[] = [
  undefined,
  kind(SPACE_KEYS, false, 0, undefined, true),
  kind(SPACE_KEYS, true, 0, 0, false),
  kind(SPACE_KEYS, true, 0, 0, false),
  kind(SPACE_KEYS, false, 0, 0, true),
  kind(SPACE_SESSIONS, false, 0, 24, false),
  kind(SPACE_SESSIONS, true, 0, 0, false),
  kind(SPACE_HOLDS, false, 8, 24, true),
  kind(SPACE_HOLDS, true, 8, 0, false),
  kind(SPACE_FENCES, false, 4, 8, false),
];

function kind(
  space: number,
  isRemoval: boolean,
  suffixBytes: number,
  valueBytes: number | undefined,
  hasExpiry: boolean,
): Kind {
  return { space, isRemoval, suffixBytes, valueBytes, hasExpiry };
}

/** What a record of this kind is of; the kind is known. */
export function spaceOf(kind: number): number {
  return (KINDS[kind] as Kind).space;
}

/** Whether a record of this kind says that what it is of is gone. */
export function isRemoval(kind: number): boolean {
  return (KINDS[kind] as Kind).isRemoval;
}

/** Bytes at the end of a key of this kind that its partition does not come from. */
export function suffixBytesOf(kind: number): number {
  return (KINDS[kind] as Kind).suffixBytes;
}

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
    back = 0,
    flags = 0,
  ): void {
    const { view, bytes, length: at } = this;
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    view.setUint32(at, valueLength, true);
    view.setUint16(at + 4, keyLength, true);
    view.setUint8(at + 6, kind);
    view.setUint8(at + 7, flags);
    view.setUint32(at + 8, partition, true);
    view.setUint32(at + 12, Math.min(back, BACK_MAX), true);
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
  flags = 0;
  partition = 0;
  /** See the header. */
  back = 0;
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
    this.kind = view.getUint8(at + 6);
    this.flags = view.getUint8(at + 7);
    this.partition = view.getUint32(at + 8, true);
    this.back = view.getUint32(at + 12, true);
    this.revision = readU64(view, at + 16);
    this.time = readU64(view, at + 24);
    this.expiresAt = readU64(view, at + 32);
    if (!this.headFits(keyLength, valueLength)) return false;

    this.keyAt = at + RECORD_HEADER_BYTES;
    this.valueAt = this.keyAt + keyLength;
    this.valueEnd = this.valueAt + valueLength;
    for (let padding = this.valueEnd; padding < end; padding++) {
      if (bytes[padding] !== 0) return false;
    }
    this.at = end;
    return true;
  }

  /** Whether the fields of the header are those that a record of its kind has. */
  private headFits(keyLength: number, valueLength: number): boolean {
    const { kind, flags, back, expiresAt } = this;
    if (!shapeFits(kind, flags, back, keyLength, valueLength)) return false;
    if (expiresAt === 0 ? flags !== 0 : !(KINDS[kind] as Kind).hasExpiry) return false;
    return this.revision < INTEGER_LIMIT && this.time < INTEGER_LIMIT && expiresAt < INTEGER_LIMIT;
  }
}

/** Whether the first 16 bytes of a record may be these, for what they say beside the partition. */
export function shapeFits(
  kind: number,
  flags: number,
  back: number,
  keyLength: number,
  valueLength: number,
): boolean {
  const fields = KINDS[kind];
  if (fields === undefined) return false;
  const named = keyLength - fields.suffixBytes;
  if (named < 1 || named > KEY_BYTES_MAX) return false;
  if (valueLength !== (fields.valueBytes ?? valueLength)) return false;
  if (valueLength > VALUE_BYTES_CONFIGURABLE_MAX) return false;
  if (fields.space !== SPACE_KEYS && back !== 0) return false;
  return flags === 0 || (kind === RECORD_PUT && flags === RECORD_FLAG_EPHEMERAL);
}
