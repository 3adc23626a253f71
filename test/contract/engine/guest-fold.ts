// Guests that come from records: in logs and snapshots of one worker, or of several that were put together,
// what a session has may stand before, behind or without its own record.

import { describe, expect, it } from 'vitest';
import {
  OUTCOME_HOLDS,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_SESSIONS,
} from '../../../ts/engine/engine.js';
import { endSession, ephemeral, lock, once, unlock, waitFor } from '../../drive/coordination.js';
import { Drive, effects, text, told } from '../../drive/drive.js';
import { splitRecords } from '../../drive/effects.js';
import type { CreateEngine } from '../../drive/engines.js';
import { del, increment, put, touch } from '../../drive/operations.js';
import { Random, seedOf } from '../../parity/random.js';
import { agents, drives, nodes, TTL_MS } from './drives.js';

const SEED = seedOf(80_808);

export function guestFoldContract(create: CreateEngine): void {
  const agent = agents(create);
  const drive = drives(create);
  const node = nodes(create);

  /** The record of a session, one of a hold, one of an ephemeral key, one that ends the session; each of a partition of its own. */
  const parts = () => {
    const made = drive();
    const session = made.openSession(1, TTL_MS).recordBytes;
    const hold = made.as(1, lock('a')).recordBytes;
    const key = made.as(1, ephemeral(put('k', 'v'))).recordBytes;
    const [end] = splitRecords(made.as(1, endSession()).recordBytes) as [Uint8Array];
    return { session, hold, key, end };
  };
  const guestsOf = ({ engine }: Drive) => [...engine.guests()];
  const folded = (...records: Uint8Array[]) => {
    const d = drive();
    for (const record of records) d.engine.fold(record);
    return d;
  };

  describe('a session that is not there', () => {
    it('is a guest where it holds a lock or has a key', () => {
      const { hold, key } = parts();
      for (const records of [[hold], [key], [hold, key]]) {
        const d = folded(...records);
        expect(guestsOf(d)).toEqual([1]);
        expect(d.advance(d.now + 50 * TTL_MS).records).toEqual([]);
        expect(d.figure(OUTCOME_SESSIONS)).toBe(0);
        const ended = d.endGuest(1);
        expect(ended.records).toHaveLength(records.length);
        expect(told(ended)).toEqual(['1 ended']);
      }
    });

    it.each(['fold', 'restore'] as const)('%s: becomes a session by its record', (way) => {
      const { session, hold, key } = parts();
      const orders =
        way === 'fold'
          ? [
              [session, hold, key],
              [hold, session, key],
              [hold, key, session],
            ]
          : [[key, session, hold]];
      const expected = folded(session, hold, key);
      expected.now += TTL_MS;
      expected.advance(expected.now);
      for (const order of orders) {
        const d = drive();
        for (const record of order) d.engine[way](record);
        expect([guestsOf(d), d.figure(OUTCOME_SESSIONS)]).toEqual([[], 1]);
        expect(d.figure(OUTCOME_MEMORY_BYTES)).toBe(expected.memoryBytes);
        // From the first call on it lives one ttl, with its secret.
        d.now += TTL_MS;
        expect(d.resumeSession(1).status).toBe('OK');
        const ended = d.advance(d.now + TTL_MS);
        expect(effects(ended).sort()).toEqual([
          'expire k',
          expect.stringMatching(/^hold-end a@/),
          expect.stringMatching(/^session-end/),
        ]);
      }
    });

    it('is a guest of a snapshot without its record', () => {
      const { key, hold } = parts();
      const d = drive();
      d.engine.restore(key);
      expect(guestsOf(d)).toEqual([1]);
      d.engine.restore(hold);
      expect(guestsOf(d)).toEqual([1]);
      expect(d.endGuest(1).records).toHaveLength(2);
    });

    it('stands in no way of lower sessions in a snapshot', () => {
      const made = agent(9, { partitions: 1 });
      const key = made.as(9, ephemeral(put('k', 'v'))).recordBytes;
      const d = drive({ partitions: 1 });
      d.engine.restore(key);
      const fifth = drive({ partitions: 1 }).openSession(5).recordBytes;
      d.engine.restore(fifth);
      expect([guestsOf(d), d.figure(OUTCOME_SESSIONS)]).toEqual([[9], 1]);
    });

    it('is one again after the end of its record, until all of it has ended', () => {
      const { session, hold, key, end } = parts();
      const d = folded(session, hold, key, end);
      expect(guestsOf(d)).toEqual([1]);
      expect([d.figure(OUTCOME_SESSIONS), d.figure(OUTCOME_HOLDS)]).toEqual([0, 1]);
      expect(d.resumeSession(1).status).toBe('SESSION_UNKNOWN');
      expect(d.openSession(1).status).toBe('ALREADY_EXISTS');
      expect(d.memoryBytes).toBe(folded(hold, key).memoryBytes);
      expect(effects(d.endGuest(1)).sort()).toEqual([
        'expire k',
        expect.stringMatching(/^hold-end a@/),
      ]);
      expect(d.memoryBytes).toBe(0);
      expect(d.openSession(1).status).toBe('OK');
    });

    it.each<[string, (d: Drive) => unknown]>([
      ['a put', (d) => d.run(put('k', 'w'))],
      ['an ephemeral put of another', (d) => d.as(2, ephemeral(put('k', 'w')))],
      ['a delete', (d) => d.run(del('k'))],
      ['a touch', (d) => d.run(touch('k', 5))],
    ])('is forgotten with the last that it has: a key by %s', (_name, end) => {
      const made = agent(2);
      const key = made.as(1, ephemeral(put('k', 'v'))).recordBytes;
      const hold = made.as(1, lock('a')).recordBytes;
      end(made);
      const keyEnd = made.left().recordBytes;
      const unlocked = made.as(1, unlock('a', 4)).recordBytes;
      const d = drive({ partitions: 1 });
      d.engine.restore(key);
      d.engine.restore(hold);
      expect(guestsOf(d)).toEqual([1]);
      d.engine.fold(keyEnd);
      expect(guestsOf(d)).toContain(1);
      d.engine.fold(unlocked);
      expect(guestsOf(d)).not.toContain(1);
    });

    it('is forgotten with the last that it has: a hold', () => {
      const made = agent(1);
      const key = made.as(1, ephemeral(put('k', 'v'))).recordBytes;
      const hold = made.as(1, lock('a')).recordBytes;
      const unlocked = made.as(1, unlock('a', 3)).recordBytes;
      const keyEnd = made.run(del('k')).recordBytes;
      const d = drive({ partitions: 1 });
      d.engine.restore(key);
      d.engine.restore(hold);
      d.engine.fold(unlocked);
      expect(guestsOf(d)).toEqual([1]);
      d.engine.fold(keyEnd);
      expect(guestsOf(d)).toEqual([]);
    });

    it('that waits is not forgotten, and gets its turn', () => {
      const n = node(2);
      const [guest, other] = [n.session(1), n.session(1, 1)];
      const made = n.at(0);
      for (const id of [guest, other]) made.engine.admitSession(id);
      const holds = made.as(guest, lock(n.key(0, 'a'))).recordBytes;
      const held = made.as(other, lock(n.key(0, 'b'))).recordBytes;
      const ended = made.as(guest, unlock(n.key(0, 'a'), 1)).recordBytes;
      const replica = new Drive(n.engine(0));
      replica.engine.fold(Buffer.concat([holds, held]));
      replica.as(guest, waitFor(n.key(0, 'b'), 7));
      replica.engine.fold(ended);
      expect(guestsOf(replica)).toEqual([guest, other].sort((a, b) => a - b));
      expect(told(replica.endGuest(other))).toEqual([
        `${other} ended`,
        expect.stringMatching(`^${guest}#7 OK`),
      ]);
      replica.engine.close();
    });

    it('has no answers remembered from when it was a session', () => {
      const made = agent(1);
      const hold = made.as(1, lock('a')).recordBytes;
      const d = agent(1);
      d.engine.fold(hold);
      const first = d.as(1, once(5, increment('n', 1)));
      expect(text(first.results[0]!.value)).toBe('1');
      const twin = drive({ partitions: 1 });
      twin.engine.fold(
        Buffer.concat([agent(0).openSession(1).recordBytes, hold, first.recordBytes]),
      );
      const [end] = splitRecords(twin.as(1, endSession()).recordBytes) as [Uint8Array];
      d.engine.fold(end);
      expect(guestsOf(d)).toEqual([1]);
      expect(text(d.as(1, once(5, increment('n', 1))).results[0]!.value)).toBe('2');
    });
  });

  describe(`what workers have recorded, RONDO_SEED=${SEED}`, () => {
    /** A node with sessions that have something everywhere, and its records by worker. */
    const busy = (random: Random) => {
      const n = node(3);
      const logs = n.drives.map((): Uint8Array[] => []);
      const sessions = Array.from({ length: 6 }, (_, at) => n.session(at % 3, at));
      for (const session of sessions) {
        logs[n.homeOf(session)]?.push(
          n.at(n.homeOf(session)).openSession(session, TTL_MS).recordBytes,
        );
      }
      for (let round = 0; round < 80; round++) {
        const worker = random.below(3);
        const session = random.pick(sessions);
        const name = n.key(worker, random.pick(['a', 'b', 'c', 'd', 'e']));
        const d = n.at(worker);
        if (n.homeOf(session) !== worker) d.engine.admitSession(session);
        const operation = random.pick([
          lock(name),
          ephemeral(put(name, 'v')),
          put(name, 'w'),
          del(name),
        ]);
        logs[worker]?.push(d.as(session, operation).recordBytes);
      }
      return { n, logs };
    };

    it('comes back with a restart: the same guests, keys and holds', () => {
      const random = new Random(SEED);
      for (let round = 0; round < 10; round++) {
        const { n, logs } = busy(random);
        for (const [worker, d] of n.drives.entries()) {
          const again = new Drive(n.engine(worker));
          again.engine.fold(Buffer.concat(logs[worker] ?? []));
          const holders = [...d.engine.guests()].filter((id) => d.endGuest(id).records.length > 0);
          expect(guestsOf(again)).toEqual(holders);
          for (const id of holders) again.endGuest(id);
          again.now = d.now;
          expect(again.figure(OUTCOME_HOLDS)).toBe(d.figure(OUTCOME_HOLDS));
          expect(again.memoryBytes).toBe(d.memoryBytes);
          again.engine.close();
        }
      }
    });

    it("becomes one engine's in any order of logs, with sessions that have all that was theirs", () => {
      const random = new Random(SEED + 1);
      for (let round = 0; round < 10; round++) {
        const { logs } = busy(random);
        const orders = [
          [0, 1, 2],
          [2, 0, 1],
          [1, 2, 0],
        ];
        const ends = orders.map((order) => {
          const d = drive();
          for (const worker of order) d.engine.fold(Buffer.concat(logs[worker] ?? []));
          expect(guestsOf(d)).toEqual([]);
          d.advance(d.now);
          expect(d.figure(OUTCOME_SESSIONS)).toBe(6);
          const ended = d.advance(d.now + TTL_MS);
          expect([d.figure(OUTCOME_HOLDS), d.figure(OUTCOME_SESSIONS)]).toEqual([0, 0]);
          return effects(ended).sort();
        });
        expect(ends[1]).toEqual(ends[0]);
        expect(ends[2]).toEqual(ends[0]);
      }
    });
  });
}
