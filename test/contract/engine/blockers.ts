// Whom sessions wait for here, and the end of a wait that is part of a cycle through several workers.

import { describe, expect, it } from 'vitest';
import {
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
  OUTCOME_WAITS,
} from '../../../ts/engine/engine.js';
import { OperationCode } from '../../../ts/wire/generated/rondo/wire/operation-code.js';
import { NOTICES_BYTES } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import { downgrade, lock, unlock, waitFor } from '../../drive/coordination.js';
import { effects, text, told } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { agents, nodes } from './drives.js';

export function blockersContract(create: CreateEngine): void {
  const agent = agents(create);
  const node = nodes(create);

  describe('blockers', () => {
    it('of who waits for nobody are none', () => {
      const d = agent(2);
      d.as(1, lock('a'));
      expect(d.blockers()).toEqual([]);
      expect(d.blockers(1, 2, 3, 0, -1, 2 ** 60)).toEqual([]);
      expect(d.figure(OUTCOME_NOTICE_BYTES)).toBe(0);
    });

    it('are holders, then who waits before; by session as asked, by wait as begun', () => {
      const d = agent(5);
      const start = d.now;
      d.as(1, lock('a', { id: 1, shared: true }));
      d.as(2, lock('a', { id: 1, shared: true }), lock('b', { id: 2 }));
      d.now += 5;
      d.as(3, waitFor('a', 7));
      d.now += 5;
      d.as(4, waitFor('a', 8, { shared: true }), waitFor('b', 9));
      d.as(5, waitFor('a', 3));
      expect(d.blockers(3)).toEqual([
        `3#7 waits for 1 at a since ${start + 5}`,
        `3#7 waits for 2 at a since ${start + 5}`,
      ]);
      expect(d.blockers(5, 4)).toEqual([
        // 3 is a barrier: it waits for the holders itself.
        `5#3 waits behind 3 at a since ${start + 10}`,
        `5#3 waits behind 4 at a since ${start + 10}`,
        // Shared beside shared: only the exclusive one before it.
        `4#8 waits behind 3 at a since ${start + 10}`,
        `4#9 waits for 2 at b since ${start + 10}`,
      ]);
      expect([d.figure(OUTCOME_RECORD_BYTES), d.left().records]).toEqual([0, []]);
    });

    it('are each named once a wait, as holder where they are both', () => {
      const d = agent(3);
      d.as(2, lock('a', { id: 1, shared: true }), lock('a', { id: 2, shared: true }));
      d.as(2, waitFor('a', 3));
      d.as(1, waitFor('a', 4), waitFor('a', 5));
      expect(d.blockers(1).map((each) => each.replace(/ since.*/, ''))).toEqual([
        '1#4 waits for 2 at a',
        '1#5 waits for 2 at a',
      ]);
      expect(d.blockers(2)).toEqual([]);
      // Behind a barrier, which waits for the holder itself.
      d.as(3, waitFor('a', 6));
      expect(d.blockers(3)).toEqual([`3#6 waits behind 1 at a since ${d.now}`]);
    });

    it('of an upgrade are all other holds', () => {
      const d = agent(3);
      const [mine] = d.as(1, lock('a', { id: 1, shared: true })).results;
      d.as(2, lock('a', { id: 1, shared: true }));
      d.as(3, waitFor('a', 2));
      d.as(1, waitFor('a', 9, { upgrade: mine!.revision }));
      expect(d.blockers(1)).toEqual([`1#9 waits for 2 at a since ${d.now}`]);
      expect(d.blockers(3).map((each) => each.replace(/ since.*/, ''))).toEqual([
        '3#2 waits for 1 at a',
        '3#2 waits for 2 at a',
      ]);
    });

    it('of permits are holds and waits of other modes, and none of permits', () => {
      const d = agent(4);
      d.as(1, lock('a', { permits: 1 }));
      d.as(2, waitFor('a', 1, { permits: 1 }));
      d.as(3, waitFor('a', 1));
      d.as(4, waitFor('a', 1, { permits: 1 }));
      expect(d.blockers(2)).toEqual([]);
      expect(d.blockers(4).map((each) => each.replace(/ since.*/, ''))).toEqual([
        '4#1 waits behind 3 at a',
      ]);
    });

    it('are, of a long queue, only the wait before each', () => {
      const count = 300;
      const d = agent(count);
      d.as(1, lock('a'));
      for (let id = 2; id <= count; id++) {
        d.now++;
        d.as(id, waitFor('a', 1));
      }
      const sessions = Array.from({ length: count }, (_, at) => at + 1);
      const found = d.blockers(...sessions).map((each) => each.replace(/ since.*/, ''));
      expect(found).toEqual([
        '2#1 waits for 1 at a',
        ...sessions.slice(2).map((id) => `${id}#1 waits behind ${id - 1} at a`),
      ]);
    });

    it('have no barrier in waits of the same session, as old ones of higher sessions, shared ones, or upgrades', () => {
      const d = agent(6);
      const [mine] = d.as(1, lock('a', { id: 1, shared: true })).results;
      d.as(2, lock('a', { id: 1, shared: true }));
      d.as(4, waitFor('a', 1));
      d.as(3, waitFor('a', 1));
      d.now++;
      d.as(4, waitFor('a', 2));
      d.now++;
      d.as(5, waitFor('a', 1, { shared: true }));
      d.now++;
      d.as(4, waitFor('a', 3));
      d.as(1, waitFor('a', 9, { upgrade: mine!.revision }));
      d.now++;
      d.as(6, waitFor('a', 1));
      const brief = (session: number) =>
        d.blockers(session).map((each) => each.replace(/ at a since.*/, ''));
      expect(brief(4)).toEqual([
        '4#1 waits for 1',
        '4#1 waits for 2',
        // Its own waits are none.
        '4#2 waits behind 3',
        '4#3 waits behind 3',
        '4#3 waits behind 5',
      ]);
      expect(brief(3)).toEqual(['3#1 waits for 1', '3#1 waits for 2', '3#1 waits behind 4']);
      expect(brief(5)).toEqual(['5#1 waits behind 4']);
      expect(brief(6)).toEqual(['6#1 waits behind 4']);
      expect(brief(1)).toEqual(['1#9 waits for 2']);
    });

    it('are the bytes of the layout', () => {
      const d = agent(2);
      d.as(1, lock('lö'));
      d.as(2, waitFor('lö', 2 ** 32 - 1));
      d.engine.listBlockers(Float64Array.of(2));
      const { notices } = d.left();
      expect(notices).toMatchObject([
        {
          kind: 'blocker',
          session: 2,
          result: {
            id: 2 ** 32 - 1,
            status: 'OK',
            flags: 0,
            count: 0,
            revision: 1,
            ttlMs: d.now,
            key: new Uint8Array(Buffer.from('lö')),
            value: new Uint8Array(0),
          },
        },
      ]);
    });

    it('that have no room are asked for again with fewer sessions', () => {
      const n = node(2);
      const d = n.at(0);
      const name = n.key(0, 'x'.repeat(900));
      const count = Math.floor(Math.sqrt((2 * NOTICES_BYTES) / 960)) + 2;
      const ids = Array.from({ length: count }, (_, at) => n.session(1, at));
      // The higher sessions first, in one millisecond: there is no barrier between them.
      for (const id of ids.reverse()) {
        d.engine.admitSession(id);
        d.as(id, waitFor(name, 1));
      }
      expect(d.engine.listBlockers(Float64Array.from(ids))).toBe(-1);
      expect(d.figure(OUTCOME_NOTICE_BYTES)).toBe(0);
      expect(d.blockers(...ids.slice(0, 20))).toHaveLength(190);
    });
  });

  describe('a wait that is refused', () => {
    it('is answered with DEADLOCK and the text, and leaves the queue', () => {
      const d = agent(3);
      d.as(1, lock('a', { shared: true }));
      d.as(2, waitFor('a', 7));
      d.as(3, waitFor('a', 8, { shared: true }));
      const later = d.now + 5;
      d.now = later;
      const left = d.refuseWait(2, 7, 'who waits\nfor whom ö');
      expect(left.isRefused).toBe(true);
      const [answer, granted] = left.notices;
      expect(answer).toMatchObject({
        kind: 'answer',
        session: 2,
        result: { id: 7, status: 'DEADLOCK', revision: 0, ttlMs: 0, count: 0 },
      });
      const value = answer?.kind === 'answer' ? answer.result.value : new Uint8Array(0);
      expect(Buffer.from(value).toString()).toBe('who waits\nfor whom ö');
      // The lock is settled: what stood behind fits now.
      expect(granted).toMatchObject({
        kind: 'answer',
        session: 3,
        result: { id: 8, status: 'OK' },
      });
      expect(effects(left)).toEqual([expect.stringMatching(/^hold a@/)]);
      expect(left.records[0]?.time).toBe(later);
      expect(d.figure(OUTCOME_WAITS)).toBe(0);
      expect(d.counted(OperationCode.Lock, Status.Deadlock)).toBe(1);
      expect(d.blockers(2, 3)).toEqual([]);
    });

    it('may have no text', () => {
      const d = agent(2);
      d.as(1, lock('a'));
      d.as(2, waitFor('a', 7));
      expect(told(d.refuseWait(2, 7, ''))).toEqual(['2#7 DEADLOCK 0']);
    });

    it('is the first of that id, one at a time', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 1 }), lock('b', { id: 2 }));
      d.as(2, waitFor('a', 7));
      d.as(2, waitFor('b', 7));
      expect(d.refuseWait(2, 7).isRefused).toBe(true);
      expect(d.blockers(2)).toEqual([`2#7 waits for 1 at b since ${d.now}`]);
      expect(d.refuseWait(2, 7).isRefused).toBe(true);
      expect(d.refuseWait(2, 7).isRefused).toBe(false);
    });

    it('is not there for another session, another id, a hold, or after its end', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 7));
      for (const [session, id] of [
        [1, 7],
        [3, 7],
        [9, 7],
        [0, 7],
        [2, 8],
        [1, 5],
      ] as const) {
        const left = d.refuseWait(session, id);
        expect([left.isRefused, left.notices, left.records]).toEqual([false, [], []]);
      }
      d.as(1, unlock('a', 4));
      expect(d.refuseWait(2, 7).isRefused).toBe(false);
    });

    it('may be an upgrade, whose hold stays', () => {
      const d = agent(2);
      const [mine] = d.as(1, lock('a', { id: 1, shared: true })).results;
      d.as(2, lock('a', { id: 1, shared: true }));
      d.as(1, waitFor('a', 9, { upgrade: mine!.revision }));
      expect(told(d.refuseWait(1, 9))).toEqual(['1#9 DEADLOCK 0']);
      expect(d.asks(1, downgrade('a', mine!.revision))).toEqual([`OK ${mine!.revision}`]);
    });

    it('may be of a guest', () => {
      const n = node(2);
      const [first, second] = [n.session(1), n.session(1, 1)];
      const d = n.at(0);
      for (const id of [first, second]) d.engine.admitSession(id);
      d.as(first, lock(n.key(0, 'a')));
      d.as(second, waitFor(n.key(0, 'a'), 3));
      const left = d.refuseWait(second, 3, 'x');
      expect(told(left)).toEqual([`${second}#3 DEADLOCK 0`]);
      expect(
        text(left.notices[0]?.kind === 'answer' ? left.notices[0].result.value : new Uint8Array()),
      ).toBe('x');
    });
  });
}
