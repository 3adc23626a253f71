// The writer of the forwards buffer: from a frame whose operations are of several workers, a frame for each
// of the others. Their layout is in `workers.ts`.

import { copyBytes } from '../wire/bytes.js';
import type { Columns } from '../wire/columns.js';
import { FrameKind } from '../wire/generated/rondo/wire/frame-kind.js';
import {
  DATA_OFFSET_AT,
  ELEMENT_KEY_LENGTH,
  ELEMENT_VALUE_LENGTH,
  HEADER_BYTES,
  OPERATION_BYTES,
  SLOT_OPERATIONS,
  VECTOR_LENGTH_AT,
  writeHeader,
} from '../wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX, WORKERS_MAX } from '../wire/limits.js';
import { FORWARDED } from './routing.js';
import { FORWARD_HEAD_BYTES } from './workers.js';

/** Bytes of a frame without its operations and their keys and values. */
const FRAME_BYTES_MIN = HEADER_BYTES + 4;

/**
 * Bytes that the forwards of one frame have at most. A valid frame may have operations and data in the same
 * bytes; those that are made of it have not.
 */
export function forwardBytesMax(frameBytesMax: number): number {
  const entryBytes = FORWARD_HEAD_BYTES + FRAME_BYTES_MIN + 8;
  return frameBytesMax + OPERATIONS_PER_FRAME_MAX * OPERATION_BYTES + WORKERS_MAX * entryBytes;
}

/** The frame of one worker while it is written. */
interface Share {
  operations: number;
  dataBytes: number;
  operationAt: number;
  dataAt: number;
}

export class ForwardWriter {
  length = 0;
  private readonly shares: Share[];

  constructor(private readonly bytes: Uint8Array) {
    const none = { operations: 0, dataBytes: 0, operationAt: 0, dataAt: 0 };
    this.shares = Array.from({ length: WORKERS_MAX }, () => ({ ...none }));
  }

  clear(): void {
    this.length = 0;
  }

  /** Writes the operations of a checked frame whose place is FORWARDED, by their worker. */
  write(frame: Uint8Array, columns: Columns, places: Uint8Array, workers: Uint8Array): void {
    const { shares } = this;
    const { count, elementsAt, dataAt } = columns;
    for (const share of shares) share.operations = share.dataBytes = 0;
    const view = new DataView(frame.buffer);
    for (let index = 0, at = elementsAt; index < count; index++, at += OPERATION_BYTES) {
      if (places[index] !== FORWARDED) continue;
      const share = shares[workers[index] as number] as Share;
      share.operations++;
      share.dataBytes += dataBytesAt(view, at);
    }
    for (const [worker, share] of shares.entries()) {
      if (share.operations === count) {
        this.writeWhole(worker, count, frame);
        return;
      }
      if (share.operations > 0) this.begin(worker, share);
    }

    let from = dataAt;
    for (let index = 0, at = elementsAt; index < count; index++, at += OPERATION_BYTES) {
      const to = from + dataBytesAt(view, at);
      if (places[index] === FORWARDED) {
        const share = shares[workers[index] as number] as Share;
        copyBytes(this.bytes, share.operationAt, frame, at, at + OPERATION_BYTES);
        copyBytes(this.bytes, share.dataAt, frame, from, to);
        share.operationAt += OPERATION_BYTES;
        share.dataAt += to - from;
      }
      from = to;
    }
  }

  private writeWhole(worker: number, operations: number, frame: Uint8Array): void {
    const frameAt = this.beginEntry(worker, operations, frame.length);
    copyBytes(this.bytes, frameAt, frame, 0, frame.length);
  }

  /** Writes all of a worker's frame but what comes from its operations. */
  private begin(worker: number, share: Share): void {
    const { operations, dataBytes } = share;
    const frameBytes = FRAME_BYTES_MIN + operations * OPERATION_BYTES + dataBytes;
    const frameAt = this.beginEntry(worker, operations, frameBytes);
    const view = new DataView(this.bytes.buffer, frameAt, frameBytes);
    const dataLengthAt = HEADER_BYTES + operations * OPERATION_BYTES;
    writeHeader(view, FrameKind.Request, SLOT_OPERATIONS);
    view.setUint32(VECTOR_LENGTH_AT, operations, true);
    view.setUint32(DATA_OFFSET_AT, dataLengthAt - DATA_OFFSET_AT, true);
    view.setUint32(dataLengthAt, dataBytes, true);
    share.operationAt = frameAt + HEADER_BYTES;
    share.dataAt = frameAt + dataLengthAt + 4;
  }

  /** Writes the head of an entry and its zeros, and returns where its frame begins. */
  private beginEntry(worker: number, operations: number, frameBytes: number): number {
    const { bytes, length: at } = this;
    const end = at + Math.ceil((FORWARD_HEAD_BYTES + frameBytes) / 8) * 8;
    const view = new DataView(bytes.buffer, at, FORWARD_HEAD_BYTES);
    view.setUint32(0, end - at, true);
    view.setUint32(4, worker, true);
    view.setUint32(8, operations, true);
    view.setUint32(12, frameBytes, true);
    bytes.fill(0, at + FORWARD_HEAD_BYTES + frameBytes, end);
    this.length = end;
    return at + FORWARD_HEAD_BYTES;
  }
}

/** Bytes of key and value of the operation at `at`. */
function dataBytesAt(view: DataView, at: number): number {
  const keyBytes = view.getUint16(at + ELEMENT_KEY_LENGTH, true);
  return keyBytes + view.getUint32(at + ELEMENT_VALUE_LENGTH, true);
}
