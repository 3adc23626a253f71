// Views of the engine's reply buffer, kept by length: small replies come in few lengths, and making a view
// costs a tenth of a frame with one operation.

import { REPLY_VIEW_BYTES_MAX } from './limits.js';

export class ReplyViews {
  private readonly views: (Uint8Array | undefined)[] = new Array(REPLY_VIEW_BYTES_MAX + 1);

  constructor(private readonly reply: Uint8Array) {}

  /** The first `length` bytes of the reply buffer. */
  of(length: number): Uint8Array {
    if (length > REPLY_VIEW_BYTES_MAX) return this.reply.subarray(0, length);
    const view = this.views[length];
    if (view !== undefined) return view;
    const made = this.reply.subarray(0, length);
    this.views[length] = made;
    return made;
  }
}
