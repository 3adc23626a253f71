// Push frames: the writer that a node uses and the reader that clients use. The events of one or many
// watches, in order, with their keys and values in one blob.

import { copyBytes } from './bytes.js';
import { ElementReader } from './element-reader.js';
import { EventKind } from './generated/rondo/wire/event-kind.js';
import { FrameKind } from './generated/rondo/wire/frame-kind.js';
import { Status } from './generated/rondo/wire/status.js';
import {
  EVENT_BYTES,
  EVENT_FLAGS,
  EVENT_ID,
  EVENT_KEY_LENGTH,
  EVENT_KIND,
  EVENT_PARTITION,
  EVENT_POSITION,
  EVENT_PREVIOUS,
  EVENT_REVISION,
  EVENT_STATUS,
  EVENT_VALUE_LENGTH,
  PUSH_DATA_OFFSET_AT,
  PUSH_HEADER_BYTES,
  PUSH_VECTOR_LENGTH_AT,
  readU64,
  SLOT_EVENTS,
  writePushHeader,
  writeU64,
} from './layout.js';

export { EventKind };

/** Bytes of a push frame beside its events and their keys and values. */
export const PUSH_FRAME_BYTES = PUSH_HEADER_BYTES + 4;

/** An event to be written: key and value are ranges of `bytes`. */
export interface EventSource {
  readonly kind: EventKind;
  readonly flags: number;
  readonly status: Status;
  readonly partition: number;
  readonly revision: number;
  readonly previous: number;
  readonly position: number;
  readonly bytes: Uint8Array;
  readonly keyAt: number;
  readonly keyEnd: number;
  readonly valueAt: number;
  readonly valueEnd: number;
}

/**
 * Writes one push frame after another into a buffer of its own that grows as needed. Use: `begin`, `event`
 * as often as `begin` was told, `finish`.
 */
export class PushWriter {
  private bytes = new Uint8Array(4096);
  private view = new DataView(this.bytes.buffer);
  private eventAt = 0;
  private dataEnd = 0;

  constructor() {
    writePushHeader(this.view, FrameKind.Push);
  }

  /** `dataBytes`: of all keys and values together. */
  begin(count: number, dataBytes: number): void {
    const dataLengthAt = PUSH_HEADER_BYTES + count * EVENT_BYTES;
    this.reserve(dataLengthAt + 4 + dataBytes);
    this.view.setUint32(PUSH_VECTOR_LENGTH_AT, count, true);
    this.view.setUint32(PUSH_DATA_OFFSET_AT, dataLengthAt - PUSH_DATA_OFFSET_AT, true);
    this.view.setUint32(dataLengthAt, dataBytes, true);
    this.eventAt = PUSH_HEADER_BYTES;
    this.dataEnd = dataLengthAt + 4;
  }

  event(id: number, event: EventSource): void {
    const { view, eventAt: at } = this;
    view.setUint32(at + EVENT_ID, id, true);
    view.setUint8(at + EVENT_KIND, event.kind);
    view.setUint8(at + EVENT_FLAGS, event.flags);
    view.setUint16(at + EVENT_KEY_LENGTH, event.keyEnd - event.keyAt, true);
    view.setUint32(at + EVENT_VALUE_LENGTH, event.valueEnd - event.valueAt, true);
    view.setUint8(at + EVENT_STATUS, event.status);
    view.setUint8(at + EVENT_STATUS + 1, 0);
    view.setUint16(at + EVENT_PARTITION, event.partition, true);
    writeU64(view, at + EVENT_REVISION, event.revision);
    writeU64(view, at + EVENT_PREVIOUS, event.previous);
    writeU64(view, at + EVENT_POSITION, event.position);
    this.eventAt = at + EVENT_BYTES;
    this.append(event.bytes, event.keyAt, event.keyEnd);
    this.append(event.bytes, event.valueAt, event.valueEnd);
  }

  /** The frame; a view of the writer's buffer, valid until the next `begin`. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.dataEnd);
  }

  /** Gives an event of the frame that was written last another watch: what many get is written once. */
  readdress(index: number, id: number): void {
    this.view.setUint32(PUSH_HEADER_BYTES + index * EVENT_BYTES + EVENT_ID, id, true);
  }

  private append(bytes: Uint8Array, start: number, end: number): void {
    copyBytes(this.bytes, this.dataEnd, bytes, start, end);
    this.dataEnd += end - start;
  }

  private reserve(needed: number): void {
    if (needed <= this.bytes.length) return;
    this.bytes = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    this.view = new DataView(this.bytes.buffer);
    writePushHeader(this.view, FrameKind.Push);
  }
}

/**
 * Reads one push after another: `open` checks the frame, then `next` goes through its events. The fields
 * hold the current event; `key` and `value` are views of the frame. A kind that this version does not know
 * is handed out like any other.
 */
export class PushReader extends ElementReader {
  id = 0;
  kind: EventKind = EventKind.None;
  flags = 0;
  status: Status = Status.Ok;
  partition = 0;
  revision = 0;
  previous = 0;
  position = 0;

  constructor() {
    super(FrameKind.Push, SLOT_EVENTS, EVENT_BYTES);
  }

  /** Moves to the next event; false after the last. */
  next(): boolean {
    const at = this.advance();
    if (at < 0) return false;
    const { view } = this;
    this.id = view.getUint32(at + EVENT_ID, true);
    this.kind = view.getUint8(at + EVENT_KIND);
    this.flags = view.getUint8(at + EVENT_FLAGS);
    this.status = view.getUint8(at + EVENT_STATUS);
    this.partition = view.getUint16(at + EVENT_PARTITION, true);
    this.revision = readU64(view, at + EVENT_REVISION);
    this.previous = readU64(view, at + EVENT_PREVIOUS);
    this.position = readU64(view, at + EVENT_POSITION);
    return true;
  }
}
