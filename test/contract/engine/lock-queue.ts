// The queue of a lock: the order of grants, deadlines, and how locks change hands.

import { describe, expect, it } from 'vitest';
import { INPUT_WRITE_REFUSAL, OUTCOME_HOLDS, OUTCOME_WAITS } from '../../../ts/engine/engine.js';
import { HOLD_OVERHEAD_BYTES, SESSION_OVERHEAD_BYTES } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import {
  cancelLock,
  downgrade,
  endSession,
  lock,
  renew,
  unlock,
  waitFor,
  withId,
} from '../../drive/coordination.js';
import { type Drive, effects, told } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { get } from '../../drive/operations.js';
import { agents, drives, TTL_MS } from './drives.js';

export function lockQueueContract(create: CreateEngine): void {
  const agent = agents(create);
  const waits = (d: Drive) => d.figure(OUTCOME_WAITS);

  describe('grants from the queue', () => {
    it('come in the order of the queue, one exclusive at a time', () => {
      const d = agent(4);
      d.as(1, lock('a', { id: 5 }));
      for (const session of [3, 2, 4]) d.as(session, waitFor('a', session * 10));
      const first = d.as(1, unlock('a', 5));
      expect(first.results).toMatchObject([{ status: 'OK', revision: 6, count: 0 }]);
      expect([effects(first), told(first)]).toEqual([['hold-end a@5', 'hold a@7'], ['3#30 OK 7']]);
      expect(told(d.as(3, unlock('a', 7)))).toEqual(['2#20 OK 9']);
      expect(told(d.as(2, unlock('a', 9)))).toEqual(['4#40 OK 11']);
      expect(told(d.as(4, unlock('a', 11)))).toEqual([]);
      expect([waits(d), d.figure(OUTCOME_HOLDS)]).toEqual([0, 0]);
    });

    it('tell depth and lease, which begins with the grant', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 6, { leaseMs: 700 }));
      d.now += 500;
      const [notice] = d.as(1, unlock('a', 3)).notices;
      expect(notice).toMatchObject({
        session: 2,
        result: { id: 6, status: 'OK', revision: 5, count: 1, ttlMs: 700, flags: 0 },
      });
    });

    it('go to all shared ones before the next exclusive one, and to no other', () => {
      const d = agent(6);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 20, { shared: true }));
      d.as(3, waitFor('a', 30, { shared: true }));
      d.as(4, waitFor('a', 40));
      d.as(5, waitFor('a', 50, { shared: true }));
      d.as(6, waitFor('a', 60, { shared: true }));
      expect(told(d.as(1, unlock('a', 7)))).toEqual(['2#20 OK 9', '3#30 OK 10']);
      expect(told(d.as(3, unlock('a', 10)))).toEqual([]);
      expect(told(d.as(2, unlock('a', 9)))).toEqual(['4#40 OK 13']);
      expect(told(d.as(4, unlock('a', 13)))).toEqual(['5#50 OK 15', '6#60 OK 16']);
    });

    it('of permits keep within each request’s number', () => {
      const d = agent(5);
      const permit = (session: number) =>
        d.asks(session, waitFor('a', session * 10, { permits: 2 }));
      expect([permit(1), permit(2), permit(3), permit(4)].flat()).toEqual(['OK 6', 'OK 7']);
      d.as(5, waitFor('a', 50));
      expect(told(d.as(2, unlock('a', 7)))).toEqual(['3#30 OK 9']);
      expect(told(d.as(1, unlock('a', 6)))).toEqual(['4#40 OK 11']);
      expect(told(d.as(3, unlock('a', 9)))).toEqual([]);
      expect(told(d.as(4, unlock('a', 11)))).toEqual(['5#50 OK 14']);
    });

    it('come with the frame that makes them possible, after its replies', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      const frame = d.as(1, waitFor('a', 6), withId(7, unlock('a', 3)), withId(8, get('k')));
      expect(frame.results.map(({ id, status }) => `${id} ${status}`)).toEqual([
        '7 OK',
        '8 NOT_FOUND',
      ]);
      expect(told(frame)).toEqual(['1#6 OK 5']);
    });

    it('are refused in their turn where memory has run out', () => {
      const room = HOLD_OVERHEAD_BYTES + 1;
      const d = agent(3, { memoryBytesMax: 3 * SESSION_OVERHEAD_BYTES + room });
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 20, { shared: true }));
      d.as(3, waitFor('a', 30, { shared: true }));
      const freed = d.as(1, unlock('a', 4));
      expect(effects(freed)).toEqual(['hold-end a@4', 'hold a@6']);
      expect(told(freed)).toEqual(['2#20 OK 6', '3#30 RESOURCE_EXHAUSTED 0']);
      expect([waits(d), d.figure(OUTCOME_HOLDS)]).toEqual([0, 1]);
    });
  });

  describe('a wait that ends otherwise', () => {
    it('times out at its deadline, and lets those behind it through', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, lock('a', { id: 6, waitMs: 100 }));
      d.as(3, waitFor('a', 7, { shared: true }));
      expect(told(d.advance(d.now + 99))).toEqual([]);
      const late = d.advance(d.now + 1);
      expect(told(late)).toEqual(['2#6 LOCK_TIMEOUT 0', '3#7 OK 5']);
      expect(effects(late)).toEqual(['hold a@5']);
      expect(waits(d)).toBe(0);
    });

    it.each<[string, (d: Drive) => ReturnType<Drive['left']>]>([
      ['execute', (d) => d.run(get('k'))],
      ['openSession', (d) => d.openSession(9)],
      ['resumeSession', (d) => d.resumeSession(1)],
    ])('times out in %s as well', (_name, call) => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, lock('a', { id: 6, waitMs: 100 }));
      d.now += 100;
      expect(told(call(d))).toEqual(['2#6 LOCK_TIMEOUT 0']);
    });

    it('times out under a write refusal too', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, lock('a', { id: 6, waitMs: 100 }));
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      expect(told(d.advance(d.now + 100))).toEqual(['2#6 LOCK_TIMEOUT 0']);
      expect(waits(d)).toBe(0);
    });

    it('times out the earliest first, and of equal ones the one that came first', () => {
      const d = agent(4);
      d.as(1, lock('a', { id: 5 }), lock('b', { id: 6 }));
      d.as(2, lock('a', { id: 20, waitMs: 300 }), lock('b', { id: 21, waitMs: 100 }));
      d.as(3, lock('b', { id: 30, waitMs: 200 }), lock('a', { id: 31, waitMs: 100 }));
      expect(told(d.advance(d.now + 1000))).toEqual([
        '2#21 LOCK_TIMEOUT 0',
        '3#31 LOCK_TIMEOUT 0',
        '3#30 LOCK_TIMEOUT 0',
        '2#20 LOCK_TIMEOUT 0',
      ]);
    });

    it('does not time out where it was granted before', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, lock('a', { id: 6, waitMs: 100 }));
      d.as(1, unlock('a', 3));
      expect(told(d.advance(d.now + 100))).toEqual([]);
      expect(d.asks(2, unlock('a', 5))).toEqual(['OK 6']);
    });

    it('is cancelled by its own session, with both answers', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, waitFor('a', 6));
      d.as(3, waitFor('a', 7, { shared: true }));
      expect(d.asks(3, cancelLock('a', 6))).toEqual(['NOT_FOUND 0']);
      expect(d.asks(2, cancelLock('b', 6))).toEqual(['NOT_FOUND 0']);
      const cancelled = d.as(2, withId(9, cancelLock('a', 6)));
      expect(cancelled.results).toMatchObject([{ id: 9, status: 'OK' }]);
      expect(told(cancelled)).toEqual(['2#6 LOCK_CANCELLED 0', '3#7 OK 5']);
      expect(d.asks(2, cancelLock('a', 6))).toEqual(['NOT_FOUND 0']);
    });

    it('is not cancelled any more once it is granted', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 6));
      d.as(1, unlock('a', 3));
      expect(d.asks(2, cancelLock('a', 6))).toEqual(['ALREADY_EXISTS 5']);
      expect(d.figure(OUTCOME_HOLDS)).toBe(1);
    });

    it('is dropped without an answer when its session ends, and lets others through', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, waitFor('a', 6), waitFor('a', 7));
      d.as(3, waitFor('a', 8, { shared: true }));
      const ended = d.as(2, endSession());
      expect(told(ended)).toEqual(['2 ended', '3#8 OK 6']);
      expect(effects(ended)).toEqual(['session-end 2', 'hold a@6']);
      expect(waits(d)).toBe(0);
    });
  });

  describe('a lock changes hands', () => {
    it('when a lease runs out, at its moment', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5, leaseMs: 100 }));
      d.as(2, waitFor('a', 6));
      expect(effects(d.advance(d.now + 99))).toEqual([]);
      const lost = d.advance(d.now + 1);
      expect([effects(lost), told(lost)]).toEqual([['hold-end a@3', 'hold a@5'], ['2#6 OK 5']]);
      expect(d.asks(1, unlock('a', 3))).toEqual(['NOT_HOLDER 5']);
      expect(d.asks(1, lock('a', { id: 5 }))).toEqual(['LOCK_HELD 5']);
    });

    it('not while writes are refused; then at once', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5, leaseMs: 100 }));
      d.as(2, waitFor('a', 6));
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      expect(d.advance(d.now + 200)).toMatchObject({ records: [], notices: [] });
      d.engine.input[INPUT_WRITE_REFUSAL] = 0;
      expect(told(d.advance(d.now))).toEqual(['2#6 OK 5']);
    });

    it('when a session ends, to the next', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 6));
      d.now += TTL_MS - 1;
      d.as(2, renew());
      const ended = d.advance(d.now + 1);
      expect(told(ended)).toEqual(['1 ended', '2#6 OK 7', '3 ended']);
    });

    it('when it is downgraded, to the shared ones in front', () => {
      const d = agent(4);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 6, { shared: true }));
      d.as(3, waitFor('a', 7));
      d.as(4, waitFor('a', 8, { shared: true }));
      const shared = d.as(1, downgrade('a', 5));
      expect([effects(shared), told(shared)]).toEqual([['hold a@5', 'hold a@7'], ['2#6 OK 7']]);
    });

    it('not to a session that is due at that moment: it ends first', () => {
      const d = drives(create)({ partitions: 1 });
      d.openSession(1);
      d.openSession(2, 1000);
      d.openSession(3);
      d.as(2, lock('own', { id: 5 }));
      d.as(1, lock('a', { id: 5, leaseMs: 500 }));
      d.as(2, waitFor('a', 6));
      d.as(3, waitFor('a', 7));
      // The lease ran out before the session did, and both are due now.
      const due = d.advance(d.now + 2000);
      expect(effects(due)).toEqual(['hold-end a@5', 'session-end 2', 'hold-end own@4', 'hold a@9']);
      expect(told(due)).toEqual(['2 ended', '3#7 OK 9']);
    });

    it('to a session that is not due yet, though it will be soon', () => {
      const d = drives(create)({ partitions: 1 });
      d.openSession(1);
      d.openSession(2, 1000);
      d.as(1, lock('a', { id: 5, leaseMs: 500 }));
      d.as(2, waitFor('a', 6));
      expect(told(d.advance(d.now + 999))).toEqual(['2#6 OK 5']);
    });
  });
}
