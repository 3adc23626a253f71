// What a holder does with its hold: release, downgrade, extend, upgrade.

import { describe, expect, it } from 'vitest';
import { OUTCOME_HOLDS, OUTCOME_WAITS } from '../../../ts/engine/engine.js';
import { LEASE_MS_MAX } from '../../../ts/wire/limits.js';
import { downgrade, extend, lock, unlock, waitFor } from '../../drive/coordination.js';
import { effects, told } from '../../drive/drive.js';
import { effectDetail, effectsOf } from '../../drive/effects.js';
import type { CreateEngine } from '../../drive/engines.js';
import { agents } from './drives.js';

export function lockHoldsContract(create: CreateEngine): void {
  const agent = agents(create);

  describe('a hold is known by token and session', () => {
    it.each([
      ['unlock', (token: number) => unlock('a', token)],
      ['downgrade', (token: number) => downgrade('a', token)],
      ['extend', (token: number) => extend('a', token, 50)],
    ] as const)('%s of another is NOT_HOLDER with the newest token', (_name, make) => {
      const d = agent(2);
      expect(d.asks(1, make(9))).toEqual(['NOT_HOLDER 0']);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, lock('a', { id: 6, shared: true }));
      expect(d.asks(1, make(4), make(5), make(1))).toEqual([
        'NOT_HOLDER 4',
        'NOT_HOLDER 4',
        'NOT_HOLDER 4',
      ]);
      expect(d.asks(0, make(3))).toEqual(['SESSION_REQUIRED 0']);
      expect(d.asks(1, { ...make(3), key: Buffer.from('b') })).toEqual(['NOT_HOLDER 0']);
      expect(d.figure(OUTCOME_HOLDS)).toBe(2);
      expect(d.asks(1, make(3))[0]).toMatch(/^OK/);
    });
  });

  describe('UNLOCK', () => {
    it('gives back one depth after another', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      d.as(1, lock('a', { id: 6, reentrant: true }), lock('a', { id: 7, reentrant: true }));
      d.as(2, waitFor('a', 8));
      const steps = [1, 2, 3].map(() => d.as(1, unlock('a', 3)));
      expect(steps.map(({ results: [result] }) => [result?.revision, result?.count])).toEqual([
        [6, 2],
        [7, 1],
        [8, 0],
      ]);
      expect(steps.map(effects)).toEqual([
        ['hold a@3'],
        ['hold a@3'],
        ['hold-end a@3', 'hold a@9'],
      ]);
      expect(steps.map(told)).toEqual([[], [], ['2#8 OK 9']]);
    });

    it('gives the memory back', () => {
      const d = agent(1);
      const before = d.memoryBytes;
      d.as(1, lock('a', { id: 5 }));
      d.as(1, unlock('a', 2));
      expect(d.memoryBytes).toBe(before);
      expect(d.asks(1, unlock('a', 2))).toEqual(['NOT_HOLDER 0']);
      expect(d.asks(1, lock('a', { id: 5 }))).toEqual(['OK 4']);
    });
  });

  describe('DOWNGRADE', () => {
    it('makes an exclusive hold shared, under its token', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5, leaseMs: 300 }));
      d.as(1, lock('a', { id: 6, reentrant: true }));
      d.now += 100;
      const { results, recordBytes } = d.as(1, downgrade('a', 3));
      expect(results).toMatchObject([{ status: 'OK', revision: 3, count: 2, ttlMs: 200 }]);
      expect(effectsOf(recordBytes).map(effectDetail)).toEqual([
        `hold a@3 session=1 since=${d.now - 100} id=5 depth=2 shared partition=0 revision=5 ` +
          `time=${d.now} lease=${d.now + 200}`,
      ]);
      expect(d.asks(2, lock('a', { id: 7, shared: true }))).toEqual(['OK 6']);
      expect(d.as(1, downgrade('a', 3))).toMatchObject({
        results: [{ status: 'OK', revision: 3, count: 2, ttlMs: 200 }],
        records: [],
      });
    });

    it('is nothing for a permit', () => {
      const d = agent(1);
      d.as(1, lock('a', { id: 5, permits: 3 }));
      expect(d.asks(1, downgrade('a', 2))).toEqual(['INVALID_ARGUMENT 0']);
    });
  });

  describe('EXTEND', () => {
    it('sets a lease anew, longer or shorter, or takes it away', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5, leaseMs: 100 }));
      d.now += 60;
      const { results, recordBytes } = d.as(1, extend('a', 3, 100));
      expect(results).toMatchObject([{ status: 'OK', revision: 3, count: 1, ttlMs: 100 }]);
      expect(effectsOf(recordBytes).map(effectDetail)).toEqual([
        `hold a@3 session=1 since=${d.now - 60} id=5 depth=1 exclusive partition=0 revision=4 ` +
          `time=${d.now} lease=${d.now + 100}`,
      ]);
      expect(effects(d.advance(d.now + 99))).toEqual([]);
      expect(d.as(1, extend('a', 3, 0)).results).toMatchObject([{ status: 'OK', ttlMs: 0 }]);
      expect(effects(d.advance(d.now + 5000))).toEqual([]);
      d.as(1, extend('a', 3, 10));
      expect(effects(d.advance(d.now + 9))).toEqual([]);
      expect(effects(d.advance(d.now + 1))).toEqual(['hold-end a@3']);
    });

    it('knows the bound of a lease, as LOCK does', () => {
      const d = agent(1);
      d.as(1, lock('a', { id: 5 }));
      expect(
        d.asks(
          1,
          extend('a', 2, LEASE_MS_MAX + 1),
          extend('a', 2, LEASE_MS_MAX),
          lock('b', { id: 6, leaseMs: LEASE_MS_MAX + 1 }),
          lock('b', { id: 7, leaseMs: LEASE_MS_MAX }),
        ),
      ).toEqual(['TTL_OUT_OF_RANGE 0', 'OK 2', 'TTL_OUT_OF_RANGE 0', 'OK 4']);
    });
  });

  describe('an upgrade', () => {
    const upgrade = (id: number, token: number, waitMs = 0) =>
      lock('a', { id, upgrade: token, waitMs });
    const FOREVER = 0xffffffff;

    it('of the only hold is granted at once, with a token of its own', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5, shared: true, leaseMs: 300 }));
      d.as(1, lock('a', { id: 6, shared: true, reentrant: true }));
      d.as(2, waitFor('a', 9));
      d.now += 100;
      const { results, recordBytes } = d.as(1, upgrade(7, 3));
      expect(results).toMatchObject([{ status: 'OK', revision: 6, count: 2, ttlMs: 200 }]);
      expect(effectsOf(recordBytes).map(effectDetail)).toEqual([
        `hold-end a@3 partition=0 revision=5 time=${d.now}`,
        `hold a@6 session=1 since=${d.now} id=7 depth=2 exclusive partition=0 revision=6 ` +
          `time=${d.now} lease=${d.now + 200}`,
      ]);
      expect(d.asks(1, unlock('a', 3))).toEqual(['NOT_HOLDER 6']);
      expect(d.asks(1, upgrade(7, 3))).toEqual(['OK 6']);
      expect(d.asks(1, upgrade(8, 6))).toEqual(['OK 6']);
      expect(d.figure(OUTCOME_HOLDS)).toBe(1);
    });

    it('is NOT_HOLDER without a shared hold of that token', () => {
      const d = agent(2);
      expect(d.asks(1, upgrade(5, 1))).toEqual(['NOT_HOLDER 0']);
      d.as(2, lock('a', { id: 6, shared: true }));
      expect(d.asks(1, upgrade(5, 3))).toEqual(['NOT_HOLDER 3']);
      d.as(1, lock('p', { id: 7, permits: 2 }));
      expect(d.asks(1, lock('p', { id: 8, upgrade: 4 }))).toEqual(['NOT_HOLDER 4']);
    });

    it('waits in front of the queue until its own hold is the only one', () => {
      const d = agent(4);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, lock('a', { id: 6, shared: true }));
      d.as(3, waitFor('a', 7));
      expect(d.asks(1, upgrade(8, 5))).toEqual(['LOCK_HELD 6']);
      expect(d.asks(1, upgrade(9, 5, FOREVER))).toEqual([]);
      expect(d.asks(4, lock('a', { id: 10, shared: true }))).toEqual(['LOCK_HELD 6']);
      const freed = d.as(2, unlock('a', 6));
      expect(effects(freed)).toEqual(['hold-end a@6', 'hold-end a@5', 'hold a@9']);
      expect(told(freed)).toEqual(['1#9 OK 9']);
      expect(told(d.as(1, unlock('a', 9)))).toEqual(['3#7 OK 11']);
    });

    it('of a second holder is a conflict, whether it waits or not', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, lock('a', { id: 6, shared: true }));
      d.as(1, upgrade(7, 4, FOREVER));
      const { results } = d.as(2, upgrade(8, 5, FOREVER), upgrade(9, 5));
      expect(results.map(({ status }) => status)).toEqual(['UPGRADE_CONFLICT', 'UPGRADE_CONFLICT']);
      expect(d.figure(OUTCOME_WAITS)).toBe(1);
      expect(told(d.as(2, unlock('a', 5)))).toEqual(['1#7 OK 8']);
    });

    it('of a hold that is released meanwhile is answered, and holds nobody up', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true, leaseMs: 500 }));
      d.as(2, lock('a', { id: 6, shared: true }));
      d.as(3, waitFor('a', 7));
      d.as(1, upgrade(8, 4, FOREVER));
      const freed = d.as(1, unlock('a', 4));
      expect(told(freed)).toEqual(['1#8 NOT_HOLDER 5']);
      expect(d.figure(OUTCOME_WAITS)).toBe(1);
      d.as(2, upgrade(9, 5));
      expect(d.asks(1, upgrade(8, 4))).toEqual(['NOT_HOLDER 8']);
    });

    it('that times out leaves the shared hold', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, lock('a', { id: 6, shared: true }));
      d.as(1, upgrade(7, 4, 100));
      d.as(3, waitFor('a', 8, { shared: true }));
      const late = d.advance(d.now + 100);
      expect(told(late)).toEqual(['1#7 LOCK_TIMEOUT 0', '3#8 OK 6']);
      expect(d.asks(1, unlock('a', 4))).toEqual(['OK 7']);
      expect(d.asks(2, upgrade(9, 5))).toEqual(['LOCK_HELD 6']);
    });
  });
}
