// What comes while too many replies are unread or wait for the log is answered OVERLOADED, unexecuted; and what
// another worker cannot be given is answered here.

import type { Logger } from 'pino';
import { Columns } from '../ts/wire/columns.js';
import {
  FLAG_ENTRY,
  HEADER_BYTES,
  OPERATION_BYTES,
  OPERATION_ID,
  RESULT_BYTES,
  RESULT_FLAGS,
  RESULT_ID,
  VECTOR_LENGTH_AT,
} from '../ts/wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX } from '../ts/wire/limits.js';
import { ReplyWriter } from '../ts/wire/reply.js';
import { checkRequest } from '../ts/wire/request.js';
import { Status } from '../ts/wire/status.js';
import { describe, type Peer, type Send } from './connection.js';
import type { Counters } from './counters.js';
import { NodeError } from './errors.js';

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
    this.answer(peer, new DataView(frame), Status.Overloaded);
    return true;
  }

  /** Answers all operations of a valid request frame with a status: none was executed. */
  answerAll(peer: Peer, frame: Uint8Array, status: Status): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    if (checkRequest(view, this.options.frameBytesMax, this.columns) !== Status.Ok) {
      throw new NodeError('INVARIANT_BROKEN', 'the engine has left a frame that is not valid');
    }
    this.answer(peer, view, status);
  }

  /**
   * Answers OVERLOADED in place of a reply of the engine. Operations without a result in it keep their answer to
   * come: they are waits and watches that have begun.
   */
  replace(peer: Peer, reply: Uint8Array): void {
    const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
    const results = view.getUint32(VECTOR_LENGTH_AT, true);
    let operations = 0;
    this.writer.begin(results);
    for (let index = 0; index < results; index++) {
      const at = HEADER_BYTES + index * RESULT_BYTES;
      if ((view.getUint8(at + RESULT_FLAGS) & FLAG_ENTRY) !== 0) continue;
      this.writer.result(view.getUint32(at + RESULT_ID, true), Status.Overloaded, 0, 0);
      operations++;
    }
    this.options.counters.operationsOverloaded += operations;
    this.send(peer);
  }

  /** Answers all operations of the request frame that `columns` says about. */
  private answer(peer: Peer, view: DataView, status: Status): void {
    const { elementsAt, count } = this.columns;
    this.writer.begin(count);
    for (let index = 0; index < count; index++) {
      const id = view.getUint32(elementsAt + index * OPERATION_BYTES + OPERATION_ID, true);
      this.writer.result(id, status, 0, 0);
    }
    if (status === Status.Overloaded) this.options.counters.operationsOverloaded += count;
    this.send(peer);
  }

  private send(peer: Peer): void {
    this.options.send(peer, this.reply.subarray(0, this.writer.finish()), 0);
  }
}
