// Fenced writes: refused where a newer holder of the lock has been seen.

import { describe, expect, it } from 'vitest';
import { INPUT_WRITE_REFUSAL } from '../../../ts/engine/engine.js';
import { FLAG_FENCED } from '../../../ts/wire/layout.js';
import { ENTRY_OVERHEAD_BYTES, FENCE_OVERHEAD_BYTES } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import { fenced, lock, unlock, waitFor } from '../../drive/coordination.js';
import { type Drive, effects, text } from '../../drive/drive.js';
import { effectDetail, effectsOf } from '../../drive/effects.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, del, get, increment, type Operation, put, touch } from '../../drive/operations.js';
import { agents, drives } from './drives.js';

export function fencesContract(create: CreateEngine): void {
  const agent = agents(create);
  const drive = drives(create);
  const writes: [string, Operation][] = [
    ['put', put('k', 'v')],
    ['delete', del('k')],
    ['increment', increment('n', 1)],
    ['touch', touch('k', 50)],
  ];

  describe('the head of a fenced write', () => {
    const head = (token: bigint, length: number, rest: Uint8Array) => {
      const made = Buffer.alloc(10);
      made.writeBigUInt64LE(token, 0);
      made.writeUInt16LE(length, 8);
      return Buffer.concat([made, rest]);
    };
    const raw = (value: Uint8Array): Operation => ({ ...put('k', value), flags: FLAG_FENCED });
    it.each<[string, Uint8Array, string]>([
      ['nothing', bytes(''), 'INVALID_ARGUMENT'],
      ['nine bytes', new Uint8Array(9).fill(1), 'INVALID_ARGUMENT'],
      ['a name beyond the end', head(1n, 5, bytes('four')), 'INVALID_ARGUMENT'],
      ['token 0', head(0n, 1, bytes('a')), 'INVALID_ARGUMENT'],
      ['token 2^53', head(2n ** 53n, 1, bytes('a')), 'INVALID_ARGUMENT'],
      ['token 2^64 - 1', head(2n ** 64n - 1n, 1, bytes('a')), 'INVALID_ARGUMENT'],
      ['an empty name', head(1n, 0, bytes('')), 'INVALID_KEY'],
      ['a name that is no UTF-8', head(1n, 1, Uint8Array.of(0xff)), 'INVALID_KEY'],
      ['a name too long', head(1n, 1025, Buffer.alloc(1025, 'a')), 'KEY_TOO_LONG'],
      ['a name as long as may be', head(1n, 1024, Buffer.alloc(1024, 'a')), 'FENCED'],
      ['the highest token', head(2n ** 53n - 1n, 1, bytes('a')), 'FENCED'],
    ])('%s', (_name, value, expected) => {
      const d = drive({ partitions: 1, valueBytesMax: 4 });
      const { results, records } = d.run(raw(value));
      expect([results[0]?.status, records]).toEqual([expected, []]);
    });

    it('does not count as value', () => {
      const d = agent(1, { valueBytesMax: 4 });
      d.as(1, lock('a'));
      expect(d.status(fenced('a', 2, put('k', '12345')))).toBe('VALUE_TOO_LARGE');
      expect(d.status(fenced('a', 2, put('k', '1234')))).toBe('OK');
      expect(text(d.one(get('k')).value)).toBe('1234');
      expect(d.status(fenced('a', 2, put('k', '')))).toBe('OK');
      expect(d.one(get('k')).value).toHaveLength(0);
    });

    it('is of writes only, and leaves them the rest of their checks', () => {
      const d = agent(1);
      d.as(1, lock('a'));
      expect(d.status(fenced('a', 2, get('k')))).toBe('INVALID_ARGUMENT');
      expect(d.status(fenced('a', 2, { ...increment('n', 1), value: bytes('7') }))).toBe(
        'INVALID_ARGUMENT',
      );
      expect(d.status(fenced('a', 2, { ...del('k'), value: bytes('7') }))).toBe('INVALID_ARGUMENT');
      expect(d.status(fenced('a', 2, put('', 'x')))).toBe('INVALID_KEY');
    });
  });

  describe('where lock and key share a partition', () => {
    it.each(writes)('a %s needs the token of a hold', (_name, write) => {
      const d = agent(2);
      d.run(put('k', 'before'));
      const refused = (token: number) => d.run(fenced('a', token, write));
      expect(refused(4)).toMatchObject({ results: [{ status: 'FENCED', revision: 0 }] });
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 6));
      expect(refused(3)).toMatchObject({
        results: [{ status: 'FENCED', revision: 4 }],
        records: [],
      });
      expect(refused(5)).toMatchObject({
        results: [{ status: 'FENCED', revision: 4 }],
        records: [],
      });
      const taken = d.run(fenced('a', 4, write));
      expect(taken.results[0]?.status).toBe('OK');
      expect(taken.records).toHaveLength(1);
      d.as(1, unlock('a', 4));
      expect(refused(4)).toMatchObject({
        results: [{ status: 'FENCED', revision: 7 }],
        records: [],
      });
      expect(d.counted(write.code, Status.Fenced)).toBe(4);
    });

    it('any token of several holds will do', () => {
      const d = agent(2);
      d.as(1, lock('a', { shared: true }));
      d.as(2, lock('a', { shared: true }));
      expect(d.status(fenced('a', 3, put('k', '1')))).toBe('OK');
      expect(d.status(fenced('a', 4, put('k', '2')))).toBe('OK');
    });

    it('comes before the condition, behind the expiry of the key and a write refusal', () => {
      const d = agent(1);
      d.run(put('k', 'v', { ttl: 100 }));
      expect(d.brief(fenced('a', 9, put('k', 'w', { ifAbsent: true })))).toBe('FENCED 0');
      d.now += 100;
      const outcome = d.run(fenced('a', 9, put('k', 'w')));
      expect([outcome.results[0]?.status, effects(outcome)]).toEqual(['FENCED', ['expire k']]);
      d.engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      expect(d.status(fenced('a', 9, put('k', 'w')))).toBe('DISK_FULL');
    });
  });

  describe('where they do not', () => {
    /** Sixteen partitions; lock `a`, whose partition has come to `revision`, and a key elsewhere. */
    const apart = (revision: number): { d: Drive; key: string; partition: number } => {
      const d = drive({ partitions: 16 });
      const of = (key: string) => d.engine.partitionOf(bytes(key));
      while (d.engine.revisionOf(of('a')) < revision) d.run(put('{a}other', 'x'));
      const key = Array.from({ length: 99 }, (_, at) => `k${at}`).find((at) => of(at) !== of('a'));
      return { d, key: key!, partition: of(key!) };
    };

    it('the highest token seen decides, and is a record of the key’s partition', () => {
      const { d, key, partition } = apart(9);
      const first = d.run(fenced('a', 5, put(key, 'v')));
      expect(effectsOf(first.recordBytes).map(effectDetail)).toEqual([
        `fence a=5 partition=${partition} revision=1 time=${d.now}`,
        `put ${key} partition=${partition} revision=2 time=${d.now}`,
      ]);
      expect(first.results).toMatchObject([{ status: 'OK', revision: 2 }]);
      expect(d.run(fenced('a', 4, put(key, 'w')))).toMatchObject({
        results: [{ status: 'FENCED', revision: 5 }],
        records: [],
      });
      expect(effects(d.run(fenced('a', 5, put(key, 'w'))))).toEqual([`put ${key}`]);
      expect(effects(d.run(fenced('a', 9, put(key, 'x'))))).toEqual(['fence a=9', `put ${key}`]);
      expect(d.brief(fenced('a', 8, del(key)))).toBe('FENCED 9');
    });

    it('a token that the lock’s partition has not come to is refused', () => {
      const { d, key } = apart(3);
      expect(d.brief(fenced('a', 4, put(key, 'v')))).toBe('FENCED 0');
      expect(d.brief(fenced('a', 3, put(key, 'v')))).toBe('OK 2');
      expect(d.brief(fenced('a', 4, put(key, 'v')))).toBe('FENCED 0');
    });

    it('a token is noted whatever becomes of the write', () => {
      const { d, key } = apart(5);
      const outcome = d.run(fenced('a', 5, del(key)));
      expect([outcome.results[0]?.status, effects(outcome)]).toEqual(['NOT_FOUND', ['fence a=5']]);
      expect(d.brief(fenced('a', 4, put(key, 'v')))).toBe('FENCED 5');
    });

    it('is of one lock and one partition', () => {
      const { d, key } = apart(9);
      d.run(fenced('a', 9, put(key, 'v')));
      const here = d.engine.partitionOf(bytes(key));
      const other = Array.from({ length: 99 }, (_, at) => `o${at}`).find((at) => {
        const partition = d.engine.partitionOf(bytes(at));
        return partition !== here && partition !== d.engine.partitionOf(bytes('a'));
      })!;
      expect(effects(d.run(fenced('a', 2, put(other, 'v'))))).toEqual([
        'fence a=2',
        `put ${other}`,
      ]);
      expect(d.status(fenced('{a}b', 2, put(key, 'v')))).toBe('OK');
    });

    it('is durable: what was folded or restored knows it', () => {
      const { d, key } = apart(9);
      const log = [d.run(fenced('a', 7, del(key))).recordBytes];
      for (const way of ['fold', 'restore'] as const) {
        const folded = drive({ partitions: 16 });
        for (const records of log) folded.engine[way](records);
        const revisions = Float64Array.from({ length: 16 }, (_, at) => d.engine.revisionOf(at));
        folded.engine.restoreRevisions(revisions, d.now);
        expect(folded.brief(fenced('a', 6, put(key, 'v'))), way).toBe('FENCED 7');
        expect(effects(folded.run(fenced('a', 8, del(key)))), way).toEqual(['fence a=8']);
        expect(folded.memoryBytes, way).toBe(1 + FENCE_OVERHEAD_BYTES);
      }
    });

    it('takes memory once, and is refused without', () => {
      const { d, key } = apart(5);
      const before = d.memoryBytes;
      d.run(fenced('a', 4, del(key)), fenced('a', 5, del(key)));
      expect(d.memoryBytes).toBe(before + 1 + FENCE_OVERHEAD_BYTES);
      const held = ENTRY_OVERHEAD_BYTES + '{a}other'.length + 'x'.length;
      const bound = held + 'a'.length + FENCE_OVERHEAD_BYTES;
      const tight = drive({ partitions: 16, memoryBytesMax: bound });
      tight.run(put('{a}other', 'x'));
      expect(tight.run(fenced('{a}', 1, del(key)))).toMatchObject({
        results: [{ status: 'RESOURCE_EXHAUSTED' }],
        records: [],
      });
      expect(effects(tight.run(fenced('a', 1, del(key))))).toEqual([`fence a=1`]);
    });
  });
}
