// What comes while too many replies are unread or wait for the log is answered OVERLOADED, unexecuted.

import type { Logger } from 'pino';
import { Columns } from '../ts/wire/columns.js';
import { HEADER_BYTES, OPERATION_BYTES, OPERATION_ID, RESULT_BYTES } from '../ts/wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX } from '../ts/wire/limits.js';
import { ReplyWriter } from '../ts/wire/reply.js';
import { checkRequest } from '../ts/wire/request.js';
import { Status } from '../ts/wire/status.js';
import { describe, type Peer, type Send } from './connection.js';
import type { Counters } from './counters.js';

export interface OverloadOptions {
  readonly frameBytesMax: number;
  /** Operations of one connection whose replies are unread or held. */
  readonly outstandingMax: number;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly send: Send;
  readonly refuse: (peer: Peer, status: Status) => void;
}

export class Overload {
  private readonly columns = new Columns();
  private readonly reply = new Uint8Array(
    HEADER_BYTES + OPERATIONS_PER_FRAME_MAX * RESULT_BYTES + 4,
  );
  private readonly writer = new ReplyWriter(this.reply);

  constructor(private readonly options: OverloadOptions) {}

  /**
   * Whether a frame would bring its peer's operations without a reply taken above the limit; it is
   * answered then. A peer with none may always send a whole frame.
   */
  refuses(peer: Peer, frame: ArrayBuffer): boolean {
    const { outstandingMax, frameBytesMax, logger } = this.options;
    const { data: state } = peer;
    const open = state.outstanding + state.held;
    if (open === 0) {
      state.isOverloaded = false;
      return false;
    }
    // The frame is looked at only where it could matter.
    if (open + OPERATIONS_PER_FRAME_MAX <= outstandingMax) return false;
    const status = checkRequest(new DataView(frame), frameBytesMax, this.columns);
    if (status !== Status.Ok) {
      this.options.refuse(peer, status);
      return true;
    }
    const { count } = this.columns;
    if (open + count <= outstandingMax) return false;
    if (!state.isOverloaded) {
      state.isOverloaded = true;
      logger.warn(
        { event: 'operations_overloaded', outstanding: open, ...describe(peer) },
        `more than ${outstandingMax} operations without a reply taken: answering OVERLOADED`,
      );
    }
    this.answer(peer, frame, 0, count);
    return true;
  }

  /** Answers the operations `first` to `next - 1` of a valid request frame. */
  answer(peer: Peer, frame: ArrayBuffer, first: number, next: number): void {
    const view = new DataView(frame);
    checkRequest(view, this.options.frameBytesMax, this.columns);
    const { elementsAt } = this.columns;
    this.writer.begin(next - first);
    for (let index = first; index < next; index++) {
      const id = view.getUint32(elementsAt + index * OPERATION_BYTES + OPERATION_ID, true);
      this.writer.result(id, Status.Overloaded, 0, 0);
    }
    this.options.counters.operationsOverloaded += next - first;
    this.options.send(peer, this.reply.subarray(0, this.writer.finish()), 0);
  }
}
