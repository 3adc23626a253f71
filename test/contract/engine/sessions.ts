// Sessions: made, kept alive, resumed, and their end, which frees all that they held in one step.

import { describe, expect, it } from 'vitest';
import { DUE_PER_CALL_MAX } from '../../../ts/engine/coordination.js';
import {
  INPUT_WRITE_REFUSAL,
  OUTCOME_APPEND,
  OUTCOME_COUNT,
  OUTCOME_HOLDS,
  OUTCOME_MORE,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_POSITION,
  OUTCOME_SESSIONS,
  OUTCOME_WAITS,
} from '../../../ts/engine/engine.js';
import {
  SESSION_OVERHEAD_BYTES,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
} from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import { digestOf, endSession, ephemeral, lock, renew, waitFor } from '../../drive/coordination.js';
import { type Drive, effects, told } from '../../drive/drive.js';
import { effectDetail, effectsOf } from '../../drive/effects.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, get, put } from '../../drive/operations.js';
import { agents, drives, foldedFrom, TTL_MS } from './drives.js';

export function sessionsContract(create: CreateEngine): void {
  const drive = drives(create);
  const agent = agents(create);

  describe('openSession', () => {
    it('leaves a record, as one append', () => {
      const d = drive();
      const { status, recordBytes, notices } = d.openSession(0xabc, 5000);
      expect([status, notices]).toEqual(['OK', []]);
      const partition = d.engine.partitionOf(bytes('00000000000abc'));
      const digest = Buffer.from(digestOf(0xabc)).toString('hex');
      expect(effectsOf(recordBytes).map(effectDetail)).toEqual([
        `session ${0xabc} ttl=5000 digest=${digest} partition=${partition} revision=1 time=${d.now}`,
      ]);
      expect(Buffer.from(effectsOf(recordBytes)[0]!.key).toString()).toBe('00000000000abc');
      expect(d.figure(OUTCOME_APPEND)).toBe(1);
      expect([d.figure(OUTCOME_SESSIONS), d.figure(OUTCOME_POSITION)]).toEqual([1, 1]);
      expect([d.keys, d.memoryBytes]).toEqual([0, SESSION_OVERHEAD_BYTES]);
    });

    it('takes the whole range of ids and times to live', () => {
      const d = drive();
      expect(d.openSession(1, SESSION_TTL_MS_MIN).status).toBe('OK');
      expect(d.openSession(2 ** 53 - 1, SESSION_TTL_MS_MAX).status).toBe('OK');
      expect(d.as(2 ** 53 - 1, renew()).results[0]).toMatchObject({
        status: 'OK',
        ttlMs: SESSION_TTL_MS_MAX,
      });
    });

    it.each<[string, (d: Drive) => { status: string }, string]>([
      ['id 0', (d) => d.openSession(0), 'INVALID_ARGUMENT'],
      ['a negative id', (d) => d.openSession(-1), 'INVALID_ARGUMENT'],
      ['an id of 2^53', (d) => d.openSession(2 ** 53), 'INVALID_ARGUMENT'],
      ['half an id', (d) => d.openSession(2.5), 'INVALID_ARGUMENT'],
      ['no number', (d) => d.openSession(Number.NaN), 'INVALID_ARGUMENT'],
      [
        'a digest of 15 bytes',
        (d) => d.openSession(7, TTL_MS, new Uint8Array(15)),
        'INVALID_ARGUMENT',
      ],
      [
        'a digest of 17 bytes',
        (d) => d.openSession(7, TTL_MS, new Uint8Array(17)),
        'INVALID_ARGUMENT',
      ],
      ['a ttl of 0', (d) => d.openSession(7, 0), 'TTL_OUT_OF_RANGE'],
      ['a ttl too short', (d) => d.openSession(7, SESSION_TTL_MS_MIN - 1), 'TTL_OUT_OF_RANGE'],
      ['a ttl too long', (d) => d.openSession(7, SESSION_TTL_MS_MAX + 1), 'TTL_OUT_OF_RANGE'],
      ['an id in use', (d) => d.openSession(1), 'ALREADY_EXISTS'],
    ])('refuses %s and makes nothing', (_name, open, expected) => {
      const d = agent(1);
      const before = [d.memoryBytes, d.figure(OUTCOME_APPEND)];
      expect(open(d)).toMatchObject({ status: expected, records: [], notices: [] });
      expect([d.memoryBytes, d.figure(OUTCOME_APPEND)]).toEqual(before);
      expect(d.figure(OUTCOME_SESSIONS)).toBe(1);
    });

    it('is refused by a write refusal and by the memory bound, to the byte', () => {
      const d = drive({ memoryBytesMax: 2 * SESSION_OVERHEAD_BYTES - 1 });
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.Unavailable;
      expect(d.openSession(1)).toMatchObject({ status: 'UNAVAILABLE', records: [] });
      d.engine.input[INPUT_WRITE_REFUSAL] = 0;
      expect(d.openSession(1).status).toBe('OK');
      expect(d.openSession(2)).toMatchObject({ status: 'RESOURCE_EXHAUSTED', records: [] });
      const roomy = drive({ memoryBytesMax: 2 * SESSION_OVERHEAD_BYTES });
      expect([roomy.openSession(1).status, roomy.openSession(2).status]).toEqual(['OK', 'OK']);
    });

    it('takes an id again that has ended', () => {
      const d = agent(1);
      d.as(1, endSession());
      expect(effects(d.openSession(1))).toEqual(['session 1']);
    });

    it('does due work first', () => {
      const d = agent(1);
      d.now += TTL_MS;
      const opened = d.openSession(1);
      expect([opened.status, effects(opened)]).toEqual(['OK', ['session-end 1', 'session 1']]);
      expect(told(opened)).toEqual(['1 ended']);
    });
  });

  describe('a session lives', () => {
    const isAlive = (d: Drive, session: number) =>
      d.asks(session, renew())[0] !== 'SESSION_UNKNOWN 0';

    it('for its ttl after the last sign of life, to the millisecond', () => {
      const d = agent(1);
      d.now += TTL_MS - 1;
      expect(d.as(1, renew()).results).toMatchObject([{ status: 'OK', ttlMs: TTL_MS, count: 0 }]);
      expect(d.advance(d.now + TTL_MS - 1)).toMatchObject({ notices: [], records: [] });
      const ended = d.advance(d.now + 1);
      expect([effects(ended), told(ended)]).toEqual([['session-end 1'], ['1 ended']]);
      expect(d.figure(OUTCOME_SESSIONS)).toBe(0);
      expect(d.memoryBytes).toBe(0);
      expect(d.asks(1, renew())).toEqual(['SESSION_UNKNOWN 0']);
    });

    it('on by any operation of its own, also one that fails', () => {
      const d = agent(1);
      for (const operation of [get('none'), put('', 'x'), { code: 200, key: bytes('k') }]) {
        d.now += TTL_MS - 1;
        d.as(1, operation);
      }
      d.now += TTL_MS - 1;
      expect(isAlive(d, 1)).toBe(true);
    });

    it('not on by a frame that came when it was due', () => {
      const d = agent(1);
      d.now += TTL_MS;
      const outcome = d.as(1, renew(), put('k', 'v'));
      expect(outcome.results.map(({ status }) => status)).toEqual(['SESSION_UNKNOWN', 'OK']);
      expect([effects(outcome), told(outcome)]).toEqual([['session-end 1', 'put k'], ['1 ended']]);
    });

    it('not on by what is of no session, of another, or refused', () => {
      const d = agent(2);
      d.now += TTL_MS - 1;
      d.run(get('k'));
      d.as(2, renew());
      expect(d.frame(new ArrayBuffer(3), 1).refusal).toBe(Status.Malformed);
      d.now += 1;
      // A frame that is refused does no due work either.
      expect(d.frame(new ArrayBuffer(3), 1).notices).toEqual([]);
      expect(told(d.run(get('k')))).toEqual(['1 ended']);
      expect(isAlive(d, 2)).toBe(true);
    });

    it('on by a resumption with its secret only', () => {
      const d = agent(1);
      d.now += TTL_MS - 1;
      expect(d.resumeSession(1)).toMatchObject({ status: 'OK', records: [], notices: [] });
      expect(d.figure(OUTCOME_COUNT)).toBe(TTL_MS);
      d.now += TTL_MS - 1;
      expect(d.resumeSession(1, digestOf(2)).status).toBe('SESSION_FORBIDDEN');
      expect(d.resumeSession(1, digestOf(1).subarray(1)).status).toBe('SESSION_FORBIDDEN');
      expect(d.resumeSession(2).status).toBe('SESSION_UNKNOWN');
      d.now += 1;
      const late = d.resumeSession(1);
      expect([late.status, effects(late), told(late)]).toEqual([
        'SESSION_UNKNOWN',
        ['session-end 1'],
        ['1 ended'],
      ]);
    });

    it('by time that never runs backwards', () => {
      const d = agent(1);
      d.now += 5000;
      d.as(1, renew());
      d.now -= 4000;
      d.as(1, renew());
      d.now += 4000 + TTL_MS - 1;
      expect(isAlive(d, 1)).toBe(true);
    });

    it('on under a write refusal, which makes no record', () => {
      const d = agent(2);
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      d.now += TTL_MS;
      expect(d.advance(d.now)).toMatchObject({ records: [], notices: [] });
      expect(d.asks(2, renew(), endSession())).toEqual(['OK 0', 'DISK_FULL 0']);
      d.engine.input[INPUT_WRITE_REFUSAL] = 0;
      expect(d.figure(OUTCOME_SESSIONS)).toBe(2);
      expect(effects(d.advance(d.now))).toContain('session-end 1');
    });
  });

  describe('the end of a session', () => {
    /** Session 1 with two ephemeral keys, two locks and a wait; 2 waits for both locks; 3 holds what 1 waits for. */
    const laden = (): Drive => {
      const d = agent(3);
      d.as(1, ephemeral(put('e2', 'x')), ephemeral(put('e1', 'x')));
      d.as(1, lock('b', { id: 10 }), lock('a', { id: 11 }));
      d.as(3, lock('c', { id: 20 }));
      d.as(2, waitFor('a', 21), waitFor('b', 22));
      d.as(1, waitFor('c', 12));
      d.run(put('plain', 'x'));
      return d;
    };
    const freed = [
      'session-end 1',
      'expire e2',
      'expire e1',
      'hold-end b@6',
      'hold-end a@7',
      'hold b@15',
      'hold a@16',
    ];
    const heard = ['1 ended', '2#22 OK 15', '2#21 OK 16'];

    it('by END_SESSION is one step, in this order', () => {
      const d = laden();
      expect([d.figure(OUTCOME_HOLDS), d.figure(OUTCOME_WAITS)]).toEqual([3, 3]);
      const ended = d.as(1, endSession(), renew(), lock('d', { id: 9 }), put('still', 'x'));
      expect(ended.results.map(({ status }) => status)).toEqual([
        'OK',
        'SESSION_UNKNOWN',
        'SESSION_UNKNOWN',
        'OK',
      ]);
      expect(effects(ended)).toEqual([...freed, 'put still']);
      expect(told(ended)).toEqual(heard);
      expect([d.figure(OUTCOME_HOLDS), d.figure(OUTCOME_WAITS)]).toEqual([3, 0]);
      expect(d.figure(OUTCOME_SESSIONS)).toBe(2);
      expect(d.state().map(({ key }) => key)).toEqual(['plain', 'still']);
    });

    it.each<[string, (d: Drive) => ReturnType<Drive['left']>]>([
      ['advance', (d) => d.advance(d.now)],
      ['execute', (d) => d.run(get('plain'))],
      ['openSession', (d) => d.openSession(1)],
      ['resumeSession', (d) => d.resumeSession(1)],
    ])('because it is due is the same in %s', (_name, call) => {
      const d = laden();
      d.now += TTL_MS - 1;
      d.as(2, renew());
      d.as(3, renew());
      d.now += 1;
      const left = call(d);
      expect(effects(left).filter((effect) => effect !== 'session 1')).toEqual(freed);
      expect(told(left)).toEqual(heard);
    });

    it('comes earliest deadline first, and of equal ones the one set first', () => {
      const d = drive({ partitions: 1 });
      for (const [id, ttl] of [
        [1, 3000],
        [2, 1000],
        [3, 2000],
        [4, 1000],
      ] as const) {
        d.openSession(id, ttl);
      }
      expect(told(d.advance(d.now + 5000))).toEqual(['2 ended', '4 ended', '3 ended', '1 ended']);
    });

    it('goes on in the next call where many are due', () => {
      const d = agent(DUE_PER_CALL_MAX + 1);
      expect(d.advance(d.now + TTL_MS).notices).toHaveLength(DUE_PER_CALL_MAX);
      expect(d.figure(OUTCOME_MORE)).toBe(1);
      expect(told(d.advance(d.now))).toEqual([`${DUE_PER_CALL_MAX + 1} ended`]);
      expect([d.figure(OUTCOME_MORE), d.figure(OUTCOME_SESSIONS)]).toEqual([0, 0]);
      expect(d.advance(d.now).notices).toEqual([]);
      expect(d.figure(OUTCOME_NOTICE_BYTES)).toBe(0);
    });

    it('is done where as many are due as a call does', () => {
      const d = agent(DUE_PER_CALL_MAX);
      expect(d.advance(d.now + TTL_MS).notices).toHaveLength(DUE_PER_CALL_MAX);
      expect(d.figure(OUTCOME_MORE)).toBe(0);
    });
  });

  describe('a session that came by fold or restore', () => {
    const log = () => {
      const d = drive({ partitions: 1 });
      return [d.openSession(1, TTL_MS).recordBytes, d.as(1, lock('a', { id: 5 })).recordBytes];
    };
    const LATER = 50_000_000;

    it.each<[string, (d: Drive) => unknown]>([
      ['advance', (d) => d.advance(d.now)],
      ['execute', (d) => d.run(get('k'))],
      ['openSession', (d) => d.openSession(9)],
      ['resumeSession of another', (d) => d.resumeSession(9)],
    ])('lives one ttl from the first %s', (_name, first) => {
      for (const way of ['fold', 'restore'] as const) {
        const d = drive({ partitions: 1 });
        for (const records of log()) d.engine[way](records);
        d.now = LATER;
        first(d);
        const kept = d.advance(LATER + TTL_MS - 1);
        expect(told(kept).filter((line) => line.startsWith('1 '))).toEqual([]);
        const ended = d.advance(LATER + TTL_MS);
        expect(told(ended)[0]).toBe('1 ended');
        expect(effects(ended).slice(0, 2)).toEqual(['session-end 1', 'hold-end a@2']);
      }
    });

    it('is resumed with its secret, and keeps what it holds', () => {
      const d = foldedFrom(create, log());
      d.now = LATER;
      expect(d.resumeSession(1, digestOf(3)).status).toBe('SESSION_FORBIDDEN');
      expect(d.resumeSession(1).status).toBe('OK');
      expect(d.figure(OUTCOME_COUNT)).toBe(TTL_MS);
      expect(d.asks(1, lock('a', { id: 5 }))).toEqual(['OK 2']);
      expect(d.asks(1, lock('a', { id: 6 }))).toEqual(['LOCK_HELD 2']);
    });

    it('has ended for good where its end was folded', () => {
      const made = agent(0);
      const opened = made.openSession(1).recordBytes;
      const d = foldedFrom(create, [opened, made.as(1, endSession()).recordBytes]);
      expect(d.resumeSession(1).status).toBe('SESSION_UNKNOWN');
      expect(d.figure(OUTCOME_SESSIONS)).toBe(0);
    });

    it('gives way to later deadlines only by what is a sign of its life', () => {
      const d = foldedFrom(create, log());
      d.now = LATER;
      d.advance(LATER);
      d.now = LATER + TTL_MS - 1;
      d.as(1, renew());
      expect(told(d.advance(LATER + 2 * TTL_MS - 2))).toEqual([]);
      expect(told(d.advance(LATER + 2 * TTL_MS - 1))).toEqual(['1 ended']);
    });
  });
}
