// Ephemeral keys: they live as long as their session, and no expiry of their own.

import { describe, expect, it } from 'vitest';
import { INPUT_WRITE_REFUSAL } from '../../../ts/engine/engine.js';
import { Status } from '../../../ts/wire/status.js';
import { endSession, ephemeral, renew } from '../../drive/coordination.js';
import { effects, told } from '../../drive/drive.js';
import { effectDetail, effectsOf } from '../../drive/effects.js';
import type { CreateEngine } from '../../drive/engines.js';
import { del, get, increment, type Operation, put, scan, touch } from '../../drive/operations.js';
import { agents, drives, foldedFrom, TTL_MS } from './drives.js';

export function ephemeralContract(create: CreateEngine): void {
  const agent = agents(create);

  describe('an ephemeral key', () => {
    it('names its session in the record, and has no expiry in answers', () => {
      const d = agent(2);
      const { results, recordBytes } = d.as(2, ephemeral(put('k', 'v')));
      expect(results).toMatchObject([{ status: 'OK', revision: 3, ttlMs: 0 }]);
      expect(effectsOf(recordBytes).map(effectDetail)).toEqual([
        `put k partition=0 revision=3 time=${d.now} session=2`,
      ]);
      expect(d.one(get('k'))).toMatchObject({ status: 'OK', revision: 3, ttlMs: 0 });
      expect(d.run(scan('')).results[0]).toMatchObject({ ttlMs: 0, revision: 3 });
    });

    it('is refused without a session, with a ttl, or while writes are', () => {
      const d = agent(1);
      expect(d.asks(0, ephemeral(put('k', 'v')))).toEqual(['SESSION_REQUIRED 0']);
      expect(d.asks(9, ephemeral(put('k', 'v')))).toEqual(['SESSION_UNKNOWN 0']);
      for (const ttl of [5, 'keep'] as const) {
        expect(d.asks(1, ephemeral(put('k', 'v', { ttl })))).toEqual(['INVALID_ARGUMENT 0']);
      }
      for (const operation of [get('k'), del('k'), increment('k', 1), touch('k'), scan('')]) {
        expect(d.asks(1, ephemeral(operation))).toEqual(['INVALID_ARGUMENT 0']);
      }
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      expect(d.asks(9, ephemeral(put('k', 'v')))).toEqual(['SESSION_UNKNOWN 0']);
      expect(d.asks(1, ephemeral(put('k', 'v')))).toEqual(['DISK_FULL 0']);
      expect(d.keys).toBe(0);
    });

    it('goes with its session, and only with that', () => {
      const d = agent(2);
      d.as(1, ephemeral(put('k', 'v')));
      d.as(2, ephemeral(put('l', 'w')));
      d.now += TTL_MS - 1;
      d.as(2, renew());
      expect(d.one(get('k')).status).toBe('OK');
      const due = d.advance(d.now + 1);
      expect([effects(due), told(due)]).toEqual([['session-end 1', 'expire k'], ['1 ended']]);
      expect(d.state().map(({ key }) => key)).toEqual(['l']);
      expect(effects(d.as(2, endSession()))).toEqual(['session-end 2', 'expire l']);
      expect([d.keys, d.memoryBytes]).toEqual([0, 0]);
    });

    it.each<[string, Operation, boolean]>([
      ['a put', put('k', 'x'), false],
      ['a put with a ttl', put('k', 'x', { ttl: 999_999 }), false],
      ['a put that keeps', put('k', 'x', { ttl: 'keep' }), true],
      ['an increment', increment('k', 1), false],
      ['an increment that keeps', increment('k', 1, 'keep'), true],
      ['a touch', touch('k'), false],
      ['a touch with a ttl', touch('k', 999_999), false],
    ])('%s of anybody leaves it so, or not', (_name, operation, stays) => {
      const d = agent(2);
      d.as(1, ephemeral(put('k', '5')));
      const { results, recordBytes } = d.as(2, operation);
      expect(results[0]?.status).toBe('OK');
      expect(effectsOf(recordBytes)[0]?.flags).toBe(stays ? 1 : 0);
      const ended = effects(d.as(1, endSession()));
      expect(ended).toEqual(stays ? ['session-end 1', 'expire k'] : ['session-end 1']);
      expect(d.keys).toBe(stays ? 0 : 1);
    });

    it('that was deleted is not expired, nor is what comes after it', () => {
      const d = agent(1);
      d.as(
        1,
        ephemeral(put('k', 'v')),
        ephemeral(put('l', 'v')),
        del('k'),
        del('l'),
        put('l', 'w'),
      );
      expect(effects(d.as(1, endSession()))).toEqual(['session-end 1']);
      expect(d.state().map(({ key, value }) => key + value)).toEqual(['lw']);
    });

    it('may replace a key with an expiry, which is then no more', () => {
      const d = agent(1);
      d.run(put('k', 'v', { ttl: 100 }));
      d.as(1, ephemeral(put('k', 'w')));
      expect(d.advance(d.now + 200).expired).toBe(0);
      expect(d.one(get('k'))).toMatchObject({ status: 'OK', ttlMs: 0 });
    });

    it('changes hands with an ephemeral put of another session', () => {
      const d = agent(2);
      d.as(1, ephemeral(put('k', 'v')));
      d.as(2, ephemeral(put('k', 'w')));
      expect(effects(d.as(1, endSession()))).toEqual(['session-end 1']);
      expect(effects(d.as(2, endSession()))).toEqual(['session-end 2', 'expire k']);
    });

    it('obeys its condition', () => {
      const d = agent(1);
      d.run(put('k', 'v'));
      expect(d.asks(1, ephemeral(put('k', 'w', { ifAbsent: true })))).toEqual(['ALREADY_EXISTS 2']);
      expect(effects(d.as(1, endSession()))).toEqual(['session-end 1']);
    });
  });

  describe('an ephemeral key that came by fold or restore', () => {
    it.each(['fold', 'restore'] as const)('%s: goes with its session', (way) => {
      const made = drives(create)({ partitions: 1 });
      const session = made.openSession(1, TTL_MS).recordBytes;
      const key = made.as(1, ephemeral(put('k', 'v'))).recordBytes;
      const d = drives(create)({ partitions: 1 });
      // A snapshot has keys before sessions.
      for (const records of way === 'fold' ? [session, key] : [key, session])
        d.engine[way](records);
      d.now = 2_000_000;
      expect(d.one(get('k')).ttlMs).toBe(0);
      const ended = d.advance(d.now + TTL_MS);
      expect(effects(ended)).toEqual(['session-end 1', 'expire k']);
    });

    it('lives on with a guest where its session is not there', () => {
      const made = agent(1);
      const { recordBytes } = made.as(1, ephemeral(put('k', 'v')));
      const record = Buffer.from(recordBytes);
      record.writeBigUInt64LE(1n, 16);
      const d = foldedFrom(create, [record]);
      d.advance(d.now + 10 * TTL_MS);
      expect(d.one(get('k'))).toMatchObject({ status: 'OK', ttlMs: 0 });
      expect([...d.engine.guests()]).toEqual([1]);
      // What a session has left is nobody else's.
      expect(d.openSession(1).status).toBe('ALREADY_EXISTS');
      expect(effects(d.endGuest(1))).toEqual(['expire k']);
      expect(d.openSession(1).status).toBe('OK');
    });
  });
}
