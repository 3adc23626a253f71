// A key with its value, as a block of the arena. The handle stands for the entry in the table, the
// ordered index and the expiry heap; it changes only when a value of another size needs another block.
//
//   0  u64 revision            12  u32 place in the expiry heap, among the ephemerals, or NO_EXPIRY
//   8  u32 value length        16  u16 key length, u16 partition
//  20  key, value, then spare room for a larger value

import { compareBytes, copyBytes } from '../wire/bytes.js';
import { Arena, blockBytesFor, byteAt, wordAt } from './arena.js';

/** Not in the expiry heap, and not ephemeral. */
export const NO_EXPIRY = 0xffffffff;
/** Places from here on are of keys that live with a session and have no expiry; see `ephemerals.ts`. */
export const EPHEMERAL_FROM = 0x80000000;

const HEADER_BYTES = 20;
const U32 = 2 ** 32;

export class Entries {
  readonly arena = new Arena();
  /** Entries held. */
  count = 0;

  /** Makes an entry of the key `bytes[keyStart, keyEnd)` and a value. */
  add(
    bytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
    partition: number,
  ): number {
    const keyLength = keyEnd - keyStart;
    const handle = this.arena.allocate(HEADER_BYTES + keyLength + valueEnd - valueStart);
    const words = this.arena.words(handle);
    const word = wordAt(handle);
    words[word + 3] = NO_EXPIRY;
    words[word + 4] = keyLength | (partition << 16);
    copyBytes(this.arena.bytes(handle), byteAt(handle) + HEADER_BYTES, bytes, keyStart, keyEnd);
    this.writeValue(handle, value, valueStart, valueEnd);
    this.count++;
    return handle;
  }

  remove(handle: number): void {
    this.arena.free(handle);
    this.count--;
  }

  /**
   * Whether a value of this length fits the entry's block without wasting more than half of it, or,
   * since a write that needs less must always pass, fits it at all where there is no other.
   */
  fits(handle: number, valueLength: number): boolean {
    const wanted = blockBytesFor(HEADER_BYTES + this.keyLength(handle) + valueLength);
    const present = this.arena.blockBytes(handle);
    return wanted <= present && (present <= 2 * wanted || !this.arena.hasRoom);
  }

  /** Replaces a value by one that fits. */
  overwrite(handle: number, value: Uint8Array, start: number, end: number): void {
    this.writeValue(handle, value, start, end);
  }

  /** A copy of an entry in another block, with another value; the caller frees the first one's block. */
  copy(handle: number, value: Uint8Array, start: number, end: number): number {
    const bytes = this.bytes(handle);
    const [keyStart, keyEnd] = [this.keyStart(handle), this.keyEnd(handle)];
    const copied = this.add(bytes, keyStart, keyEnd, value, start, end, this.partition(handle));
    this.setExpiryAt(copied, this.expiryAt(handle));
    this.count--;
    return copied;
  }

  revision(handle: number): number {
    const words = this.arena.words(handle);
    const word = wordAt(handle);
    return (words[word] as number) + (words[word + 1] as number) * U32;
  }

  setRevision(handle: number, revision: number): void {
    const words = this.arena.words(handle);
    const word = wordAt(handle);
    words[word] = revision >>> 0;
    words[word + 1] = (revision / U32) >>> 0;
  }

  expiryAt(handle: number): number {
    return this.arena.words(handle)[wordAt(handle) + 3] as number;
  }

  setExpiryAt(handle: number, place: number): void {
    this.arena.words(handle)[wordAt(handle) + 3] = place;
  }

  isEphemeral(handle: number): boolean {
    const place = this.expiryAt(handle);
    return place >= EPHEMERAL_FROM && place !== NO_EXPIRY;
  }

  partition(handle: number): number {
    return (this.arena.words(handle)[wordAt(handle) + 4] as number) >>> 16;
  }

  keyLength(handle: number): number {
    return (this.arena.words(handle)[wordAt(handle) + 4] as number) & 0xffff;
  }

  valueLength(handle: number): number {
    return this.arena.words(handle)[wordAt(handle) + 2] as number;
  }

  // Key and value as ranges of `bytes(handle)`.

  bytes(handle: number): Uint8Array {
    return this.arena.bytes(handle);
  }

  keyStart(handle: number): number {
    return byteAt(handle) + HEADER_BYTES;
  }

  /** Also where the value starts. */
  keyEnd(handle: number): number {
    return this.keyStart(handle) + this.keyLength(handle);
  }

  valueEnd(handle: number): number {
    return this.keyEnd(handle) + this.valueLength(handle);
  }

  /** Below 0, 0 or above 0 as the entry's key sorts before, with or after `bytes[start, end)`. */
  compareKey(handle: number, bytes: Uint8Array, start: number, end: number): number {
    const own = this.arena.bytes(handle);
    return compareBytes(own, this.keyStart(handle), this.keyEnd(handle), bytes, start, end);
  }

  /** Whether the entry's key is `bytes[start, end)`. */
  keyEquals(handle: number, bytes: Uint8Array, start: number, end: number): boolean {
    const length = this.keyLength(handle);
    if (length !== end - start) return false;
    const own = this.arena.bytes(handle);
    const from = this.keyStart(handle);
    for (let index = 0; index < length; index++) {
      if (own[from + index] !== bytes[start + index]) return false;
    }
    return true;
  }

  /** Whether the entry's key begins with `bytes[start, end)`. */
  keyStartsWith(handle: number, bytes: Uint8Array, start: number, end: number): boolean {
    const from = this.keyStart(handle);
    const to = from + end - start;
    if (to > this.keyEnd(handle)) return false;
    return compareBytes(this.arena.bytes(handle), from, to, bytes, start, end) === 0;
  }

  private writeValue(handle: number, value: Uint8Array, start: number, end: number): void {
    this.arena.words(handle)[wordAt(handle) + 2] = end - start;
    copyBytes(this.arena.bytes(handle), this.keyEnd(handle), value, start, end);
  }
}
