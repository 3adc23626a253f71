// What an engine tells beside its replies: each answer reaches its session once, whole and in order.

import { describe, expect, it } from 'vitest';
import { Notices } from '../../node/notices.js';
import {
  NOTICE_ANSWER,
  NOTICE_REQUEST,
  NOTICE_SESSION_ENDED,
} from '../../ts/engine/coordination.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { RESULTS_PER_REPLY_MAX } from '../../ts/wire/limits.js';
import { Status } from '../../ts/wire/status.js';
import { type Answer, answersOf, FakeEngine, type Notice } from './node-fakes.js';

interface Heard {
  readonly answers: { session: number; answers: Answer[]; count: number }[];
  readonly order: string[];
  readonly requests: unknown[];
}

function hear(notices: readonly Notice[]): Heard {
  const engine = new FakeEngine();
  const reader = new Notices(engine.asEngine);
  engine.lay(notices);
  const heard: Heard = { answers: [], order: [], requests: [] };
  reader.read({
    onAnswers: (session, frame, count) => {
      heard.answers.push({ session, answers: answersOf(frame), count });
      heard.order.push(`answers ${session}`);
    },
    onSessionEnded: (session) => heard.order.push(`ended ${session}`),
    onRequest: (code, request) => {
      // As a call of the engine would: what was handed out must not change with it.
      engine.notices.fill(0xee);
      heard.order.push(`request ${request.id}`);
      heard.requests.push({ code, ...request });
    },
  });
  return heard;
}

const answer = (session: number, id: number, more: Partial<Notice> = {}): Notice => ({
  kind: NOTICE_ANSWER,
  session,
  id,
  status: Status.Ok,
  ...more,
});

describe('notices', () => {
  it('of one session share a frame, in order, with all that they say', () => {
    const { answers } = hear([
      answer(2 ** 53 - 1, 7, { revision: 2 ** 40 + 1, count: 3 }),
      answer(5, 1, { status: Status.Deadlock, value: 'a waits for b' }),
      answer(2 ** 53 - 1, 4, { status: Status.LockTimeout, value: 'é' }),
    ]);
    expect(answers).toEqual([
      {
        session: 2 ** 53 - 1,
        count: 2,
        answers: [
          { id: 7, status: Status.Ok, count: 3, revision: 2 ** 40 + 1, value: '' },
          { id: 4, status: Status.LockTimeout, count: 0, revision: 0, value: 'é' },
        ],
      },
      {
        session: 5,
        count: 1,
        answers: [
          { id: 1, status: Status.Deadlock, count: 0, revision: 0, value: 'a waits for b' },
        ],
      },
    ]);
  });

  it('come as answers, then ended sessions, then requests', () => {
    const { order } = hear([
      { kind: NOTICE_REQUEST, id: 9, code: OperationCode.Watch, key: 'k' },
      { kind: NOTICE_SESSION_ENDED, session: 3 },
      answer(3, 1),
      { kind: NOTICE_REQUEST, id: 10, code: OperationCode.Unwatch },
    ]);
    expect(order).toEqual(['answers 3', 'ended 3', 'request 9', 'request 10']);
  });

  it('hand requests out as copies', () => {
    const watch = {
      kind: NOTICE_REQUEST,
      id: 2 ** 32 - 1,
      code: OperationCode.Watch,
      flags: 9,
      limit: 5,
      expectedRevision: 2 ** 52,
      key: 'plan/',
      value: 'token',
    };
    const { requests } = hear([watch, { ...watch, id: 1, key: 'other' }]);
    expect(requests).toEqual([
      {
        code: OperationCode.Watch,
        id: 2 ** 32 - 1,
        flags: 9,
        classes: 5,
        expectedRevision: 2 ** 52,
        key: new Uint8Array(Buffer.from('plan/')),
        value: new Uint8Array(Buffer.from('token')),
      },
      expect.objectContaining({ id: 1, key: new Uint8Array(Buffer.from('other')) }),
    ]);
  });

  it('are put in several frames where one would have too many results', () => {
    const count = RESULTS_PER_REPLY_MAX * 2 + 3;
    const { answers } = hear(Array.from({ length: count }, (_, id) => answer(1, id)));
    expect(answers.map((frame) => frame.count)).toEqual([
      RESULTS_PER_REPLY_MAX,
      RESULTS_PER_REPLY_MAX,
      3,
    ]);
    const ids = answers.flatMap((frame) => frame.answers.map(({ id }) => id));
    expect(ids).toEqual(Array.from({ length: count }, (_, id) => id));
  });

  it('are none after a call without them', () => {
    const engine = new FakeEngine();
    const reader = new Notices(engine.asEngine);
    engine.lay([answer(1, 1)]);
    expect(reader.hasAnswers).toBe(true);
    engine.lay([{ kind: NOTICE_REQUEST, id: 1 }]);
    expect(reader.hasAnswers).toBe(false);
    engine.lay([]);
    const never = () => expect.unreachable();
    reader.read({ onAnswers: never, onSessionEnded: never, onRequest: never });
    expect(reader.hasAnswers).toBe(false);
  });
});
