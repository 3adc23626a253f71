// The writer of the notices buffer: what an engine tells the node beside a reply. Their layout is in
// `coordination.ts`.

import { copyBytes } from '../wire/bytes.js';
import {
  OPERATION_BYTES,
  RESULT_COUNT,
  RESULT_FLAGS,
  RESULT_ID,
  RESULT_KEY_LENGTH,
  RESULT_REVISION,
  RESULT_STATUS,
  RESULT_TTL_MS,
  RESULT_VALUE_LENGTH,
  writeU64,
} from '../wire/layout.js';
import type { Status } from '../wire/status.js';
import {
  NOTICE_ANSWER,
  NOTICE_BYTES_AT,
  NOTICE_DATA_AT,
  NOTICE_KIND_AT,
  NOTICE_REQUEST,
  NOTICE_SESSION_AT,
  NOTICE_SESSION_ENDED,
  NOTICE_STRUCT_AT,
} from './coordination.js';
import { NOTICE_BLOCKER } from './workers.js';

const NOTHING = new Uint8Array(0);

/** Bytes of a notice with so many bytes of key and value. */
export function noticeBytes(dataBytes: number): number {
  return NOTICE_DATA_AT + Math.ceil(dataBytes / 8) * 8;
}

/** Writes one notice after another into a buffer that its owner registered. */
export class NoticeWriter {
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

  /** The answer to an operation that a session sent in an earlier frame. */
  answer(
    session: number,
    id: number,
    status: Status,
    revision: number,
    ttlMs: number,
    count: number,
    value: Uint8Array = NOTHING,
  ): void {
    const noticeAt = this.begin(NOTICE_ANSWER, session, value.length);
    this.bytes.set(value, noticeAt + NOTICE_DATA_AT);
    const at = noticeAt + NOTICE_STRUCT_AT;
    this.view.setUint32(at + RESULT_VALUE_LENGTH, value.length, true);
    this.view.setUint32(at + RESULT_ID, id, true);
    this.view.setUint8(at + RESULT_STATUS, status);
    this.view.setUint32(at + RESULT_COUNT, count, true);
    writeU64(this.view, at + RESULT_REVISION, revision);
    writeU64(this.view, at + RESULT_TTL_MS, ttlMs);
  }

  /** A session waits for a lock because of another, which only waits before it (flag) or holds it. */
  blocker(
    session: number,
    id: number,
    lock: Uint8Array,
    since: number,
    other: number,
    isHeld: boolean,
  ): void {
    const noticeAt = this.begin(NOTICE_BLOCKER, session, lock.length);
    this.bytes.set(lock, noticeAt + NOTICE_DATA_AT);
    const at = noticeAt + NOTICE_STRUCT_AT;
    this.view.setUint32(at + RESULT_ID, id, true);
    this.view.setUint8(at + RESULT_FLAGS, isHeld ? 0 : 1);
    this.view.setUint16(at + RESULT_KEY_LENGTH, lock.length, true);
    writeU64(this.view, at + RESULT_REVISION, other);
    writeU64(this.view, at + RESULT_TTL_MS, since);
  }

  sessionEnded(session: number): void {
    this.begin(NOTICE_SESSION_ENDED, session, 0);
  }

  /** The operation at `operationAt` of a frame, its key and value `frame[dataAt, dataEnd)`. */
  request(frame: Uint8Array, operationAt: number, dataAt: number, dataEnd: number): void {
    const at = this.begin(NOTICE_REQUEST, 0, dataEnd - dataAt);
    const { bytes } = this;
    copyBytes(bytes, at + NOTICE_STRUCT_AT, frame, operationAt, operationAt + OPERATION_BYTES);
    copyBytes(bytes, at + NOTICE_DATA_AT, frame, dataAt, dataEnd);
  }

  /** Writes what all notices have, zeros for the rest, and returns where the notice begins. */
  private begin(kind: number, session: number, dataBytes: number): number {
    const { view, bytes, length: at } = this;
    const end = at + noticeBytes(dataBytes);
    bytes.fill(0, at, end);
    view.setUint32(at + NOTICE_BYTES_AT, end - at, true);
    view.setUint8(at + NOTICE_KIND_AT, kind);
    writeU64(view, at + NOTICE_SESSION_AT, session);
    this.length = end;
    return at;
  }
}
