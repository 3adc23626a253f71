// The answer to a frame that comes while too many replies are unread: every operation OVERLOADED,
// none executed.

import { Columns } from '../ts/wire/columns.js';
import { HEADER_BYTES, OPERATION_BYTES, OPERATION_ID, RESULT_BYTES } from '../ts/wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX } from '../ts/wire/limits.js';
import { ReplyWriter } from '../ts/wire/reply.js';
import { checkRequest } from '../ts/wire/request.js';
import { Status } from '../ts/wire/status.js';

export class OverloadReply {
  private readonly columns = new Columns();
  private readonly reply = new Uint8Array(
    HEADER_BYTES + OPERATIONS_PER_FRAME_MAX * RESULT_BYTES + 4,
  );
  private readonly writer = new ReplyWriter(this.reply);

  constructor(private readonly frameBytesMax: number) {}

  /** Operations in the frame, or minus the `Status` that refuses it whole. */
  count(frame: ArrayBuffer): number {
    const status = checkRequest(new DataView(frame), this.frameBytesMax, this.columns);
    return status === Status.Ok ? this.columns.count : -status;
  }

  /** The reply to the frame that `count` just accepted; valid until the next call. */
  write(frame: ArrayBuffer): Uint8Array {
    const view = new DataView(frame);
    const { count, elementsAt } = this.columns;
    this.writer.begin(count);
    for (let index = 0; index < count; index++) {
      const id = view.getUint32(elementsAt + index * OPERATION_BYTES + OPERATION_ID, true);
      this.writer.result(id, Status.Overloaded, 0, 0);
    }
    return this.reply.subarray(0, this.writer.finish());
  }
}
