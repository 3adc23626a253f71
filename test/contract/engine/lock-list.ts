// LIST_LOCKS: which locks there are, page by page, and who holds and awaits them.

import { describe, expect, it } from 'vitest';
import { LOCK_ITEMS_SHOWN_MAX, SCAN_BYTES_MAX } from '../../../ts/wire/limits.js';
import { cancelLock, extend, listLocks, lock, unlock, waitFor } from '../../drive/coordination.js';
import type { CreateEngine } from '../../drive/engines.js';
import { allLocks, lockPage } from '../../drive/lock-view.js';
import { agents, foldedFrom } from './drives.js';

export function lockListContract(create: CreateEngine): void {
  const agent = agents(create);
  const names = (page: { locks: { name: string }[] }) => page.locks.map(({ name }) => name);

  describe('the list of locks', () => {
    it('has names in byte order that begin with the prefix, without a session', () => {
      const d = agent(1, { partitions: 64 });
      for (const name of ['b/2', 'a', 'b/10', 'é', 'b', 'c']) d.as(1, lock(name));
      expect(names(lockPage(d, ''))).toEqual(['a', 'b', 'b/10', 'b/2', 'c', 'é']);
      expect(names(lockPage(d, 'b/'))).toEqual(['b/10', 'b/2']);
      expect(names(lockPage(d, Uint8Array.of(0xc3)))).toEqual(['é']);
      expect(lockPage(d, 'x')).toEqual({ locks: [], more: false, cursor: new Uint8Array(0) });
    });

    it('goes on after a cursor, which need not be there', () => {
      const d = agent(1);
      for (const name of ['a', 'b', 'c', 'd']) d.as(1, lock(name));
      const first = lockPage(d, '', { limit: 2 });
      expect([names(first), first.more]).toEqual([['a', 'b'], true]);
      expect(Buffer.from(first.cursor).toString()).toBe('b');
      const second = lockPage(d, '', { limit: 2, cursor: first.cursor });
      expect([names(second), second.more, second.cursor.length]).toEqual([['c', 'd'], false, 0]);
      expect(names(lockPage(d, '', { cursor: 'bb' }))).toEqual(['c', 'd']);
      expect(names(lockPage(d, 'c', { cursor: 'a' }))).toEqual(['c']);
    });

    it('shows holds in order of grant and waits in order of the queue', () => {
      const d = agent(4);
      const began = d.now;
      d.as(1, lock('a', { id: 5, shared: true, leaseMs: 900 }));
      d.now += 10;
      d.as(2, lock('a', { id: 6, shared: true }));
      d.as(2, lock('a', { id: 7, shared: true, reentrant: true }));
      d.now += 10;
      d.as(3, lock('a', { id: 8, waitMs: 100 }));
      d.as(4, waitFor('a', 9, { permits: 3 }));
      d.as(1, waitFor('a', 10, { upgrade: 5 }));
      const { locks } = lockPage(d, 'a');
      const item = { lease: 0, upgrade: false };
      expect(locks).toEqual([
        {
          name: 'a',
          token: 6,
          holds: 2,
          waits: 3,
          holdsShown: [
            {
              ...item,
              token: 5,
              session: 1,
              since: began,
              lease: began + 900,
              id: 5,
              depth: 1,
              mode: 'shared',
            },
            { ...item, token: 6, session: 2, since: began + 10, id: 6, depth: 2, mode: 'shared' },
          ],
          waitsShown: [
            {
              ...item,
              token: 0,
              session: 1,
              since: d.now,
              id: 10,
              depth: 0,
              mode: 'exclusive',
              upgrade: true,
            },
            {
              ...item,
              token: 0,
              session: 3,
              since: d.now,
              lease: d.now + 100,
              id: 8,
              depth: 0,
              mode: 'exclusive',
            },
            { ...item, token: 0, session: 4, since: d.now, id: 9, depth: 0, mode: 'permit' },
          ],
        },
      ]);
    });

    it('has a lock no more that nobody holds or awaits', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }), lock('b', { id: 6, leaseMs: 50 }));
      d.as(2, waitFor('a', 7));
      d.as(1, unlock('a', 3));
      expect(names(lockPage(d, ''))).toEqual(['a', 'b']);
      d.as(2, unlock('a', 6));
      expect(names(lockPage(d, ''))).toEqual(['b']);
      expect(d.as(1, extend('b', 4, 60)).results[0]?.status).toBe('OK');
      d.now += 60;
      expect(names(lockPage(d, ''))).toEqual([]);
      expect(d.asks(1, cancelLock('a', 7))).toEqual(['NOT_FOUND 0']);
    });

    it('shows so many holds and waits of one lock, and counts all', () => {
      const count = LOCK_ITEMS_SHOWN_MAX + 6;
      const d = agent(2);
      const holds = Array.from({ length: count }, (_, at) =>
        lock('a', { id: at + 1, shared: true }),
      );
      d.as(1, ...holds);
      d.as(2, ...Array.from({ length: count }, (_, at) => waitFor('a', 500 + at)));
      const [view] = allLocks(d);
      expect(view).toMatchObject({ token: 2 + count, holds: count, waits: count });
      expect(view?.holdsShown.map(({ id }) => id)).toEqual(
        Array.from({ length: LOCK_ITEMS_SHOWN_MAX }, (_, at) => at + 1),
      );
      expect(view?.waitsShown.at(-1)?.id).toBe(500 + LOCK_ITEMS_SHOWN_MAX - 1);
    });

    it('ends a page where its bytes are full', () => {
      const d = agent(1);
      const name = (at: number) => `${at}`.padStart(1000, '0');
      for (let at = 0; at < 1100; at++) d.as(1, lock(name(at)));
      const entry = 1000 + 16 + 40;
      const page = lockPage(d, '', { limit: 1000 });
      expect(page.locks).toHaveLength(Math.floor(SCAN_BYTES_MAX / entry));
      expect(page.more).toBe(true);
      expect(allLocks(d)).toHaveLength(1100);
    });

    it('is the same after a fold, but for the waits', () => {
      const made = agent(0);
      const log = [made.openSession(1).recordBytes, made.openSession(2).recordBytes];
      log.push(made.as(1, lock('b', { id: 5 }), lock('a', { id: 6, permits: 3 })).recordBytes);
      log.push(made.as(2, waitFor('b', 7), lock('a', { id: 8, permits: 3 })).recordBytes);
      const d = foldedFrom(create, log);
      d.now = made.now;
      const withoutWaits = allLocks(made).map((view) => ({ ...view, waits: 0, waitsShown: [] }));
      expect(allLocks(d)).toEqual(withoutWaits);
    });

    it('takes what scan takes', () => {
      const d = agent(1);
      expect(d.asks(0, listLocks('', { limit: 0 }), listLocks('', { limit: 1001 }))).toEqual([
        'INVALID_ARGUMENT 0',
        'INVALID_ARGUMENT 0',
      ]);
      expect(d.asks(0, listLocks('x'.repeat(1025)))).toEqual(['KEY_TOO_LONG 0']);
      expect(d.asks(0, listLocks('', { cursor: 'x'.repeat(1025) }))).toEqual([
        'INVALID_ARGUMENT 0',
      ]);
    });
  });
}
