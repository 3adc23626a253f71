// What one session may hold is bounded, so that its end always is one step that has room.

import { describe, expect, it } from 'vitest';
import {
  OUTCOME_HOLDS,
  OUTCOME_MORE,
  OUTCOME_SESSIONS,
  OUTCOME_WAITS,
} from '../../../ts/engine/engine.js';
import { recordBytes } from '../../../ts/engine/records.js';
import { NOTICES_BYTES, SESSION_END_BYTES_MAX } from '../../../ts/wire/limits.js';
import { endSession, ephemeral, lock, unlock, waitFor, withId } from '../../drive/coordination.js';
import { type Drive, effects, told } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { put } from '../../drive/operations.js';
import { agents, TTL_MS } from './drives.js';

const NAME_BYTES = 1000;
const name = (at: number) => `${at}`.padStart(NAME_BYTES, '0');
const HOLD_END_BYTES = recordBytes(NAME_BYTES + 8, 0);
const EXPIRE_BYTES = recordBytes(NAME_BYTES, 0);
const HOLDS = Math.floor(SESSION_END_BYTES_MAX / HOLD_END_BYTES);

export function sessionBoundsContract(create: CreateEngine): void {
  const agent = agents(create);
  const fill = (d: Drive, session: number, holds = HOLDS) => {
    const locks = Array.from({ length: holds }, (_, at) =>
      lock(`${session}${name(at).slice(1)}`, { id: at + 1 }),
    );
    expect(d.as(session, ...locks).results.every(({ status }) => status === 'OK')).toBe(true);
  };

  describe('a session that is full', () => {
    it('takes no lock, waits for none, and no ephemeral key', () => {
      const d = agent(2);
      fill(d, 1);
      d.as(2, lock('a', { id: 1 }));
      // What is left does not do for one more; a shorter name may still fit.
      const left = SESSION_END_BYTES_MAX - HOLDS * HOLD_END_BYTES;
      expect(left).toBeLessThan(EXPIRE_BYTES);
      const asked = d.as(
        1,
        withId(5000, lock(name(HOLDS))),
        waitFor(name(HOLDS), 5001),
        withId(5002, ephemeral(put(name(0), 'v'))),
        withId(5003, put(name(0), 'v')),
      );
      expect(asked.results.map(({ status }) => status)).toEqual([
        'SESSION_FULL',
        'SESSION_FULL',
        'SESSION_FULL',
        'OK',
      ]);
      expect(asked.records).toHaveLength(1);
      expect(d.figure(OUTCOME_HOLDS)).toBe(HOLDS + 1);
    });

    it('has room again after a release', () => {
      const d = agent(1);
      fill(d, 1);
      const first = `1${name(0).slice(1)}`;
      expect(d.asks(1, lock(name(1), { id: 5000 }))).toEqual(['SESSION_FULL 0']);
      d.as(1, unlock(first, 2));
      expect(d.as(1, lock(name(1), { id: 5000 })).results[0]?.status).toBe('OK');
      expect(d.asks(1, lock(name(2), { id: 5001 }))).toEqual(['SESSION_FULL 0']);
    });

    it('is filled by ephemeral keys too, each once', () => {
      const d = agent(1);
      const count = Math.floor(SESSION_END_BYTES_MAX / EXPIRE_BYTES);
      const puts = Array.from({ length: count }, (_, at) => ephemeral(put(name(at), 'v')));
      expect(d.as(1, ...puts).results.every(({ status }) => status === 'OK')).toBe(true);
      const more = () => d.as(1, ephemeral(put(name(count), 'v'))).results[0]?.status;
      expect(more()).toBe('SESSION_FULL');
      expect(d.as(1, ephemeral(put(name(0), 'w'))).results[0]?.status).toBe('OK');
      expect(more()).toBe('SESSION_FULL');
      d.as(1, put(name(0), 'plain'));
      expect(more()).toBe('OK');
      const ended = d.as(1, endSession());
      expect(ended.records).toHaveLength(count + 1);
      expect(d.keys).toBe(1);
    });

    it('when its turn in a queue comes is told so, and the next is looked at', () => {
      const d = agent(3);
      d.as(3, lock(name(0), { id: 1 }));
      const token = 4;
      d.as(1, waitFor(name(0), 9000));
      d.as(2, waitFor(name(0), 9000));
      fill(d, 1);
      const freed = d.as(3, unlock(name(0), token));
      const [full, granted] = told(freed);
      expect(full).toMatch(/^1#9000 SESSION_FULL /);
      expect(granted).toMatch(/^2#9000 OK /);
    });
  });

  describe('the end of full sessions', () => {
    it('is a step each, in as many calls as it takes', () => {
      const d = agent(4);
      for (const session of [1, 2, 3, 4]) fill(d, session);
      d.now += TTL_MS;
      const ended: string[] = [];
      let calls = 0;
      do {
        const left = d.advance(d.now);
        // A step is whole: a session's end and all that it held.
        const ends = effects(left).filter((effect) => effect.startsWith('session-end')).length;
        expect(left.records).toHaveLength(ends * (HOLDS + 1));
        ended.push(...told(left));
        calls++;
      } while (d.figure(OUTCOME_MORE) === 1 && calls < 10);
      expect(ended).toEqual(['1 ended', '2 ended', '3 ended', '4 ended']);
      expect([d.figure(OUTCOME_SESSIONS), d.figure(OUTCOME_HOLDS)]).toEqual([0, 0]);
    });
  });

  describe('many grants at once', () => {
    it('go on in the next call where notices have no room, in order and once each', () => {
      const d = agent(8);
      const [locks, waiters] = [24, 1000];
      const names = Array.from({ length: locks }, (_, at) => `${at}`.padStart(2, '0'));
      expect(locks * waiters * 48).toBeGreaterThan(NOTICES_BYTES);
      d.as(1, ...names.map((each, at) => lock(each, { id: at + 1 })));
      const expected: string[] = [];
      for (const [at, each] of names.entries()) {
        const session = 2 + (at % 7);
        const ids = Array.from({ length: waiters }, (_, index) => 1000 * (at + 1) + index);
        d.as(session, ...ids.map((id) => waitFor(each, id, { shared: true })));
        expected.push(...ids.map((id) => `${session}#${id}`));
      }
      expect(d.figure(OUTCOME_WAITS)).toBe(locks * waiters);
      const answered: string[] = [];
      const hear = (left: ReturnType<Drive['left']>) => {
        answered.push(...told(left).filter((line) => line !== '1 ended'));
        return d.figure(OUTCOME_MORE);
      };
      let more = hear(d.as(1, endSession()));
      expect(more).toBe(1);
      for (let calls = 0; more === 1 && calls < 10; calls++) more = hear(d.advance(d.now));
      expect(answered.map((line) => line.replace(/ OK \d+$/, ''))).toEqual(expected);
      expect([d.figure(OUTCOME_WAITS), d.figure(OUTCOME_HOLDS)]).toEqual([0, locks * waiters]);
    });
  });
}
