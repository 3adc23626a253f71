// Request frames: the check that a node makes of each before it looks at an operation, and the writer
// that clients use. A frame is accepted or refused whole, so a bad one changes nothing.

import { type Columns, findColumns } from './columns.js';
import { FrameKind } from './generated/rondo/wire/frame-kind.js';
import { Status } from './generated/rondo/wire/status.js';
import {
  DATA_OFFSET_AT,
  HEADER_BYTES,
  OPERATION_BYTES,
  OPERATION_CODE,
  OPERATION_EXPECTED_REVISION,
  OPERATION_FLAGS,
  OPERATION_ID,
  OPERATION_KEY_LENGTH,
  OPERATION_LIMIT,
  OPERATION_TTL_MS,
  OPERATION_VALUE_LENGTH,
  SLOT_OPERATIONS,
  VECTOR_LENGTH_AT,
  writeHeader,
  writeU64,
} from './layout.js';
import { OPERATIONS_PER_FRAME_MAX } from './limits.js';

/**
 * Checks a request frame: `Status.Ok` with `columns` filled in, or why the frame is refused. After
 * it, every operation and every byte of key and value is in range.
 */
export function checkRequest(view: DataView, frameBytesMax: number, columns: Columns): Status {
  if (view.byteLength > frameBytesMax) return Status.FrameTooLarge;
  if (!findColumns(view, FrameKind.Request, SLOT_OPERATIONS, OPERATION_BYTES, columns)) {
    return Status.Malformed;
  }
  const { elementsAt, count } = columns;
  if (count === 0) return Status.Malformed;
  if (count > OPERATIONS_PER_FRAME_MAX) return Status.TooManyOperations;

  let bytes = 0;
  let idBefore = -1;
  for (let index = 0, at = elementsAt; index < count; index++, at += OPERATION_BYTES) {
    const id = view.getUint32(at + OPERATION_ID, true);
    if (id <= idBefore) return Status.DuplicateId;
    idBefore = id;
    bytes += view.getUint16(at + OPERATION_KEY_LENGTH, true);
    bytes += view.getUint32(at + OPERATION_VALUE_LENGTH, true);
  }
  return bytes === columns.dataBytes ? Status.Ok : Status.Malformed;
}

const encoder = new TextEncoder();
/** UTF-16 units that are gathered before they are encoded together. */
const TEXT_RUN_UNITS_MAX = 64 * 1024;

/**
 * Writes one request frame after another into a buffer of its own that grows as needed. Use:
 * `begin(count)`, `count` times `operation(...)`, `finish()`.
 *
 * Texts are not encoded one by one: they are joined to a run, which is encoded whole, since an encoder
 * costs as much for ten bytes as for a kilobyte. Until then the length fields hold UTF-16 units. Where
 * the run turns out to be as many bytes as units it is ASCII, and they are right; otherwise
 * each text is cut out again and encoded by itself.
 */
export class RequestWriter {
  private bytes = new Uint8Array(4096);
  private view = new DataView(this.bytes.buffer);
  private count = 0;
  private operationAt = 0;
  private dataAt = 0;
  private dataEnd = 0;
  private run = '';
  /** The operation in which the run begins, and whether it begins with that one's value. */
  private runAt = 0;
  private runIsFromValue = false;

  begin(count: number): void {
    this.count = count;
    this.operationAt = HEADER_BYTES;
    this.dataAt = HEADER_BYTES + count * OPERATION_BYTES + 4;
    this.dataEnd = this.dataAt;
    this.run = '';
    this.reserve(0);
    writeHeader(this.view, FrameKind.Request, SLOT_OPERATIONS);
  }

  /** `expectedRevision` and `ttlMs` below 2^53; whatever an operation does not use is zero. */
  operation(
    id: number,
    code: number,
    flags: number,
    key: string | Uint8Array,
    value: string | Uint8Array | undefined,
    limit: number,
    ttlMs: number,
    expectedRevision: number,
  ): void {
    const { view, operationAt: at } = this;
    view.setUint32(at + OPERATION_ID, id, true);
    view.setUint8(at + OPERATION_CODE, code);
    view.setUint8(at + OPERATION_FLAGS, flags);
    view.setUint16(at + OPERATION_KEY_LENGTH, key.length, true);
    view.setUint32(at + OPERATION_VALUE_LENGTH, 0, true);
    view.setUint32(at + OPERATION_LIMIT, limit, true);
    writeU64(view, at + OPERATION_TTL_MS, ttlMs);
    writeU64(view, at + OPERATION_EXPECTED_REVISION, expectedRevision);
    if (typeof key === 'string') this.join(key, false);
    else this.append(key);
    if (value !== undefined && value.length > 0) {
      if (typeof value !== 'string') this.append(value);
      // A run may have to be encoded first, and encoding may change the buffer.
      this.view.setUint32(at + OPERATION_VALUE_LENGTH, value.length, true);
      if (typeof value === 'string') this.join(value, true);
    }
    this.operationAt += OPERATION_BYTES;
    if (this.run.length > TEXT_RUN_UNITS_MAX) this.encodeRun();
  }

  /** The frame; a view of the writer's buffer, valid until the next `begin`. */
  finish(): Uint8Array<ArrayBuffer> {
    this.encodeRun();
    const dataLengthAt = this.dataAt - 4;
    this.view.setUint32(VECTOR_LENGTH_AT, this.count, true);
    this.view.setUint32(DATA_OFFSET_AT, dataLengthAt - DATA_OFFSET_AT, true);
    this.view.setUint32(dataLengthAt, this.dataEnd - this.dataAt, true);
    return this.bytes.subarray(0, this.dataEnd);
  }

  private join(text: string, isValue: boolean): void {
    if (this.run === '') {
      this.runAt = this.operationAt;
      this.runIsFromValue = isValue;
    }
    this.run += text;
  }

  private append(bytes: Uint8Array): void {
    this.encodeRun();
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.dataEnd);
    this.dataEnd += bytes.length;
  }

  private encodeRun(): void {
    const { run } = this;
    if (run === '') return;
    this.run = '';
    this.reserve(run.length * 3);
    const room = this.bytes.subarray(this.dataEnd);
    const { written } = encoder.encodeInto(run, room);
    if (written === run.length) this.dataEnd += written;
    else this.encodeApart(run);
  }

  /** Encodes the texts of a run one by one and puts their lengths right. */
  private encodeApart(run: string): void {
    const { view } = this;
    let start = 0;
    const next = (units: number): number => {
      const text = run.slice(start, start + units);
      start += units;
      const { written } = encoder.encodeInto(text, this.bytes.subarray(this.dataEnd));
      this.dataEnd += written;
      return written;
    };
    for (let at = this.runAt; start < run.length; at += OPERATION_BYTES) {
      if (at > this.runAt || !this.runIsFromValue) {
        const keyUnits = view.getUint16(at + OPERATION_KEY_LENGTH, true);
        view.setUint16(at + OPERATION_KEY_LENGTH, next(keyUnits), true);
      }
      const valueUnits = view.getUint32(at + OPERATION_VALUE_LENGTH, true);
      view.setUint32(at + OPERATION_VALUE_LENGTH, next(valueUnits), true);
    }
  }

  private reserve(more: number): void {
    const needed = this.dataEnd + more;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}
