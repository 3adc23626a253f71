// Frames that come over a link are copied out of memory that is shared: an engine takes a whole ArrayBuffer. Small
// frames come in few lengths, so that one buffer of each length serves all.

import { REPLY_VIEW_BYTES_MAX } from '../limits.js';

export class FrameBuffers {
  private readonly views: (Uint8Array<ArrayBuffer> | undefined)[] = [];

  /** A copy of the bytes that fills its buffer, valid until the next call. */
  copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const view = this.viewOf(bytes.length);
    view.set(bytes);
    return view;
  }

  private viewOf(length: number): Uint8Array<ArrayBuffer> {
    if (length > REPLY_VIEW_BYTES_MAX) return new Uint8Array(length);
    const kept = this.views[length];
    if (kept !== undefined) return kept;
    const made = new Uint8Array(length);
    this.views[length] = made;
    return made;
  }
}
