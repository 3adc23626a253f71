// Reply frames: the writer that the TypeScript engine uses (the Rust one writes the same bytes) and
// the reader that clients use.

import { copyBytes } from './bytes.js';
import { ElementReader } from './element-reader.js';
import { FrameKind } from './generated/rondo/wire/frame-kind.js';
import { Status } from './generated/rondo/wire/status.js';
import {
  DATA_OFFSET_AT,
  HEADER_BYTES,
  RESULT_BYTES,
  RESULT_COUNT,
  RESULT_FLAGS,
  RESULT_ID,
  RESULT_KEY_LENGTH,
  RESULT_REVISION,
  RESULT_STATUS,
  RESULT_TTL_MS,
  RESULT_VALUE_LENGTH,
  readU64,
  SLOT_RESULTS,
  VECTOR_LENGTH_AT,
  writeHeader,
  writeU64,
} from './layout.js';

/**
 * Writes one reply after another into a buffer that its owner registered. Results and data grow in
 * one pass: `begin` sets room for the results aside, and `finish` closes what was not used.
 */
export class ReplyWriter {
  private readonly view: DataView;
  private count = 0;
  private dataAt = 0;
  private dataEnd = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    writeHeader(this.view, FrameKind.Reply, SLOT_RESULTS);
  }

  begin(resultsMax: number): void {
    this.count = 0;
    this.dataAt = HEADER_BYTES + resultsMax * RESULT_BYTES + 4;
    this.dataEnd = this.dataAt;
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** Bytes of key and value for which there is still room. */
  get dataRoom(): number {
    return this.bytes.length - this.dataEnd;
  }

  /** Results for which there is still room. */
  get resultRoom(): number {
    return (this.dataAt - 4 - HEADER_BYTES) / RESULT_BYTES - this.count;
  }

  result(id: number, status: number, revision: number, ttlMs: number, count = 0): void {
    this.put(id, status, 0, 0, 0, count, revision, ttlMs);
  }

  /** A result of any status, with a count and a value. */
  resultInFull(
    id: number,
    status: number,
    revision: number,
    ttlMs: number,
    count: number,
    value: Uint8Array,
  ): void {
    this.append(value, 0, value.length);
    this.put(id, status, 0, 0, value.length, count, revision, ttlMs);
  }

  /** A result with the value `bytes[start, end)`. */
  resultRange(
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    revision: number,
    ttlMs: number,
  ): void {
    this.append(bytes, start, end);
    this.put(id, Status.Ok, 0, 0, end - start, 0, revision, ttlMs);
  }

  /** One entry of a scan: key `bytes[keyStart, keyEnd)`, then the value up to `valueEnd`. */
  entryRange(
    id: number,
    flags: number,
    bytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    valueEnd: number,
    revision: number,
    ttlMs: number,
  ): void {
    this.append(bytes, keyStart, valueEnd);
    this.put(id, Status.Ok, flags, keyEnd - keyStart, valueEnd - keyEnd, 0, revision, ttlMs);
  }

  /** The closing result of a scan; the cursor `bytes[start, end)` is its value. */
  closingRange(
    id: number,
    flags: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    count: number,
  ): void {
    this.append(bytes, start, end);
    this.put(id, Status.Ok, flags, 0, end - start, count, 0, 0);
  }

  resultWithValue(id: number, value: Uint8Array, revision: number, ttlMs: number): void {
    this.resultRange(id, value, 0, value.length, revision, ttlMs);
  }

  entry(
    id: number,
    flags: number,
    key: Uint8Array,
    value: Uint8Array,
    revision: number,
    ttlMs: number,
  ): void {
    this.append(key, 0, key.length);
    this.append(value, 0, value.length);
    this.put(id, Status.Ok, flags, key.length, value.length, 0, revision, ttlMs);
  }

  closing(id: number, flags: number, cursor: Uint8Array, count: number): void {
    this.closingRange(id, flags, cursor, 0, cursor.length, count);
  }

  /** The result that was written last, which has no key. Its value is a copy. */
  last(): { status: Status; revision: number; ttlMs: number; count: number; value: Uint8Array } {
    const { view, bytes, dataEnd } = this;
    const at = HEADER_BYTES + (this.count - 1) * RESULT_BYTES;
    return {
      status: view.getUint8(at + RESULT_STATUS),
      revision: readU64(view, at + RESULT_REVISION),
      ttlMs: readU64(view, at + RESULT_TTL_MS),
      count: view.getUint32(at + RESULT_COUNT, true),
      value: bytes.slice(dataEnd - view.getUint32(at + RESULT_VALUE_LENGTH, true), dataEnd),
    };
  }

  /** Length of the frame in bytes. */
  finish(): number {
    const dataBytes = this.dataEnd - this.dataAt;
    const dataLengthAt = HEADER_BYTES + this.count * RESULT_BYTES;
    if (dataLengthAt + 4 !== this.dataAt) {
      this.bytes.copyWithin(dataLengthAt + 4, this.dataAt, this.dataEnd);
    }
    this.view.setUint32(VECTOR_LENGTH_AT, this.count, true);
    this.view.setUint32(DATA_OFFSET_AT, dataLengthAt - DATA_OFFSET_AT, true);
    this.view.setUint32(dataLengthAt, dataBytes, true);
    return dataLengthAt + 4 + dataBytes;
  }

  private append(bytes: Uint8Array, start: number, end: number): void {
    copyBytes(this.bytes, this.dataEnd, bytes, start, end);
    this.dataEnd += end - start;
  }

  private put(
    id: number,
    status: number,
    flags: number,
    keyLength: number,
    valueLength: number,
    count: number,
    revision: number,
    ttlMs: number,
  ): void {
    const { view } = this;
    const at = HEADER_BYTES + this.count * RESULT_BYTES;
    view.setUint32(at + RESULT_ID, id, true);
    view.setUint8(at + RESULT_STATUS, status);
    view.setUint8(at + RESULT_FLAGS, flags);
    view.setUint16(at + RESULT_KEY_LENGTH, keyLength, true);
    view.setUint32(at + RESULT_VALUE_LENGTH, valueLength, true);
    view.setUint32(at + RESULT_COUNT, count, true);
    writeU64(view, at + RESULT_REVISION, revision);
    writeU64(view, at + RESULT_TTL_MS, ttlMs);
    this.count++;
  }
}

/**
 * Reads one reply after another: `open` checks the frame, then `next` goes through its results. The
 * fields hold the current result; `key` and `value` are views of the frame.
 */
export class ReplyReader extends ElementReader {
  id = 0;
  status: Status = Status.Ok;
  flags = 0;
  count = 0;
  revision = 0;
  ttlMs = 0;

  constructor() {
    super(FrameKind.Reply, SLOT_RESULTS, RESULT_BYTES);
  }

  /** Moves to the next result; false after the last. */
  next(): boolean {
    const at = this.advance();
    if (at < 0) return false;
    const { view } = this;
    this.id = view.getUint32(at + RESULT_ID, true);
    this.status = view.getUint8(at + RESULT_STATUS);
    this.flags = view.getUint8(at + RESULT_FLAGS);
    this.count = view.getUint32(at + RESULT_COUNT, true);
    this.revision = readU64(view, at + RESULT_REVISION);
    this.ttlMs = readU64(view, at + RESULT_TTL_MS);
    return true;
  }
}
