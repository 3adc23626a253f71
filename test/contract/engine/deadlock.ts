// Deadlocks among sessions: the request that would close a cycle is refused with the cycle named, and no
// other is.

import { describe, expect, it } from 'vitest';
import { sessionText } from '../../../ts/engine/coordination.js';
import { OUTCOME_WAITS } from '../../../ts/engine/engine.js';
import {
  DEADLOCK_BLOCKERS_EXAMINED_MAX,
  DEADLOCK_STEPS_SHOWN_MAX,
} from '../../../ts/wire/limits.js';
import {
  cancelLock,
  downgrade,
  endSession,
  lock,
  unlock,
  waitFor,
} from '../../drive/coordination.js';
import { type Drive, told } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import type { Operation } from '../../drive/operations.js';
import { agents } from './drives.js';

export function deadlockContract(create: CreateEngine): void {
  const agent = agents(create);

  /** The cycle that the answer names, a line a step, with sessions as plain numbers. */
  const cycle = (d: Drive, session: number, operation: Operation): string[] => {
    const { results } = d.as(session, operation);
    expect(results).toMatchObject([{ status: 'DEADLOCK' }]);
    const named = Buffer.from(results[0]!.value).toString();
    return named
      .split('\n')
      .map((line) => line.replace(/\b[0-9a-f]{14}\b/g, (id) => `${Number.parseInt(id, 16)}`));
  };
  /** Each session i takes lock `li`. */
  const takeEach = (d: Drive, count: number) => {
    for (let session = 1; session <= count; session++) d.as(session, lock(`l${session}`));
  };

  describe('a cycle', () => {
    it('of two is named in full, and the lock is left as it was', () => {
      const d = agent(2);
      takeEach(d, 2);
      d.as(1, waitFor('l2', 10));
      const { results, records } = d.as(2, waitFor('l1', 11));
      expect(results).toMatchObject([{ id: 11, status: 'DEADLOCK' }]);
      expect(Buffer.from(results[0]!.value).toString()).toBe(
        `${sessionText(2)} waits for "l1" held by ${sessionText(1)}\n` +
          `${sessionText(1)} waits for "l2" held by ${sessionText(2)}`,
      );
      expect([records, d.figure(OUTCOME_WAITS)]).toEqual([[], 1]);
      expect(told(d.as(2, unlock('l2', 4)))).toEqual(['1#10 OK 6']);
    });

    it('of three', () => {
      const d = agent(3);
      takeEach(d, 3);
      d.as(1, waitFor('l2', 10));
      d.as(2, waitFor('l3', 10));
      expect(cycle(d, 3, waitFor('l1', 10))).toEqual([
        '3 waits for "l1" held by 1',
        '1 waits for "l2" held by 2',
        '2 waits for "l3" held by 3',
      ]);
    });

    it('of many is shortened', () => {
      const d = agent(20);
      takeEach(d, 20);
      for (let session = 1; session < 20; session++) d.as(session, waitFor(`l${session + 1}`, 10));
      const lines = cycle(d, 20, waitFor('l1', 10));
      expect(lines).toHaveLength(DEADLOCK_STEPS_SHOWN_MAX + 1);
      expect([lines[0], lines[15], lines[16]]).toEqual([
        '20 waits for "l1" held by 1',
        '15 waits for "l16" held by 16',
        '...',
      ]);
    });

    it('is not looked for behind more holds than the bound, since each request would look at them', () => {
      const askedBehind = (holds: number) => {
        const d = agent(3);
        d.as(1, lock('x'));
        const own = Array.from({ length: holds }, (_, at) =>
          lock('s', { id: at + 1, shared: true }),
        );
        for (let at = 0; at < holds; at += 8000) d.as(3, ...own.slice(at, at + 8000));
        d.as(2, lock('s', { id: 1, shared: true }), waitFor('x', 2));
        return d.as(1, waitFor('s', 10)).results.map(({ status }) => status);
      };
      expect(askedBehind(DEADLOCK_BLOCKERS_EXAMINED_MAX - 2)).toEqual(['DEADLOCK']);
      expect(askedBehind(DEADLOCK_BLOCKERS_EXAMINED_MAX - 1)).toEqual([]);
    }, 60_000);

    it('through a shared hold', () => {
      const d = agent(3);
      d.as(1, lock('s', { shared: true }));
      d.as(2, lock('s', { shared: true }), lock('x', { id: 5 }));
      d.as(2, waitFor('y', 9));
      d.as(1, waitFor('x', 10));
      expect(cycle(d, 2, waitFor('s', 11))).toEqual([
        '2 waits for "s" held by 1',
        '1 waits for "x" held by 2',
      ]);
    });

    it('through a place in the queue', () => {
      const d = agent(3);
      d.as(3, lock('a', { shared: true }));
      d.as(1, lock('x'));
      d.as(2, waitFor('a', 10));
      d.as(2, waitFor('x', 11));
      expect(cycle(d, 1, waitFor('a', 12, { shared: true }))).toEqual([
        '1 waits for "a" behind 2',
        '2 waits for "x" held by 1',
      ]);
    });

    it('that an upgrade closes, and one that runs through an upgrade', () => {
      const d = agent(2);
      d.as(1, lock('a', { shared: true }), lock('b', { id: 5 }));
      d.as(2, lock('a', { shared: true }));
      d.as(2, waitFor('b', 6));
      expect(cycle(d, 1, waitFor('a', 7, { upgrade: 3 }))).toEqual([
        '1 waits for "a" held by 2',
        '2 waits for "b" held by 1',
      ]);
      d.as(2, cancelLock('b', 6));
      expect(d.asks(1, waitFor('a', 8, { upgrade: 3 }))).toEqual([]);
      expect(cycle(d, 2, waitFor('b', 9))).toEqual([
        '2 waits for "b" held by 1',
        '1 waits for "a" held by 2',
      ]);
    });

    it('is found along the waits in the order in which they began', () => {
      const d = agent(3);
      takeEach(d, 3);
      // 1 waits for 3 first, then for 2; both ways lead back to the one that asks.
      d.as(2, waitFor('l3', 10));
      d.as(1, waitFor('l3', 11));
      d.as(1, waitFor('l2', 12));
      expect(cycle(d, 3, waitFor('l1', 13))).toEqual([
        '3 waits for "l1" held by 1',
        '1 waits for "l3" held by 3',
      ]);
    });

    it('goes through holds in order of grant', () => {
      const d = agent(4);
      d.as(2, lock('s', { shared: true }));
      d.as(1, lock('s', { shared: true }));
      d.as(3, lock('x'));
      d.as(1, waitFor('x', 10));
      d.as(2, waitFor('x', 11));
      expect(cycle(d, 3, waitFor('s', 12))).toEqual([
        '3 waits for "s" held by 2',
        '2 waits for "x" held by 3',
      ]);
    });

    it('is none any more once a wait of it is gone', () => {
      for (const end of [
        (d: Drive) => d.as(1, cancelLock('l2', 10)),
        (d: Drive) => d.as(1, endSession()),
        (d: Drive) => d.advance(d.now + 100),
        (d: Drive) => d.as(2, unlock('l2', 4)),
      ]) {
        const d = agent(2);
        takeEach(d, 2);
        d.as(1, waitFor('l2', 10, { waitMs: 100 }));
        end(d);
        expect(d.as(2, waitFor('l1', 11)).results.map(({ status }) => status)).not.toContain(
          'DEADLOCK',
        );
      }
    });
  });

  describe('no cycle', () => {
    it('is a request that does not wait', () => {
      const d = agent(2);
      takeEach(d, 2);
      d.as(1, waitFor('l2', 10));
      expect(d.asks(2, lock('l1', { id: 11 }))).toEqual(['LOCK_HELD 3']);
    });

    it('is a chain', () => {
      const d = agent(4);
      takeEach(d, 4);
      expect(d.asks(1, waitFor('l2', 10))).toEqual([]);
      expect(d.asks(2, waitFor('l3', 10))).toEqual([]);
      expect(d.asks(4, waitFor('l1', 10))).toEqual([]);
      expect(d.asks(4, waitFor('l3', 11))).toEqual([]);
    });

    it('is a session that waits for itself', () => {
      const d = agent(1);
      takeEach(d, 1);
      expect(d.asks(1, waitFor('l1', 10), waitFor('l1', 11))).toEqual([]);
    });

    it('is shared beside shared, or permit beside permit', () => {
      const d = agent(3);
      for (const options of [{ shared: true }, { permits: 1 }]) {
        const [x, s] = [`x${options.permits ?? ''}`, `s${options.permits ?? ''}`];
        d.as(1, lock(x, { id: 5 }));
        d.as(2, lock(s, { id: 6, ...options }));
        d.as(2, waitFor(x, 7));
        expect(d.asks(3, waitFor(s, 8, options)).length).toBe(options.permits === 1 ? 0 : 1);
        expect(d.asks(1, waitFor(s, 9, options)).every((line) => line.startsWith('OK'))).toBe(true);
      }
    });

    it('is left where an exclusive hold became shared', () => {
      const d = agent(2);
      takeEach(d, 2);
      d.as(1, waitFor('l2', 10, { shared: true }));
      d.as(2, downgrade('l2', 4));
      expect(d.asks(2, waitFor('l1', 11))).toEqual([]);
    });
  });
}
