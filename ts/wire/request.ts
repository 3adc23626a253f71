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

/**
 * Writes one request frame after another into a buffer of its own that grows as needed. Use:
 * `begin(count)`, `count` times `operation(...)`, `finish()`.
 */
export class RequestWriter {
  private bytes = new Uint8Array(4096);
  private view = new DataView(this.bytes.buffer);
  private count = 0;
  private operationAt = 0;
  private dataAt = 0;
  private dataEnd = 0;

  begin(count: number): void {
    this.count = count;
    this.operationAt = HEADER_BYTES;
    this.dataAt = HEADER_BYTES + count * OPERATION_BYTES + 4;
    this.dataEnd = this.dataAt;
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
    const keyLength = this.append(key);
    const valueLength = value === undefined ? 0 : this.append(value);
    const { view, operationAt: at } = this;
    view.setUint32(at + OPERATION_ID, id, true);
    view.setUint8(at + OPERATION_CODE, code);
    view.setUint8(at + OPERATION_FLAGS, flags);
    view.setUint16(at + OPERATION_KEY_LENGTH, keyLength, true);
    view.setUint32(at + OPERATION_VALUE_LENGTH, valueLength, true);
    view.setUint32(at + OPERATION_LIMIT, limit, true);
    writeU64(view, at + OPERATION_TTL_MS, ttlMs);
    writeU64(view, at + OPERATION_EXPECTED_REVISION, expectedRevision);
    this.operationAt += OPERATION_BYTES;
  }

  /** The frame; a view of the writer's buffer, valid until the next `begin`. */
  finish(): Uint8Array<ArrayBuffer> {
    const dataLengthAt = this.dataAt - 4;
    this.view.setUint32(VECTOR_LENGTH_AT, this.count, true);
    this.view.setUint32(DATA_OFFSET_AT, dataLengthAt - DATA_OFFSET_AT, true);
    this.view.setUint32(dataLengthAt, this.dataEnd - this.dataAt, true);
    return this.bytes.subarray(0, this.dataEnd);
  }

  private append(text: string | Uint8Array): number {
    const start = this.dataEnd;
    if (typeof text !== 'string') {
      this.reserve(text.length);
      this.bytes.set(text, start);
      this.dataEnd = start + text.length;
      return text.length;
    }
    this.reserve(text.length * 3);
    const { bytes } = this;
    let at = start;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) {
        at = start + encoder.encodeInto(text, bytes.subarray(start)).written;
        break;
      }
      bytes[at++] = unit;
    }
    this.dataEnd = at;
    return at - start;
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
