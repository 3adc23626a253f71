// Sessions that have come to hold more than one step may end: they end in several calls, in order, each thing
// once, and are over for everyone from the first of them on.

import { describe, expect, it } from 'vitest';
import {
  INPUT_SESSION,
  INPUT_WRITE_REFUSAL,
  OUTCOME_HOLDS,
  OUTCOME_MORE,
  OUTCOME_NEXT,
  OUTCOME_SESSIONS,
  OUTCOME_WAITS,
} from '../../../ts/engine/engine.js';
import { recordBytes } from '../../../ts/engine/records.js';
import { LOCK_PERMIT } from '../../../ts/wire/layout.js';
import { SESSION_END_BYTES_MAX } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import { endSession, ephemeral, lock, renew, waitFor, withId } from '../../drive/coordination.js';
import {
  type Drive,
  decodeReply,
  effects,
  type Left,
  type Result,
  told,
} from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { type HeavySession, heavyRecords, longNames } from '../../drive/heavy-session.js';
import { del, encodeRequest, get, put } from '../../drive/operations.js';
import { drives, nodes, TTL_MS } from './drives.js';

const NAME_BYTES = 1000;
/** Of each: with 8 MiB of records in all that end them. */
const COUNT = Math.ceil((4 * 1024 * 1024) / recordBytes(NAME_BYTES, 0));
const KEYS = longNames('k', COUNT, NAME_BYTES);
const LOCKS = longNames('l', COUNT, NAME_BYTES);
const CALLS_MAX = 8;

export function heavySessionsContract(create: CreateEngine): void {
  const drive = drives(create);
  const node = nodes(create);
  const heavy = (session: Partial<HeavySession> = {}): Drive => {
    const d = drive({ partitions: 1 });
    const whole = { session: 1, keys: KEYS, locks: LOCKS, ttlMs: TTL_MS, ...session };
    const revisions = new Float64Array(1);
    d.engine.fold(heavyRecords(whole, 1, revisions));
    d.advance(d.now);
    return d;
  };
  /** Heavy session 1 waits for a lock of guest 4, and session 3 behind it. */
  const waiting = (): Drive => {
    const d = drive({ partitions: 1 });
    const revisions = new Float64Array(1);
    for (const session of [1, 3]) {
      const ttlMs = session * TTL_MS;
      d.engine.fold(heavyRecords({ session, keys: [], locks: [], ttlMs }, 1, revisions));
    }
    d.engine.fold(heavyRecords({ session: 4, keys: [], locks: ['a'] }, 1, revisions));
    d.as(1, waitFor('a', 5));
    d.as(3, waitFor('a', 6));
    // A session that has so much would be refused a wait.
    d.engine.fold(heavyRecords({ session: 1, keys: KEYS, locks: LOCKS }, 1, revisions));
    expect(d.figure(OUTCOME_WAITS)).toBe(2);
    return d;
  };
  /** The effects of the calls until nothing is left, the first call's included. */
  const until = (d: Drive, first: Left): string[][] => {
    const calls = [effects(first)];
    expect(told(first)).toContain('1 ended');
    while (d.figure(OUTCOME_MORE) === 1) {
      expect(calls.length).toBeLessThan(CALLS_MAX);
      const left = d.advance(d.now);
      expect(told(left)).not.toContain('1 ended');
      expect(left.recordBytes.length).toBeLessThanOrEqual(SESSION_END_BYTES_MAX);
      calls.push(effects(left));
    }
    return calls;
  };
  const ends = (isSession: boolean) => [
    ...(isSession ? ['session-end 1'] : []),
    ...KEYS.map((key) => `expire ${key}`),
    ...LOCKS.map((name, at) => `hold-end ${name}@${KEYS.length + at + (isSession ? 2 : 1)}`),
  ];
  const expectNothing = (d: Drive) => {
    expect([d.keys, d.memoryBytes, d.figure(OUTCOME_SESSIONS), d.figure(OUTCOME_HOLDS)]).toEqual([
      0, 0, 0, 0,
    ]);
    expect([...d.engine.guests()]).toEqual([]);
    expect(d.advance(d.now + 10 * TTL_MS).records).toEqual([]);
  };

  describe('the end of a session with more than one step may end', () => {
    it('by END_SESSION goes on in the next calls, in order, each thing once', () => {
      const d = heavy();
      const asked = d.as(1, withId(1, endSession()), withId(2, renew()), withId(3, lock('x')));
      expect(asked.results.map(({ status }) => status)).toEqual([
        'OK',
        'SESSION_UNKNOWN',
        'SESSION_UNKNOWN',
      ]);
      expect(d.figure(OUTCOME_MORE)).toBe(1);
      expect([d.figure(OUTCOME_SESSIONS), ...d.engine.guests()]).toEqual([0, 1]);
      const calls = until(d, asked);
      expect(calls.length).toBeGreaterThanOrEqual(5);
      expect(calls.flat()).toEqual(ends(true));
      expectNothing(d);
    });

    it('because it is due goes on in the next calls', () => {
      const d = heavy();
      const calls = until(d, d.advance(d.now + TTL_MS));
      expect(calls.flat()).toEqual(ends(true));
      expectNothing(d);
    });

    it('as that of a guest goes on in the next calls', () => {
      const d = heavy({ ttlMs: undefined });
      const first = d.endGuest(1);
      expect(first.status).toBe('OK');
      expect(d.figure(OUTCOME_MORE)).toBe(1);
      // Told again, it neither begins again nor does more in this call.
      const again = d.endGuest(1);
      expect([again.status, again.records, again.notices]).toEqual(['OK', [], []]);
      expect(d.figure(OUTCOME_MORE)).toBe(1);
      expect(until(d, first).flat()).toEqual(ends(false));
      expectNothing(d);
    });

    it('takes what fits the bound, to the byte', () => {
      const ended = recordBytes(NAME_BYTES, 0);
      const fit = Math.floor(SESSION_END_BYTES_MAX / ended);
      for (const more of [0, 1]) {
        const d = heavy({ keys: KEYS.slice(0, fit + more), locks: [] });
        const first = d.advance(d.now + TTL_MS);
        expect(first.records).toHaveLength(1 + fit);
        expect(d.figure(OUTCOME_MORE)).toBe(more);
        expect(until(d, first).flat()).toHaveLength(1 + fit + more);
      }
    });

    it('does no more in a call where values may be large and there is room for all', () => {
      const d = drive({ partitions: 1, valueBytesMax: 32 * 1024 * 1024 });
      d.engine.fold(heavyRecords({ session: 1, keys: KEYS, locks: LOCKS, ttlMs: TTL_MS }));
      d.advance(d.now);
      const calls = until(d, d.advance(d.now + TTL_MS));
      expect(calls.length).toBeGreaterThanOrEqual(5);
      expectNothing(d);
    });

    it('of several is one after the other', () => {
      const d = drive({ partitions: 1 });
      const revisions = new Float64Array(1);
      for (const session of [2, 1]) {
        const keys = longNames(`${session}`, 3 * COUNT, NAME_BYTES);
        d.engine.fold(heavyRecords({ session, keys, locks: [] }, 1, revisions));
      }
      const order: string[] = [];
      const hear = (left: Left) => {
        order.push(...effects(left).map((effect) => effect.slice('expire '.length)[0] as string));
        return left;
      };
      hear(d.endGuest(2));
      hear(d.endGuest(1));
      let calls = 0;
      while (d.figure(OUTCOME_MORE) === 1 && calls++ < 20) hear(d.advance(d.now));
      expect(order).toHaveLength(6 * COUNT);
      expect(order.slice(0, 1)).toEqual(['2']);
      const begun = order.indexOf('1');
      // The other one began, then waited until this one was over.
      const last = order.lastIndexOf('2');
      expect(order.slice(begun, last).indexOf('2')).toBeGreaterThan(0);
      expect(order.slice(last + 1).every((each) => each === '1')).toBe(true);
      expectNothing(d);
    });
  });

  describe('a session whose end goes on', () => {
    it('is not there for anything', () => {
      const d = heavy();
      d.as(1, endSession());
      expect(d.resumeSession(1).status).toBe('SESSION_UNKNOWN');
      expect(d.openSession(1).status).toBe('ALREADY_EXISTS');
      expect(d.figure(OUTCOME_MORE)).toBe(1);
      const asked = d.as(
        1,
        withId(1, lock('free')),
        withId(2, ephemeral(put('free', 'v'))),
        withId(3, renew()),
        withId(4, endSession()),
        withId(5, put('free', 'v')),
      );
      expect(asked.results.map(({ status }) => status)).toEqual([
        ...Array.from({ length: 4 }, () => 'SESSION_UNKNOWN'),
        'OK',
      ]);
    });

    it('is not admitted again as a guest', () => {
      const n = node(2);
      const guest = n.session(1);
      const d = n.at(0);
      const keys = Array.from({ length: 3000 }, (_, at) => n.key(0, `${at}`.padEnd(900, '-')));
      d.engine.fold(heavyRecords({ session: guest, keys, locks: [] }, 64));
      expect(d.engine.admitSession(guest)).toBe(Status.Ok);
      d.endGuest(guest);
      expect(d.engine.admitSession(guest)).toBe(Status.SessionUnknown);
      while (d.figure(OUTCOME_MORE) === 1) d.advance(d.now);
      expect(d.keys).toBe(0);
      expect(d.engine.admitSession(guest)).toBe(Status.Ok);
    });

    it('frees each lock with its hold, for the next in the queue', () => {
      const d = heavy();
      d.openSession(2, 100 * TTL_MS);
      const names = [LOCKS[0], LOCKS.at(-1)] as [string, string];
      d.as(2, waitFor(names[1], 8), waitFor(names[0], 9));
      const granted: string[] = [];
      const hear = (left: Left) => {
        const ended = effects(left).filter((effect) => effect.startsWith('hold-end'));
        const answers = told(left).filter((line) => line !== '1 ended');
        for (const line of answers) {
          granted.push(line);
          const name = line.startsWith('2#9') ? names[0] : names[1];
          expect(ended.some((effect) => effect.startsWith(`hold-end ${name}@`))).toBe(true);
        }
      };
      hear(d.as(1, endSession()));
      expect([d.figure(OUTCOME_WAITS), granted]).toEqual([2, []]);
      while (d.figure(OUTCOME_MORE) === 1) hear(d.advance(d.now));
      expect(granted.map((line) => line.slice(0, 6))).toEqual(['2#9 OK', '2#8 OK']);
    });

    it('keeps what is shared from the next until its last hold has ended', () => {
      const names = Array.from({ length: 3 * COUNT }, () => 'l'.padEnd(NAME_BYTES, '-'));
      const d = heavy({ keys: [], locks: names, mode: LOCK_PERMIT });
      d.openSession(2, 100 * TTL_MS);
      d.as(2, waitFor(names[0] as string, 9));
      const calls = [told(d.as(1, endSession()))];
      while (d.figure(OUTCOME_MORE) === 1) calls.push(told(d.advance(d.now)));
      expect(calls[0]).toEqual(['1 ended']);
      expect(calls.slice(1, -1).flat()).toEqual([]);
      expect(calls.at(-1)).toEqual([expect.stringMatching(/^2#9 OK/)]);
    });

    it('drops its waits at once', () => {
      const d = waiting();
      d.as(1, endSession());
      expect([d.figure(OUTCOME_WAITS), d.figure(OUTCOME_MORE)]).toEqual([1, 1]);
    });

    it('loses to others what they take from it meanwhile', () => {
      const keys = longNames('k', 2 * COUNT, NAME_BYTES);
      const d = heavy({ keys, locks: [] });
      d.as(1, endSession());
      const [first, last] = [keys.at(-2) as string, keys.at(-1) as string];
      expect(d.status(get(first))).toBe('OK');
      d.run(put(first, 'mine'), del(last));
      while (d.figure(OUTCOME_MORE) === 1) d.advance(d.now);
      expect(d.state().map(({ key }) => key)).toEqual([first]);
      expect([...d.engine.guests()]).toEqual([]);
    });

    it('waits while writes are refused', () => {
      const d = heavy();
      d.as(1, endSession());
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      expect(d.advance(d.now)).toMatchObject({ records: [], notices: [] });
      expect(d.endGuest(1)).toMatchObject({ status: 'DISK_FULL', records: [], notices: [] });
      expect(d.figure(OUTCOME_MORE)).toBe(0);
      d.engine.input[INPUT_WRITE_REFUSAL] = 0;
      d.advance(d.now);
      while (d.figure(OUTCOME_MORE) === 1) d.advance(d.now);
      expectNothing(d);
    });

    it('goes on as a guest after a restart, each thing once', () => {
      const d = heavy();
      const log = [
        heavyRecords({ session: 1, keys: KEYS, locks: LOCKS, ttlMs: TTL_MS }),
        d.as(1, endSession()).recordBytes,
        d.advance(d.now).recordBytes,
      ];
      const again = drive({ partitions: 1 });
      for (const records of log) again.engine.fold(records);
      expect([again.keys, again.figure(OUTCOME_HOLDS)]).toEqual([d.keys, d.figure(OUTCOME_HOLDS)]);
      expect([...again.engine.guests()]).toEqual([1]);
      again.advance(again.now);
      expect(again.figure(OUTCOME_MORE)).toBe(0);
      const rest = until(again, again.endGuest(1)).flat();
      expect(
        log
          .slice(1)
          .flatMap((recordBytes) => effects({ recordBytes } as Left))
          .concat(rest),
      ).toEqual(ends(true));
      expectNothing(again);
    });

    it('is forgotten where records of a fold end the rest, and lives where one makes it a session', () => {
      const d = heavy();
      const twin = heavy();
      d.as(1, endSession());
      twin.as(1, endSession());
      for (let more = 1; more === 1; more = twin.figure(OUTCOME_MORE)) {
        d.engine.fold(twin.advance(twin.now).recordBytes);
      }
      expectNothing(d);

      const other = heavy();
      other.as(1, endSession());
      const partition = other.engine.revisionOf(0);
      const record = heavyRecords(
        { session: 1, keys: [], locks: [], ttlMs: TTL_MS },
        1,
        Float64Array.of(partition),
      );
      other.engine.fold(record);
      expect(other.advance(other.now).records).toEqual([]);
      expect([other.figure(OUTCOME_MORE), other.figure(OUTCOME_SESSIONS)]).toEqual([0, 1]);
      expect(other.resumeSession(1).status).toBe('OK');
    });

    it('may have begun to end on the way to a lock, whose next wait gets its turn', () => {
      const d = waiting();
      d.now += TTL_MS;
      // A call that does no due work: the session is found to be due when its turn has come.
      const ended = d.endGuest(4);
      expect(told(ended)).toEqual(['4 ended', '1 ended', expect.stringMatching(/^3#6 OK/)]);
      expect(d.figure(OUTCOME_MORE)).toBe(1);
      while (d.figure(OUTCOME_MORE) === 1) d.advance(d.now);
      expect([d.keys, d.figure(OUTCOME_HOLDS)]).toEqual([0, 1]);
    });
  });

  describe('a frame behind due work that has taken all room', () => {
    it('is executed by a later call, each operation once, and forwarded once', () => {
      const n = node(2);
      const [own, other] = [n.session(0), n.session(0, 1)];
      const d = n.at(0);
      const keys = Array.from({ length: 3 * COUNT }, (_, at) => n.key(0, `${at}`.padEnd(900, '-')));
      d.engine.fold(heavyRecords({ session: own, keys, locks: [], ttlMs: TTL_MS }, 64));
      n.open(other);
      d.now += TTL_MS - 1;
      d.resumeSession(other);
      d.advance(d.now + 1);
      expect(d.figure(OUTCOME_MORE)).toBe(1);
      const frame = encodeRequest([
        withId(1, endSession()),
        withId(2, put(n.key(0), 'v')),
        withId(3, put(n.key(1), 'v')),
      ]);
      d.engine.input[INPUT_SESSION] = other;
      const stops: number[] = [];
      const forwards: number[] = [];
      const results: Result[] = [];
      while ((stops.at(-1) ?? 0) < 3) {
        const length = d.engine.execute(frame, stops.at(-1) ?? 0, d.now);
        results.push(...decodeReply(d.engine.reply.subarray(0, length)));
        forwards.push(...d.forwards().flatMap(({ operations }) => operations.map(({ id }) => id)));
        stops.push(d.figure(OUTCOME_NEXT));
        expect(stops.length).toBeLessThan(2 * CALLS_MAX);
      }
      expect(stops[0]).toBe(0);
      expect(results.map(({ id, status }) => `${id} ${status}`)).toEqual(['1 OK', '2 OK']);
      expect(forwards).toEqual([3]);
    });
  });
}
