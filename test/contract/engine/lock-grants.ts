// LOCK up to its answer: who may ask, what is granted at once, what is refused, and what waits.

import { describe, expect, it } from 'vitest';
import {
  INPUT_WRITE_REFUSAL,
  OUTCOME_HOLDS,
  OUTCOME_POSITION,
  OUTCOME_WAITS,
} from '../../../ts/engine/engine.js';
import { WAIT_FOREVER } from '../../../ts/wire/layout.js';
import {
  HOLD_OVERHEAD_BYTES,
  LEASE_MS_MAX,
  LOCK_DEPTH_MAX,
  PERMITS_MAX,
  SESSION_OVERHEAD_BYTES,
  SESSION_WAITS_MAX,
} from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import {
  cancelLock,
  downgrade,
  endSession,
  extend,
  lock,
  renew,
  unlock,
  waitFor,
} from '../../drive/coordination.js';
import { effects, told } from '../../drive/drive.js';
import { effectDetail, effectsOf } from '../../drive/effects.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, put } from '../../drive/operations.js';
import { encodeRecords } from '../../drive/records.js';
import { agents } from './drives.js';

export function lockGrantsContract(create: CreateEngine): void {
  const agent = agents(create);

  describe('a lock that is free', () => {
    it('is granted under the revision of its record', () => {
      const d = agent(2);
      const { results, recordBytes, notices } = d.as(2, lock('job', { id: 77 }));
      expect(results).toMatchObject([{ id: 77, status: 'OK', revision: 3, count: 1, ttlMs: 0 }]);
      expect(effectsOf(recordBytes).map(effectDetail)).toEqual([
        `hold job@3 session=2 since=${d.now} id=77 depth=1 exclusive partition=0 revision=3 time=${d.now}`,
      ]);
      expect(notices).toEqual([]);
      expect([d.figure(OUTCOME_HOLDS), d.figure(OUTCOME_WAITS)]).toEqual([1, 0]);
      expect(d.figure(OUTCOME_POSITION)).toBe(3);
      expect(d.memoryBytes).toBe(2 * SESSION_OVERHEAD_BYTES + 3 + HOLD_OVERHEAD_BYTES);
      expect(d.keys).toBe(0);
    });

    it('is held for a lease where it is asked for', () => {
      const d = agent(1);
      const { results, recordBytes } = d.as(1, lock('job', { id: 7, leaseMs: LEASE_MS_MAX }));
      expect(results[0]).toMatchObject({ status: 'OK', ttlMs: LEASE_MS_MAX });
      expect(effectsOf(recordBytes)[0]?.expiresAt).toBe(d.now + LEASE_MS_MAX);
    });

    it('belongs to the partition of its name', () => {
      const d = agent(1, { partitions: 64 });
      for (const name of ['a', 'b{t}', 'c{t}', 'é']) {
        const { recordBytes } = d.as(1, lock(name));
        const [hold] = effectsOf(recordBytes);
        expect(hold?.partition).toBe(d.engine.partitionOf(bytes(name)));
      }
    });

    it('has nothing to do with a key of its name', () => {
      const d = agent(1);
      d.as(1, lock('k'));
      expect(d.asks(1, put('k', 'v', { ifAbsent: true }))).toEqual(['OK 3']);
      expect(d.asks(1, unlock('k', 2))).toEqual(['OK 4']);
    });
  });

  describe('who asks (b)', () => {
    const all = [
      lock('a'),
      unlock('a', 1),
      downgrade('a', 1),
      extend('a', 1, 5),
      cancelLock('a', 1),
      renew(),
      endSession(),
    ];
    it.each(all.map((operation) => [operation.code, operation] as const))(
      'is a session that is there, code %i',
      (code, operation) => {
        const d = agent(1);
        d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
        expect(d.asks(0, operation)).toEqual(['SESSION_REQUIRED 0']);
        expect(d.asks(5, operation)).toEqual(['SESSION_UNKNOWN 0']);
        expect(d.counted(code, Status.SessionUnknown)).toBe(1);
      },
    );
  });

  describe('the same id again (c)', () => {
    it('is answered as before and makes nothing', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5, leaseMs: 100 }));
      d.now += 40;
      const again = d.as(1, lock('a', { id: 5, leaseMs: 100 }));
      expect(again.results).toMatchObject([{ status: 'OK', revision: 3, count: 1, ttlMs: 60 }]);
      expect(again.records).toEqual([]);
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      expect(d.asks(1, lock('a', { id: 5 }))).toEqual(['OK 3']);
    });

    it('is another request of another lock or session', () => {
      const d = agent(2);
      expect(d.asks(1, lock('a', { id: 5 }))).toEqual(['OK 3']);
      expect(d.asks(1, lock('b', { id: 5 }))).toEqual(['OK 4']);
      expect(d.asks(2, lock('a', { id: 5 }))).toEqual(['LOCK_HELD 3']);
    });

    it('of a wait goes on waiting, and is answered once', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      expect(d.asks(2, waitFor('a', 6))).toEqual([]);
      expect(d.asks(2, waitFor('a', 6))).toEqual([]);
      expect(d.asks(2, lock('a', { id: 6 }))).toEqual([]);
      expect(d.figure(OUTCOME_WAITS)).toBe(1);
      expect(told(d.as(1, unlock('a', 3)))).toEqual(['2#6 OK 5']);
      expect(d.asks(2, waitFor('a', 6))).toEqual(['OK 5']);
    });
  });

  it('is refused by a write refusal (d)', () => {
    const d = agent(2);
    d.as(1, lock('a', { id: 5 }));
    d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
    for (const operation of [
      lock('b', { id: 6 }),
      waitFor('a', 7),
      lock('a', { id: 8, reentrant: true }),
      lock('a', { id: 9, upgrade: 99 }),
      unlock('a', 99),
      downgrade('a', 99),
      extend('a', 99, 1),
    ]) {
      expect(d.as(1, operation)).toMatchObject({ results: [{ status: 'DISK_FULL' }], records: [] });
    }
    expect(d.asks(1, cancelLock('a', 7))).toEqual(['NOT_FOUND 0']);
  });

  describe('a re-entrant request (e)', () => {
    it('takes a hold that covers it once more, under its token and lease', () => {
      const d = agent(1);
      d.as(1, lock('a', { id: 5, leaseMs: 100 }));
      d.now += 10;
      for (const [depth, options] of [
        [2, { reentrant: true, leaseMs: 5000 }],
        [3, { reentrant: true, shared: true }],
      ] as const) {
        const { results, recordBytes } = d.as(1, lock('a', { id: 10 + depth, ...options }));
        expect(results).toMatchObject([{ status: 'OK', revision: 2, count: depth, ttlMs: 90 }]);
        expect(effectsOf(recordBytes).map(effectDetail)).toEqual([
          `hold a@2 session=1 since=${d.now - 10} id=5 depth=${depth} exclusive partition=0 ` +
            `revision=${1 + depth} time=${d.now} lease=${d.now + 90}`,
        ]);
      }
      expect(d.figure(OUTCOME_HOLDS)).toBe(1);
    });

    it('takes the newest of several, in front of those that wait', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5, shared: true }), lock('a', { id: 6, shared: true }));
      d.as(2, waitFor('a', 7));
      const again = d.as(1, lock('a', { id: 8, shared: true, reentrant: true }));
      expect(again.results).toMatchObject([{ status: 'OK', revision: 4, count: 2 }]);
      expect(effects(again)).toEqual(['hold a@4']);
    });

    it('is a request like any other where none covers it', () => {
      const d = agent(2);
      d.as(1, lock('s', { id: 5, shared: true }), lock('p', { id: 6, permits: 2 }));
      expect(
        d.asks(
          1,
          lock('s', { id: 7, reentrant: true }),
          lock('p', { id: 8, reentrant: true }),
          lock('p', { id: 9, shared: true, reentrant: true }),
          lock('s', { id: 10, permits: 9, reentrant: true }),
          lock('p', { id: 11, permits: 2, reentrant: true }),
        ),
      ).toEqual(['LOCK_HELD 3', 'LOCK_HELD 4', 'LOCK_HELD 4', 'LOCK_HELD 3', 'OK 4']);
      expect(d.asks(2, lock('s', { id: 5, reentrant: true }))).toEqual(['LOCK_HELD 3']);
    });

    it('is none where it is not asked for: two tasks of a session exclude each other', () => {
      const d = agent(1);
      d.as(1, lock('a', { id: 5 }));
      expect(d.asks(1, lock('a', { id: 6 }), waitFor('a', 7))).toEqual(['LOCK_HELD 2']);
      expect(told(d.as(1, unlock('a', 2)))).toEqual(['1#7 OK 4']);
    });

    it('takes over the newest of its holds, whether the lock or the session has more', () => {
      const d = agent(2);
      const shared = (name: string, id: number) => lock(name, { id, shared: true });
      const again = (id: number) =>
        d.as(1, lock('s', { id, shared: true, reentrant: true })).results[0]?.revision;
      d.as(1, shared('s', 1), shared('s', 2));
      d.as(2, shared('s', 3), shared('s', 4));
      expect(again(10)).toBe(4);
      d.as(1, ...[11, 12, 13].map((id) => shared(`other${id}`, id)));
      expect(again(20)).toBe(4);
    });

    it('goes no deeper than its bound', () => {
      const d = agent(1);
      const [hold] = d.as(1, lock('a', { id: 5 })).records;
      const value = Buffer.from(hold!.value);
      value.writeUInt16LE(LOCK_DEPTH_MAX - 1, 20);
      d.engine.fold(encodeRecords([{ ...hold!, revision: 3, value }]));
      const ask = (id: number) => d.as(1, lock('a', { id, reentrant: true })).results;
      expect(ask(6)).toMatchObject([{ status: 'OK', revision: 2, count: LOCK_DEPTH_MAX }]);
      expect(ask(7)).toMatchObject([{ status: 'RESOURCE_EXHAUSTED' }]);
      expect(d.as(1, unlock('a', 2)).results).toMatchObject([{ count: LOCK_DEPTH_MAX - 1 }]);
    });
  });

  describe('what fits beside the holds (g, h)', () => {
    it.each<[string, Parameters<typeof lock>[1], Parameters<typeof lock>[1], boolean]>([
      ['exclusive beside exclusive', {}, {}, false],
      ['shared beside exclusive', {}, { shared: true }, false],
      ['a permit beside exclusive', {}, { permits: 9 }, false],
      ['exclusive beside shared', { shared: true }, {}, false],
      ['shared beside shared', { shared: true }, { shared: true }, true],
      ['a permit beside shared', { shared: true }, { permits: 9 }, false],
      ['exclusive beside a permit', { permits: 2 }, {}, false],
      ['shared beside a permit', { permits: 2 }, { shared: true }, false],
      ['the second of two permits', { permits: 2 }, { permits: 2 }, true],
      ['the second of one permit', { permits: 1 }, { permits: 1 }, false],
      ['a permit of more', { permits: 1 }, { permits: PERMITS_MAX }, true],
      ['a permit of less', { permits: 9 }, { permits: 1 }, false],
    ])('%s', (_name, first, second, fits) => {
      const d = agent(2);
      expect(d.asks(1, lock('a', { ...first, id: 5 }))).toEqual(['OK 3']);
      const expected = fits ? 'OK 4' : 'LOCK_HELD 3';
      expect(d.asks(2, lock('a', { ...second, id: 6 }))).toEqual([expected]);
      expect(d.figure(OUTCOME_HOLDS)).toBe(fits ? 2 : 1);
    });

    it('LOCK_HELD names the newest hold, and makes nothing', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, lock('a', { id: 6, shared: true }));
      expect(d.as(3, lock('a', { id: 7 }))).toMatchObject({
        results: [{ status: 'LOCK_HELD', revision: 5, count: 0, ttlMs: 0 }],
        records: [],
      });
      expect(d.figure(OUTCOME_WAITS)).toBe(0);
    });

    it('nothing passes the queue, though it would fit the holds', () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, shared: true }));
      d.as(2, waitFor('a', 6));
      expect(d.asks(3, lock('a', { id: 7, shared: true }))).toEqual(['LOCK_HELD 4']);
    });

    it('a grant is refused by the memory bound, to the byte; a wait costs none', () => {
      const room = HOLD_OVERHEAD_BYTES + 4;
      const d = agent(2, { memoryBytesMax: 2 * SESSION_OVERHEAD_BYTES + room });
      expect(d.asks(1, lock('12345'))).toEqual(['RESOURCE_EXHAUSTED 0']);
      expect(d.asks(1, lock('1234', { id: 2 }))).toEqual(['OK 3']);
      expect(d.asks(1, lock('1', { id: 3 }))).toEqual(['RESOURCE_EXHAUSTED 0']);
      expect(d.asks(2, waitFor('1234', 4))).toEqual([]);
      expect(d.asks(1, unlock('1234', 3))).toEqual(['OK 4']);
      expect(d.asks(2, lock('1234', { id: 4 }))).toEqual(['OK 5']);
    });
  });

  describe('a wait (i, j)', () => {
    it('has no result in the reply; results behind it follow', () => {
      const d = agent(2);
      d.as(1, lock('a', { id: 5 }));
      const outcome = d.as(2, put('k', 'v'), waitFor('a', 6), put('l', 'w'), waitFor('a', 9));
      expect(outcome.results.map(({ id, status }) => [id, status])).toEqual([
        [1, 'OK'],
        [7, 'OK'],
      ]);
      expect(outcome.notices).toEqual([]);
      expect(d.figure(OUTCOME_WAITS)).toBe(2);
      expect(d.as(2, waitFor('a', 10)).replies).toHaveLength(1);
    });

    it(`is one of ${SESSION_WAITS_MAX} of its session`, () => {
      const d = agent(3);
      d.as(1, lock('a', { id: 5, waitMs: WAIT_FOREVER }));
      const waits = Array.from({ length: SESSION_WAITS_MAX }, (_, at) => waitFor('a', 10 + at));
      expect(d.asks(2, ...waits)).toEqual([]);
      expect(d.asks(2, waitFor('a', 9))).toEqual(['RESOURCE_EXHAUSTED 0']);
      const cancelled = told(d.as(2, cancelLock('a', 11)));
      expect(cancelled).toEqual(['2#11 LOCK_CANCELLED 0']);
      expect(d.asks(2, waitFor('a', 9))).toEqual([]);
      expect(d.asks(3, waitFor('a', 9))).toEqual([]);
      expect(d.figure(OUTCOME_WAITS)).toBe(SESSION_WAITS_MAX + 1);
    });
  });
}
