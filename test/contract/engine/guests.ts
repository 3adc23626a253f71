// Sessions of other workers: known without a record, never due, ended by whoever has heard of their end.

import { describe, expect, it } from 'vitest';
import {
  INPUT_WRITE_REFUSAL,
  OUTCOME_HOLDS,
  OUTCOME_MORE,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
  OUTCOME_SESSIONS,
  OUTCOME_WAITS,
} from '../../../ts/engine/engine.js';
import { SESSION_END_BYTES_MAX } from '../../../ts/wire/limits.js';
import { Status, statusName } from '../../../ts/wire/status.js';
import {
  endSession,
  ephemeral,
  fenced,
  lock,
  once,
  renew,
  unlock,
  waitFor,
} from '../../drive/coordination.js';
import { type Drive, effects, told } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, get, increment, put } from '../../drive/operations.js';
import { drives, nodes, TTL_MS } from './drives.js';

export function guestsContract(create: CreateEngine): void {
  const node = nodes(create);
  const drive = drives(create);
  /** Worker 0 of two with a guest of worker 1, and a key of worker 0. */
  const host = (guests = 1) => {
    const n = node(2);
    const d = n.at(0);
    const ids = Array.from({ length: guests }, (_, at) => n.session(1, at));
    for (const id of ids) expect(d.engine.admitSession(id)).toBe(Status.Ok);
    return { n, d, ids, guest: ids[0] as number, key: (name: string) => n.key(0, name) };
  };
  const admit = (d: Drive, id: number) => statusName(d.engine.admitSession(id));

  describe('a guest', () => {
    it('is admitted without a record, as often as one likes', () => {
      const { d, guest } = host();
      expect(admit(d, guest)).toBe('OK');
      expect([...d.engine.guests()]).toEqual([guest]);
      d.advance(d.now);
      const figures = [OUTCOME_SESSIONS, OUTCOME_RECORD_BYTES, OUTCOME_NOTICE_BYTES];
      expect(figures.map((at) => d.figure(at))).toEqual([0, 0, 0]);
      expect(d.memoryBytes).toBe(0);
    });

    it('is no session of own partitions, and no id that there is not', () => {
      const { n, d } = host();
      for (const id of [n.session(0), 0, -1, 1.5, 2 ** 53, Number.NaN, Infinity]) {
        expect(admit(d, id), `${id}`).toBe('INVALID_ARGUMENT');
      }
      d.openSession(n.session(0));
      expect(admit(d, n.session(0))).toBe('INVALID_ARGUMENT');
      expect(admit(drive(), 1)).toBe('INVALID_ARGUMENT');
      expect(d.engine.guests()).toHaveLength(1);
    });

    it('cannot be opened, nor can a session of another worker', () => {
      const { n, d, guest } = host();
      expect(d.openSession(guest).status).toBe('INVALID_ARGUMENT');
      expect(d.openSession(n.session(1, 3)).status).toBe('INVALID_ARGUMENT');
      expect(d.openSession(n.session(0)).status).toBe('OK');
      expect(d.figure(OUTCOME_SESSIONS)).toBe(1);
    });

    it('has no secret', () => {
      const { d, guest } = host();
      expect(d.resumeSession(guest).status).toBe('SESSION_UNKNOWN');
      expect(d.resumeSession(guest, new Uint8Array(0)).status).toBe('SESSION_UNKNOWN');
      expect(d.resumeSession(guest, new Uint8Array(16)).status).toBe('SESSION_UNKNOWN');
    });

    it('is there for every operation, and not without being admitted', () => {
      const { n, d, guest, key } = host();
      expect(d.asks(guest, lock(key('a')), ephemeral(put(key('k'), 'v')))).toEqual([
        'OK 1',
        expect.stringMatching(/^OK/),
      ]);
      expect(d.asks(guest, once(9, increment(key('n'), 5)))).toEqual(
        d.asks(guest, once(9, increment(key('n'), 5))),
      );
      expect(d.asks(guest, fenced(key('a'), 1, put(key('k'), 'w')))[0]).toMatch(/^OK/);
      expect(d.asks(n.session(1, 4), lock(key('b')))).toEqual(['SESSION_UNKNOWN 0']);
    });

    it('is never due, also where its turn at a lock has come', () => {
      const { n, d, guest, key } = host();
      const own = n.session(0);
      d.openSession(own, TTL_MS);
      d.as(own, lock(key('a')));
      d.as(guest, ephemeral(put(key('k'), 'v')), waitFor(key('a'), 7));
      const left = d.advance(d.now + 100 * TTL_MS);
      expect(effects(left)[0]).toMatch(/^session-end/);
      expect(told(left)).toEqual([`${own} ended`, expect.stringMatching(`^${guest}#7 OK`)]);
      expect(d.advance(d.now + 100 * TTL_MS).records).toEqual([]);
      expect(d.status(get(key('k')))).toBe('OK');
    });

    it('has waits that time out, and leases that run out', () => {
      const { d, ids, key } = host(2);
      const [first, second] = ids as [number, number];
      d.as(first, lock(key('a'), { leaseMs: 500 }));
      d.as(second, waitFor(key('a'), 7, { waitMs: 200 }));
      expect(told(d.advance(d.now + 200))).toEqual([`${second}#7 LOCK_TIMEOUT 0`]);
      expect(effects(d.advance(d.now + 300))).toEqual([expect.stringMatching(/^hold-end/)]);
    });

    it('may hold as much as can be ended in one step', () => {
      const { d, guest, key } = host();
      const name = (at: number) => key(`${at}-`.padEnd(1000, 'x'));
      let held = 0;
      for (; ; held++) {
        const [answer] = d.asks(guest, lock(name(held)));
        if (answer === 'SESSION_FULL 0') break;
        expect(answer).toMatch(/^OK/);
      }
      const ended = d.endGuest(guest);
      expect(ended.records).toHaveLength(held);
      expect(ended.recordBytes.length).toBeLessThanOrEqual(SESSION_END_BYTES_MAX);
      expect(ended.recordBytes.length).toBeGreaterThan(SESSION_END_BYTES_MAX - 2000);
      expect(d.figure(OUTCOME_HOLDS)).toBe(0);
    });

    it('of own partitions, left by records, renews without a ttl and ends as a guest', () => {
      const made = drive({ partitions: 1 });
      made.openSession(1);
      const { recordBytes } = made.as(1, lock('a'));
      const record = Buffer.from(recordBytes);
      record.writeBigUInt64LE(1n, 16);
      const d = drive({ partitions: 1 });
      d.engine.fold(record);
      d.as(1, waitFor('a', 9, { shared: true }));
      expect(d.as(1, renew()).results).toMatchObject([{ status: 'OK', ttlMs: 0 }]);
      const ended = d.as(1, endSession());
      expect(effects(ended)).toEqual([expect.stringMatching(/^hold-end a@/)]);
      expect(told(ended)).toEqual(['1 ended']);
      expect(d.asks(1, lock('a'))).toEqual(['SESSION_UNKNOWN 0']);
    });
  });

  describe('the end of a guest', () => {
    it('is one append without an end of session: keys, holds, waits, then what waited', () => {
      const { d, ids, key } = host(3);
      const [guest, second, third] = ids as [number, number, number];
      d.as(guest, lock(key('a'), { id: 1 }), lock(key('b'), { id: 2 }));
      d.as(guest, ephemeral(put(key('k'), 'v')), ephemeral(put(key('j'), 'v')));
      d.as(second, lock(key('c'), { id: 1 }));
      d.as(guest, waitFor(key('c'), 5));
      d.as(third, waitFor(key('b'), 3));
      d.as(third, waitFor(key('a'), 4));
      d.as(third, waitFor(key('c'), 6));
      const ended = d.endGuest(guest);
      expect(ended.status).toBe('OK');
      expect(effects(ended)).toEqual([
        `expire ${key('k')}`,
        `expire ${key('j')}`,
        expect.stringContaining(`hold-end ${key('a')}@`),
        expect.stringContaining(`hold-end ${key('b')}@`),
        expect.stringContaining(`hold ${key('a')}@`),
        expect.stringContaining(`hold ${key('b')}@`),
      ]);
      expect(told(ended)).toEqual([
        `${guest} ended`,
        expect.stringMatching(`^${third}#4 OK`),
        expect.stringMatching(`^${third}#3 OK`),
      ]);
      expect([...d.engine.guests()]).toEqual([second, third]);
      expect([d.figure(OUTCOME_HOLDS), d.figure(OUTCOME_WAITS)]).toEqual([3, 1]);
      expect(d.asks(guest, lock(key('z')))).toEqual(['SESSION_UNKNOWN 0']);
    });

    it('is told also of one that had nothing, and of one that is not known not at all', () => {
      const { d, guest } = host();
      const ended = d.endGuest(guest);
      expect([ended.status, effects(ended), told(ended)]).toEqual(['OK', [], [`${guest} ended`]]);
      for (const id of [guest, 12345, 0, -1, 1.5, Number.NaN]) {
        const again = d.endGuest(id);
        expect([again.status, effects(again), told(again)]).toEqual(['OK', [], []]);
      }
    });

    it('is not that of a session of this worker that is there', () => {
      const { n, d, key } = host();
      const own = n.session(0);
      d.openSession(own);
      d.as(own, lock(key('a')));
      expect(d.endGuest(own).status).toBe('INVALID_ARGUMENT');
      expect(d.figure(OUTCOME_HOLDS)).toBe(1);
    });

    it('waits while writes are refused', () => {
      const { d, guest, key } = host();
      d.as(guest, lock(key('a')));
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      expect(d.endGuest(guest)).toMatchObject({ status: 'DISK_FULL', records: [], notices: [] });
      expect(d.figure(OUTCOME_HOLDS)).toBe(1);
      d.engine.input[INPUT_WRITE_REFUSAL] = 0;
      expect(effects(d.endGuest(guest))).toHaveLength(1);
    });

    it('moves time on and does no due work', () => {
      const { n, d, guest, key } = host();
      const own = n.session(0);
      d.openSession(own, TTL_MS);
      d.as(guest, lock(key('a')));
      const later = d.now + 2 * TTL_MS;
      d.now = later;
      const ended = d.endGuest(guest);
      expect([effects(ended), told(ended)]).toEqual([
        [expect.stringMatching(/^hold-end/)],
        [`${guest} ended`],
      ]);
      expect(ended.records[0]?.time).toBe(later);
      expect(told(d.advance(later))).toEqual([`${own} ended`]);
    });

    it('ends a due session on the way to a lock that it frees', () => {
      const { n, d, guest, key } = host();
      const own = n.session(0);
      d.openSession(own, TTL_MS);
      d.as(guest, lock(key('a')));
      d.as(own, waitFor(key('a'), 5));
      d.now += TTL_MS;
      expect(told(d.endGuest(guest))).toEqual([`${guest} ended`, `${own} ended`]);
    });

    it('leaves to the next call what has no room', () => {
      const { d, ids, key } = host(2);
      const [guest, other] = ids as [number, number];
      const names = Array.from({ length: 1900 }, (_, at) => key(`${at}-`.padEnd(900, 'x')));
      for (const name of names) d.as(guest, lock(name));
      for (const [at, name] of names.entries()) d.as(other, waitFor(name, at));
      let granted = told(d.endGuest(guest)).length - 1;
      for (let calls = 0; d.figure(OUTCOME_MORE) === 1; calls++) {
        expect(calls).toBeLessThan(10);
        granted += told(d.advance(d.now)).length;
      }
      expect(granted).toBe(names.length);
    });

    it('frees a session once, whatever way it is told', () => {
      const n = node(4);
      const session = n.session(2);
      n.open(session);
      const all = [0, 1, 2, 3].flatMap((worker) => [
        lock(n.key(worker, 'l')),
        ephemeral(put(n.key(worker, 'k'), 'v')),
      ]);
      n.run(0, session, ...all);
      expect(n.drives.map((d) => d.figure(OUTCOME_HOLDS))).toEqual([1, 1, 1, 1]);
      const ended = n.run(1, session, endSession());
      expect(ended.effects.map((each) => each.length)).toEqual([2, 2, 3, 2]);
      expect(ended.told).toEqual([0, 1, 2, 3].map(() => [`${session} ended`]));
      expect(n.drives.map((d) => d.figure(OUTCOME_HOLDS))).toEqual([0, 0, 0, 0]);
      for (const d of n.drives) expect(d.endGuest(session).records).toEqual([]);
    });

    it('lets it come again as a new guest', () => {
      const { d, guest, key } = host();
      d.as(guest, once(3, increment(key('n'), 1)), lock(key('a')));
      d.endGuest(guest);
      expect(admit(d, guest)).toBe('OK');
      const { results } = d.as(guest, once(3, increment(key('n'), 1)));
      expect(results[0]?.value).toEqual(bytes('2'));
      expect(d.asks(guest, unlock(key('a'), 2))).toEqual(['NOT_HOLDER 0']);
    });
  });
}
