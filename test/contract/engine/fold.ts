// state = fold(records): an engine that folds another's records equals it. Records that are not whole,
// valid and next in order are refused before anything changes.

import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../../ts/engine/engine.js';
import type { Drive } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, del, get, increment, type Operation, put, touch } from '../../drive/operations.js';
import { decodeRecords, type EffectRecord, encodeRecords, HEADER } from '../../drive/records.js';
import { drives } from './drives.js';

const PUT = 1;
const DELETE = 2;
const EXPIRE = 3;
const TOUCH = 4;

export function foldContract(create: CreateEngine): void {
  const drive = drives(create);

  /** Runs a mixed history and returns the engine that made it with all its records. */
  const history = (options: Partial<EngineOptions> = {}): { made: Drive; log: Uint8Array } => {
    const made = drive(options);
    const parts: Uint8Array[] = [];
    for (let step = 0; step < 600; step++) {
      const key = `key/${(step * 7919) % 53}`;
      const operations: Operation[] = [
        put(key, `${step}`.repeat(step % 9), step % 4 === 0 ? { ttl: 1 + (step % 40) } : {}),
        increment(`n${step % 5}`, step),
        touch(`key/${step % 53}`, 1 + (step % 60)),
        del(`key/${(step * 31) % 53}`),
        get(`key/${(step * 17) % 53}`),
      ];
      parts.push(made.run(...operations.slice(step % 3)).recordBytes);
      made.now += step % 5;
      if (step % 10 === 0) parts.push(made.advance(made.now).recordBytes);
    }
    return { made, log: Buffer.concat(parts) };
  };

  const expectEqual = (folded: Drive, made: Drive, partitions = 64): void => {
    folded.now = made.now;
    expect(folded.state()).toEqual(made.state());
    for (let partition = 0; partition < partitions; partition++) {
      expect(folded.engine.revisionOf(partition)).toBe(made.engine.revisionOf(partition));
    }
    expect([folded.keys, folded.memoryBytes]).toEqual([made.keys, made.memoryBytes]);
  };

  describe('fold', () => {
    it.each([1, 64])('of all records gives an equal engine, %i partitions', (partitions) => {
      const { made, log } = history({ partitions });
      const folded = drive({ partitions });
      folded.engine.fold(log);
      expectEqual(folded, made, partitions);
      // And it goes on alike.
      for (const d of [made, folded]) d.now += 30;
      const advanced = made.advance(made.now);
      expect(advanced.expired).toBeGreaterThan(0);
      expect(folded.advance(folded.now).recordBytes).toEqual(advanced.recordBytes);
      const next = [put('key/1', 'x', { ttl: 'keep' }), increment('n1', 3), del('key/2')];
      expect(folded.run(...next)).toEqual(made.run(...next));
    });

    it('in pieces gives the same as at once', () => {
      const { made, log } = history();
      const folded = drive();
      for (const record of decodeRecords(log)) folded.engine.fold(encodeRecords([record]));
      expectEqual(folded, made);
    });

    it('in pieces of all sizes, read now and then, gives the same', () => {
      // The order of keys falls behind while records are folded; reading makes it good, in one way
      // after many changes and in another after few. Values of other lengths move to other blocks.
      const made = drive({ partitions: 4 });
      const folded = drive({ partitions: 4 });
      let pending: Uint8Array[] = [];
      for (let step = 0; step < 261; step++) {
        const large = step % 20 === 0;
        const operations = Array.from({ length: large ? 900 : 1 + (step % 7) }, (_, at) => {
          const mixed = Math.imul(step * 1009 + at + 1, 0x9e3779b1) >>> 8;
          const key = `k/${mixed % 6000}`;
          return mixed % 5 === 0 ? del(key) : put(key, 'x'.repeat(mixed % 250));
        });
        // A key that comes, moves, goes and comes again within one piece.
        operations.push(put('k/t', ''), put('k/t', 'y'.repeat(500)), del('k/t'));
        if (step % 3 > 0) operations.push(put('k/t', 'z'));
        pending.push(made.run(...operations).recordBytes);
        if (step % 4 === 3) continue;
        folded.engine.fold(Buffer.concat(pending));
        pending = [];
        if (step % 3 === 0) expectEqual(folded, made, 4);
      }
      expectEqual(folded, made, 4);
      expect(made.keys).toBeGreaterThan(2000);
    });

    it('does not hold on to the memory of large values that are gone', () => {
      const made = drive();
      const value = new Uint8Array(1024 * 1024).fill(0x61);
      const parts: Uint8Array[] = [];
      for (let step = 0; step < 80; step++) {
        parts.push(made.run(put(`k/${step % 3}`, value)).recordBytes);
        parts.push(made.run(put(`k/${step % 3}`, 'small')).recordBytes);
      }
      const folded = drive();
      folded.engine.fold(Buffer.concat(parts));
      expectEqual(folded, made);
    });

    it('takes nothing as nothing', () => {
      const d = drive();
      d.engine.fold(new Uint8Array(0));
      expect(d.state()).toEqual([]);
    });

    it('reads bytes at any offset of their memory and keeps nothing of them', () => {
      const { made, log } = history();
      const folded = drive();
      const shifted = Buffer.concat([new Uint8Array(3), log]).subarray(3);
      folded.engine.fold(shifted);
      shifted.fill(0xee);
      expectEqual(folded, made);
    });

    it('decides nothing: no expiry, no memory bound', () => {
      const { made, log } = history();
      const folded = drive({ memoryBytesMax: 1 });
      folded.engine.fold(log);
      expectEqual(folded, made);
      expect(folded.status(put('new', ''))).toBe('RESOURCE_EXHAUSTED');
    });

    it('moves time to that of the records', () => {
      const d = drive();
      d.engine.fold(encodeRecords([record({ time: 5000, expiresAt: 6000 })]));
      d.now = 10;
      expect(d.one(get('k'))).toMatchObject({ status: 'OK', ttlMs: 1000 });
    });

    it('takes effects on keys that are not there', () => {
      const d = drive();
      const effects = [DELETE, EXPIRE, TOUCH].map((kind, at) => record({ kind, revision: at + 1 }));
      d.engine.fold(encodeRecords(effects.map((effect) => ({ ...effect, value: bytes('') }))));
      expect(d.keys).toBe(0);
      expect(d.engine.revisionOf(partitionOfK)).toBe(3);
    });

    it('counts no operation', () => {
      const d = drive();
      d.engine.fold(encodeRecords([record({})]));
      expect(d.engine.counters.every((count) => count === 0)).toBe(true);
      expect([d.keys, d.memoryBytes]).toEqual([1, 96 + 2]);
    });
  });

  // The key `k` is in the same partition of 64 in every engine; the partition suite checks that.
  let partitionOfK = 0;
  const record = (fields: Partial<EffectRecord>): EffectRecord => {
    partitionOfK = drive().engine.partitionOf(bytes('k'));
    return {
      kind: PUT,
      partition: partitionOfK,
      revision: 1,
      time: 1_000_000,
      expiresAt: 0,
      key: bytes('k'),
      value: bytes('v'),
      ...fields,
    };
  };
  const patched = (at: number, value: number, base: Partial<EffectRecord> = {}): Uint8Array => {
    const encoded = new Uint8Array(encodeRecords([record(base)]));
    encoded[at] = value;
    return encoded;
  };
  const malformed: Record<string, () => Uint8Array> = {
    'one byte': () => new Uint8Array(1),
    zeroes: () => new Uint8Array(HEADER + 8),
    'a header only': () => encodeRecords([record({})]).subarray(0, HEADER),
    'a record cut by 8 bytes': () =>
      encodeRecords([record({ value: new Uint8Array(20) })]).subarray(0, -8),
    'a record cut by one byte': () => encodeRecords([record({})]).subarray(0, -1),
    'a record and one byte more': () =>
      Buffer.concat([encodeRecords([record({})]), new Uint8Array(1)]),
    'a record and 8 zeroes': () => Buffer.concat([encodeRecords([record({})]), new Uint8Array(8)]),
    'kind 0': () => encodeRecords([record({ kind: 0 })]),
    'a kind of a later version': () => encodeRecords([record({ kind: 10 })]),
    'kind 255': () => encodeRecords([record({ kind: 255 })]),
    'a byte that must be zero, after the kind': () => patched(7, 1),
    'padding that is not zero': () => patched(HEADER + 7, 1),
    'an empty key': () => encodeRecords([record({ key: bytes('') })]),
    'a key that is too long': () =>
      encodeRecords([record({ key: new Uint8Array(1025).fill(107) })]),
    'a delete with a value': () => encodeRecords([record({ kind: DELETE })]),
    'an expire with a value': () => encodeRecords([record({ kind: EXPIRE })]),
    'a touch with a value': () => encodeRecords([record({ kind: TOUCH })]),
    'a delete with an expiry': () =>
      encodeRecords([record({ kind: DELETE, value: bytes(''), expiresAt: 5 })]),
    'an expire with an expiry': () =>
      encodeRecords([record({ kind: EXPIRE, value: bytes(''), expiresAt: 5 })]),
    'a revision of 0': () => encodeRecords([record({ revision: 0 })]),
    'a revision that leaves one out': () => encodeRecords([record({ revision: 2 })]),
    'a revision twice': () => encodeRecords([record({}), record({})]),
    'revisions backwards': () => encodeRecords([record({}), record({ revision: 3 })]),
    'a revision of 2^53': () => patched(16 + 6, 0x20, { revision: 0 }),
    'a revision of 2^64 - 1': () => patched(16 + 7, 0xff),
    'a time of 2^53': () => patched(24 + 6, 0x20, { time: 0 }),
    'an expiry of 2^53': () => patched(32 + 6, 0x20),
    "another partition than the key's": () =>
      encodeRecords([record({ partition: (partitionOf() + 1) % 64 })]),
    'a partition that is not there': () => encodeRecords([record({ partition: 64 })]),
    'partition 2^32 - 1': () => encodeRecords([record({ partition: 2 ** 32 - 1 })]),
    'a value length beyond the end': () => patched(2, 1),
    'a value length of 4 GiB': () => {
      const encoded = new Uint8Array(encodeRecords([record({})]));
      return encoded.fill(0xff, 0, 4);
    },
  };
  const partitionOf = () => drive().engine.partitionOf(bytes('k'));

  describe('fold refuses', () => {
    it.each(Object.entries(malformed))('%s', (_name, make) => {
      const d = drive();
      d.one(put('other{x}', 'held', { ttl: 500 }));
      const before = [d.state(), d.engine.revisionOf(partitionOf()), d.keys, d.memoryBytes];
      const bad = make();
      const refused = expect.objectContaining({ name: 'EngineError', code: 'RECORDS_MALFORMED' });
      expect(() => d.engine.fold(bad)).toThrowError(refused);
      // Also behind records that are in order: those are not applied either.
      const good = record({ key: bytes('fine{y}'), partition: d.engine.partitionOf(bytes('y')) });
      const revision = d.engine.revisionOf(good.partition) + 1;
      const both = Buffer.concat([encodeRecords([{ ...good, revision }]), bad]);
      expect(() => d.engine.fold(both)).toThrowError(refused);
      expect([d.state(), d.engine.revisionOf(partitionOf()), d.keys, d.memoryBytes]).toEqual(
        before,
      );
      // What was refused leaves the engine able to fold what is right.
      d.engine.fold(encodeRecords([{ ...good, revision }]));
      expect(d.keys).toBe(2);
    });

    it('a cut at every byte of a log', () => {
      const log = encodeRecords([record({}), record({ revision: 2, value: bytes('second') })]);
      const whole = encodeRecords([record({})]).length;
      const d = drive();
      for (let cut = 1; cut < log.length; cut++) {
        if (cut === whole) continue;
        expect(() => d.engine.fold(log.subarray(0, cut)), `${cut}`).toThrowError();
      }
      expect(d.keys).toBe(0);
      d.engine.fold(log);
      expect(d.keys).toBe(1);
    });
  });
}
