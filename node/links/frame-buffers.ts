// Frames that come over a link are copied out of memory that is shared: an engine takes a whole ArrayBuffer, so one
// is kept of each length; a transport takes any bytes of its own thread, so one serves all. A new buffer for each
// frame would cost far more than its copy: the collector counts memory beside its heap, and marks the whole heap
// again for every few thousand large frames.

import {
  FRAME_BUFFER_BYTES_MAX,
  FRAME_BUFFERS_KEPT_BYTES_MAX,
  REPLY_VIEW_BYTES_MAX,
} from '../limits.js';

export class FrameBuffers {
  private readonly whole = new Map<number, Uint8Array<ArrayBuffer>>();
  private wholeBytes = 0;
  private readonly views: (Uint8Array<ArrayBuffer> | undefined)[] = [];
  private room = new Uint8Array(REPLY_VIEW_BYTES_MAX);

  /** A copy of the bytes that fills its buffer, valid until the next call. */
  copyWhole(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const view = this.whole.get(bytes.length) ?? this.makeWhole(bytes.length);
    view.set(bytes);
    return view;
  }

  /** A copy of the bytes, valid until the next call. */
  copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const view = this.viewOf(bytes.length);
    view.set(bytes);
    return view;
  }

  private makeWhole(length: number): Uint8Array<ArrayBuffer> {
    const made = new Uint8Array(length);
    if (length > FRAME_BUFFER_BYTES_MAX) return made;
    if (this.wholeBytes + length > FRAME_BUFFERS_KEPT_BYTES_MAX) {
      this.whole.clear();
      this.wholeBytes = 0;
    }
    this.whole.set(length, made);
    this.wholeBytes += length;
    return made;
  }

  private viewOf(length: number): Uint8Array<ArrayBuffer> {
    if (length > FRAME_BUFFER_BYTES_MAX) return new Uint8Array(length);
    if (length > this.room.length) {
      this.room = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
      this.views.length = 0;
    }
    if (length > REPLY_VIEW_BYTES_MAX) return this.room.subarray(0, length);
    const kept = this.views[length];
    if (kept !== undefined) return kept;
    const made = this.room.subarray(0, length);
    this.views[length] = made;
    return made;
  }
}
