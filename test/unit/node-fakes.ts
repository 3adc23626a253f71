// An engine whose answers a test lays down, a log whose progress it decides, and peers that keep what they
// are sent: for the parts of the node that stand between them.

import type { Clock } from '../../node/clock.js';
import { ConnectionState, type Peer } from '../../node/connection.js';
import type { Gate } from '../../node/gate.js';
import {
  NOTICE_BYTES_AT,
  NOTICE_DATA_AT,
  NOTICE_KIND_AT,
  NOTICE_SESSION_AT,
  NOTICE_STRUCT_AT,
} from '../../ts/engine/coordination.js';
import {
  type Engine,
  INPUT_LENGTH,
  OPERATION_CODE_COUNT,
  OUTCOME_APPEND,
  OUTCOME_LENGTH,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
} from '../../ts/engine/engine.js';
import {
  OPERATION_CODE,
  OPERATION_EXPECTED_REVISION,
  OPERATION_FLAGS,
  OPERATION_ID,
  OPERATION_KEY_LENGTH,
  OPERATION_LIMIT,
  OPERATION_VALUE_LENGTH,
  RESULT_COUNT,
  RESULT_REVISION,
  RESULT_STATUS,
  writeU64,
} from '../../ts/wire/layout.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { STATUS_COUNT, Status } from '../../ts/wire/status.js';

export interface Notice {
  readonly kind: number;
  readonly session?: number;
  readonly id?: number;
  readonly status?: number;
  readonly count?: number;
  readonly revision?: number;
  readonly code?: number;
  readonly flags?: number;
  readonly limit?: number;
  readonly expectedRevision?: number;
  readonly key?: string;
  readonly value?: string;
}

export class FakeEngine {
  readonly notices = new Uint8Array(1024 * 1024);
  readonly records = new Uint8Array(1024);
  readonly outcome = new Float64Array(OUTCOME_LENGTH);
  readonly input = new Float64Array(INPUT_LENGTH);
  readonly counters = new Float64Array(OPERATION_CODE_COUNT * STATUS_COUNT);
  readonly opened: { id: number; ttlMs: number; digest: Uint8Array }[] = [];
  readonly resumed: { id: number; digest: Uint8Array }[] = [];
  /** What the next calls answer; Ok where nothing is laid down. */
  readonly openAnswers: Status[] = [];
  readonly resumeAnswers: Status[] = [];
  /** Laid out by the next call. */
  nextNotices: Notice[] = [];

  get asEngine(): Engine {
    return this as unknown as Engine;
  }

  openSession(id: number, ttlMs: number, digest: Uint8Array): Status {
    this.opened.push({ id, ttlMs, digest });
    const status = this.openAnswers.shift() ?? Status.Ok;
    this.made(status === Status.Ok ? 64 : 0);
    return status;
  }

  resumeSession(id: number, digest: Uint8Array): Status {
    this.resumed.push({ id, digest });
    this.made(0);
    return this.resumeAnswers.shift() ?? Status.Ok;
  }

  revisionOf(): number {
    return 0;
  }

  /** What a call leaves: so many bytes of records, and the next notices. */
  made(recordBytes: number): void {
    this.outcome[OUTCOME_RECORD_BYTES] = recordBytes;
    if (recordBytes > 0) this.outcome[OUTCOME_APPEND] = (this.outcome[OUTCOME_APPEND] ?? 0) + 1;
    this.lay(this.nextNotices.splice(0));
  }

  /** Lays notices out as an engine does. */
  lay(notices: readonly Notice[]): void {
    let at = 0;
    const view = new DataView(this.notices.buffer);
    for (const notice of notices) {
      const key = Buffer.from(notice.key ?? '');
      const value = Buffer.from(notice.value ?? '');
      const end = at + NOTICE_DATA_AT + key.length + value.length;
      const next = at + Math.ceil((end - at) / 8) * 8;
      this.notices.fill(0, at, next);
      view.setUint32(at + NOTICE_BYTES_AT, next - at, true);
      view.setUint8(at + NOTICE_KIND_AT, notice.kind);
      writeU64(view, at + NOTICE_SESSION_AT, notice.session ?? 0);
      const struct = at + NOTICE_STRUCT_AT;
      view.setUint32(struct + OPERATION_ID, notice.id ?? 0, true);
      view.setUint8(struct + OPERATION_CODE, notice.code ?? 0);
      view.setUint8(struct + OPERATION_FLAGS, notice.flags ?? 0);
      view.setUint16(struct + OPERATION_KEY_LENGTH, key.length, true);
      view.setUint32(struct + OPERATION_VALUE_LENGTH, value.length, true);
      view.setUint32(struct + OPERATION_LIMIT, notice.limit ?? 0, true);
      writeU64(view, struct + OPERATION_EXPECTED_REVISION, notice.expectedRevision ?? 0);
      if (notice.status !== undefined) {
        view.setUint8(struct + RESULT_STATUS, notice.status);
        view.setUint32(struct + RESULT_COUNT, notice.count ?? 0, true);
        writeU64(view, struct + RESULT_REVISION, notice.revision ?? 0);
        writeU64(view, struct + OPERATION_EXPECTED_REVISION, 0);
      }
      key.copy(this.notices, at + NOTICE_DATA_AT);
      value.copy(this.notices, at + NOTICE_DATA_AT + key.length);
      at = next;
    }
    this.outcome[OUTCOME_NOTICE_BYTES] = at;
  }
}

/** A gate that lets through what the test has called durable, in order of appends. */
export class FakeGate {
  durable = 0;
  readonly stored: number[] = [];
  private readonly waiting: { append: number; act: () => void }[] = [];

  constructor(
    private readonly engine: FakeEngine,
    private readonly send: (peer: Peer, bytes: Uint8Array, operations: number) => void,
  ) {}

  get asGate(): Gate {
    return this as unknown as Gate;
  }

  store(): void {
    this.stored.push(this.engine.outcome[OUTCOME_APPEND] ?? 0);
  }

  hold(append: number, peer: Peer, reply: Uint8Array, operations: number): void {
    const copy = reply.slice();
    this.after(append, peer, operations, () => this.send(peer, copy, operations));
  }

  after(append: number, _peer: Peer | undefined, _operations: number, act: () => void): void {
    if (append <= this.durable) act();
    else this.waiting.push({ append, act });
  }

  settle(append: number): void {
    this.durable = append;
    for (const { act } of this.waiting.splice(0)) act();
  }
}

export class FakePeer {
  readonly data = new ConnectionState(undefined);
  readonly sent: Uint8Array[] = [];
  isOpen = true;
  readonly remoteAddress = 'here';
  readonly bufferedBytes = 0;
  closedWith: Status | undefined;
  /** Where it was closed without a status. */
  closeCode: number | undefined;

  constructor(readonly id: number) {}

  get asPeer(): Peer {
    return this as unknown as Peer;
  }

  close(code: number): void {
    this.closeCode ??= code;
    this.isOpen = false;
  }

  refuse(status: Status): void {
    this.closedWith ??= status;
    this.isOpen = false;
  }
}

/** Time that stands still, and turns that the test takes. */
export class FakeTurns {
  readonly due: (() => void)[] = [];
  readonly clock = {
    now: () => 1_000,
    monotonic: () => 0,
    soon: (act: () => void) => {
      this.due.push(act);
      return { cancel: () => undefined };
    },
  } as unknown as Clock;

  take(): void {
    for (const act of this.due.splice(0)) act();
  }
}

export interface Answer {
  readonly id: number;
  readonly status: number;
  readonly count: number;
  readonly revision: number;
  readonly value: string;
}

/** The results of a reply frame. */
export function answersOf(frame: Uint8Array): Answer[] {
  const reader = new ReplyReader();
  if (!reader.open(frame.slice().buffer)) throw new Error('not a reply');
  const answers: Answer[] = [];
  while (reader.next()) {
    const { id, status, count, revision } = reader;
    answers.push({ id, status, count, revision, value: reader.valueText() ?? '' });
  }
  return answers;
}
