// Reads what an engine tells beside a reply (`ts/engine/coordination.ts`): answers to operations of earlier
// frames, sessions that have ended, and operations that are the node's. Answers of one call to one session
// share a frame.

import {
  NOTICE_ANSWER,
  NOTICE_BYTES_AT,
  NOTICE_DATA_AT,
  NOTICE_KIND_AT,
  NOTICE_REQUEST,
  NOTICE_SESSION_AT,
  NOTICE_SESSION_ENDED,
  NOTICE_STRUCT_AT,
} from '../ts/engine/coordination.js';
import { type Engine, OUTCOME_NOTICE_BYTES } from '../ts/engine/engine.js';
import { FrameKind } from '../ts/wire/generated/rondo/wire/frame-kind.js';
import type { OperationCode } from '../ts/wire/generated/rondo/wire/operation-code.js';
import {
  DATA_OFFSET_AT,
  HEADER_BYTES,
  OPERATION_CODE,
  OPERATION_EXPECTED_REVISION,
  OPERATION_FLAGS,
  OPERATION_ID,
  OPERATION_KEY_LENGTH,
  OPERATION_LIMIT,
  OPERATION_VALUE_LENGTH,
  RESULT_BYTES,
  RESULT_KEY_LENGTH,
  RESULT_VALUE_LENGTH,
  readU64,
  SLOT_RESULTS,
  VECTOR_LENGTH_AT,
  writeHeader,
} from '../ts/wire/layout.js';
import { NOTICES_BYTES, RESULTS_PER_REPLY_MAX } from '../ts/wire/limits.js';
import type { WatchRequest } from './watch/watches.js';

export interface NoticeHandler {
  /** A reply frame with so many answers; the bytes are overwritten afterwards. */
  onAnswers(session: number, frame: Uint8Array, answers: number): void;
  /** Comes behind the session's answers. */
  onSessionEnded(session: number): void;
  /** Comes last, in the order of the frame. What it is given is a copy. */
  onRequest(code: OperationCode, request: WatchRequest): void;
}

interface Request {
  readonly code: OperationCode;
  readonly request: WatchRequest;
}

export class Notices {
  private readonly view: DataView;
  private readonly frame = new Uint8Array(HEADER_BYTES + 4 + NOTICES_BYTES);
  private readonly frameView = new DataView(this.frame.buffer);
  /** Where the answers to each session begin. Empty between two calls. */
  private readonly answers = new Map<number, number[]>();

  constructor(private readonly engine: Pick<Engine, 'notices' | 'outcome'>) {
    const { buffer, byteOffset, byteLength } = engine.notices;
    this.view = new DataView(buffer, byteOffset, byteLength);
    writeHeader(this.frameView, FrameKind.Reply, SLOT_RESULTS);
  }

  /** Whether the engine's last call has ended operations of earlier frames, or waits of this one. */
  get hasAnswers(): boolean {
    const bytes = this.engine.outcome[OUTCOME_NOTICE_BYTES] as number;
    for (let at = 0; at < bytes; at += this.view.getUint32(at + NOTICE_BYTES_AT, true)) {
      if (this.view.getUint8(at + NOTICE_KIND_AT) === NOTICE_ANSWER) return true;
    }
    return false;
  }

  /** Hands out the notices of the engine's last call: all answers, then ended sessions, then requests. */
  read(handler: NoticeHandler): void {
    const { view, answers } = this;
    const bytes = this.engine.outcome[OUTCOME_NOTICE_BYTES] as number;
    const ended: number[] = [];
    // Copies, since whoever serves one may call the engine.
    const requests: Request[] = [];
    for (let at = 0; at < bytes; at += view.getUint32(at + NOTICE_BYTES_AT, true)) {
      const kind = view.getUint8(at + NOTICE_KIND_AT);
      const session = readU64(view, at + NOTICE_SESSION_AT);
      if (kind === NOTICE_REQUEST) {
        requests.push(this.requestAt(at));
      } else if (kind === NOTICE_SESSION_ENDED) {
        ended.push(session);
      } else if (kind === NOTICE_ANSWER) {
        const places = answers.get(session);
        if (places === undefined) answers.set(session, [at]);
        else places.push(at);
      }
    }
    for (const [session, places] of answers) {
      for (let first = 0; first < places.length; first += RESULTS_PER_REPLY_MAX) {
        const some = places.slice(first, first + RESULTS_PER_REPLY_MAX);
        handler.onAnswers(session, this.frame.subarray(0, this.write(some)), some.length);
      }
    }
    answers.clear();
    for (const session of ended) handler.onSessionEnded(session);
    for (const { code, request } of requests) handler.onRequest(code, request);
  }

  /** Lays out a reply of the answers at `places`. Returns its length. */
  private write(places: readonly number[]): number {
    const { frame, frameView, view } = this;
    const { notices } = this.engine;
    const dataLengthAt = HEADER_BYTES + places.length * RESULT_BYTES;
    let resultAt = HEADER_BYTES;
    let dataAt = dataLengthAt + 4;
    for (const at of places) {
      const struct = at + NOTICE_STRUCT_AT;
      frame.set(notices.subarray(struct, struct + RESULT_BYTES), resultAt);
      const length =
        view.getUint16(struct + RESULT_KEY_LENGTH, true) +
        view.getUint32(struct + RESULT_VALUE_LENGTH, true);
      const data = at + NOTICE_DATA_AT;
      if (length > 0) frame.set(notices.subarray(data, data + length), dataAt);
      resultAt += RESULT_BYTES;
      dataAt += length;
    }
    frameView.setUint32(VECTOR_LENGTH_AT, places.length, true);
    frameView.setUint32(DATA_OFFSET_AT, dataLengthAt - DATA_OFFSET_AT, true);
    frameView.setUint32(dataLengthAt, dataAt - dataLengthAt - 4, true);
    return dataAt;
  }

  private requestAt(at: number): Request {
    const { view } = this;
    const { notices } = this.engine;
    const struct = at + NOTICE_STRUCT_AT;
    const keyAt = at + NOTICE_DATA_AT;
    const valueAt = keyAt + view.getUint16(struct + OPERATION_KEY_LENGTH, true);
    const end = valueAt + view.getUint32(struct + OPERATION_VALUE_LENGTH, true);
    const request: WatchRequest = {
      id: view.getUint32(struct + OPERATION_ID, true),
      flags: view.getUint8(struct + OPERATION_FLAGS),
      classes: view.getUint32(struct + OPERATION_LIMIT, true),
      expectedRevision: readU64(view, struct + OPERATION_EXPECTED_REVISION),
      key: notices.slice(keyAt, valueAt),
      value: notices.slice(valueAt, end),
    };
    return { code: view.getUint8(struct + OPERATION_CODE), request };
  }
}
