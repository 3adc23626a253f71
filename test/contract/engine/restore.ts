// A snapshot becomes state: put records in the order of keys, in as many pieces as one likes, and the
// revisions of the partitions beside them.

import { describe, expect, it } from 'vitest';
import { VALUE_BYTES_CONFIGURABLE_MAX } from '../../../ts/wire/limits.js';
import { partitionOfKey } from '../../../ts/wire/partition.js';
import type { Drive } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, get, put, scan } from '../../drive/operations.js';
import { type EffectRecord, encodeRecords, HEADER } from '../../drive/records.js';
import { drives } from './drives.js';

const PUT = 1;
const TOUCH = 4;

export function restoreContract(create: CreateEngine): void {
  const drive = drives(create);
  const malformed = expect.objectContaining({ name: 'EngineError', code: 'RECORDS_MALFORMED' });

  const record = (key: string, fields: Partial<EffectRecord> = {}): EffectRecord => ({
    kind: PUT,
    partition: partitionOfKey(bytes(key), 0, bytes(key).length, 64),
    revision: 1,
    time: 1000,
    expiresAt: 0,
    key: bytes(key),
    value: bytes(`value of ${key}`),
    ...fields,
  });

  /** A state with expiries, and a snapshot of it. */
  const snapshot = (): { made: Drive; records: EffectRecord[]; revisions: Float64Array } => {
    const made = drive();
    for (let step = 0; step < 2000; step++) {
      const key = `key/${(step * 7919) % 701}`;
      made.run(put(key, 'x'.repeat(step % 90), step % 3 === 0 ? { ttl: 500 + step } : {}));
      if (step % 5 === 0) made.run({ code: 3, key: bytes(`key/${step % 97}`) });
    }
    const records = made.state().map(({ key, value, revision, ttlMs }) =>
      record(key, {
        revision,
        time: made.now,
        expiresAt: ttlMs === 0 ? 0 : made.now + ttlMs,
        value: bytes(value),
      }),
    );
    const revisions = Float64Array.from({ length: 64 }, (_, at) => made.engine.revisionOf(at));
    return { made, records, revisions };
  };

  describe('restore', () => {
    it.each([1, 37, 100_000])('of a snapshot gives an equal engine, %i records a call', (size) => {
      const { made, records, revisions } = snapshot();
      expect(records.length).toBeGreaterThan(300);
      const d = drive();
      for (let at = 0; at < records.length; at += size) {
        const piece = encodeRecords(records.slice(at, at + size));
        // At any offset of its memory, and nothing is kept of it.
        const shifted = Buffer.concat([new Uint8Array(3), piece]).subarray(3);
        d.engine.restore(shifted);
        shifted.fill(0xee);
      }
      d.engine.restoreRevisions(revisions, 0);
      d.now = made.now;
      expect(d.state()).toEqual(made.state());
      expect([d.keys, d.memoryBytes]).toEqual([made.keys, made.memoryBytes]);
      for (const each of [made, d]) each.now += 700;
      expect(d.advance(d.now)).toEqual(made.advance(made.now));
      const next = [put('key/1', 'y', { ttl: 'keep' }), put('a', '1'), scan('key/1')];
      expect(d.run(...next)).toEqual(made.run(...next));
    });

    it('takes nothing as nothing', () => {
      const d = drive();
      d.engine.restore(new Uint8Array(0));
      expect(d.state()).toEqual([]);
    });

    it('takes any revision, and the partition the highest', () => {
      const d = drive({ partitions: 1 });
      const revisions = [7, 3, 2 ** 53 - 2, 5];
      const records = revisions.map((revision, at) => record(`k${at}`, { partition: 0, revision }));
      d.engine.restore(encodeRecords(records.slice(0, 2)));
      expect(d.engine.revisionOf(0)).toBe(7);
      d.engine.restore(encodeRecords(records.slice(2)));
      expect(d.engine.revisionOf(0)).toBe(2 ** 53 - 2);
      expect(d.state().map(({ revision }) => revision)).toEqual(revisions);
    });

    it('moves time to that of the records', () => {
      const d = drive();
      d.engine.restore(encodeRecords([record('k', { time: 5000, expiresAt: 6000 })]));
      d.now = 10;
      expect(d.one(get('k'))).toMatchObject({ status: 'OK', ttlMs: 1000 });
    });

    it('decides nothing: no expiry, no memory bound', () => {
      const d = drive({ memoryBytesMax: 1 });
      d.engine.restore(encodeRecords([record('a', { expiresAt: 1 }), record('b')]));
      expect(d.keys).toBe(2);
    });

    it('goes on after records that were folded', () => {
      const d = drive();
      d.engine.fold(encodeRecords([record('m')]));
      d.engine.restore(encodeRecords([record('n', { revision: 8 }), record('o')]));
      expect(d.page(scan('')).keys).toEqual(['m', 'n', 'o']);
    });
  });

  describe('restore refuses', () => {
    const bad: Record<string, () => Uint8Array> = {
      'one byte': () => new Uint8Array(1),
      'a record that is cut': () => encodeRecords([record('n')]).subarray(0, -1),
      'a record and zeroes': () => Buffer.concat([encodeRecords([record('n')]), Buffer.alloc(8)]),
      'another kind': () => encodeRecords([record('n', { kind: TOUCH, value: bytes('') })]),
      'a revision of 0': () => encodeRecords([record('n', { revision: 0 })]),
      'a key twice': () => encodeRecords([record('n'), record('n', { revision: 2 })]),
      'keys that descend': () => encodeRecords([record('nn'), record('n')]),
      'the key that is held': () => encodeRecords([record('held')]),
      'a key below one held': () => encodeRecords([record('ha'), record('n')]),
      'an empty key': () => encodeRecords([record('n', { key: bytes('') })]),
      "another partition than the key's": () =>
        encodeRecords([record('n', { partition: (record('n').partition + 1) % 64 })]),
      'a partition that is not there': () => encodeRecords([record('n', { partition: 64 })]),
    };
    it.each(Object.entries(bad))('%s', (_name, make) => {
      const d = drive();
      d.engine.restore(encodeRecords([record('held', { revision: 5 })]));
      const before = [d.state(), d.keys, d.memoryBytes];
      const good = encodeRecords([record('i')]);
      for (const records of [make(), Buffer.concat([good, make()])]) {
        expect(() => d.engine.restore(records)).toThrowError(malformed);
        expect([d.state(), d.keys, d.memoryBytes]).toEqual(before);
      }
      d.engine.restore(good);
      expect(d.keys).toBe(2);
    });
  });

  describe('a value above the bound', () => {
    const tooLarge = (length: number) =>
      expect.objectContaining({
        name: 'EngineError',
        code: 'RECORD_TOO_LARGE',
        message: expect.stringMatching(
          new RegExp(`${length} bytes.*--value-bytes-max to at least ${length}\\b`),
        ),
      });

    it.each(['fold', 'restore'] as const)('is told apart by %s', (call) => {
      const d = drive({ valueBytesMax: 100 });
      const records = (length: number) =>
        encodeRecords([record('a'), record('b{a}', { revision: 2, value: Buffer.alloc(length) })]);
      for (const length of [101, 5000]) {
        expect(() => d.engine[call](records(length))).toThrowError(tooLarge(length));
        expect(d.keys).toBe(0);
      }
      // What no node can be configured to take is no record.
      const impossible = Buffer.from(encodeRecords([record('a')]));
      impossible.writeUInt32LE(VALUE_BYTES_CONFIGURABLE_MAX + 1, 0);
      expect(() => d.engine[call](impossible)).toThrowError(malformed);
      d.engine[call](records(100));
      expect(d.keys).toBe(2);
    });

    it('does not hide that the records are malformed before it', () => {
      const d = drive({ valueBytesMax: 100 });
      const large = encodeRecords([record('a', { revision: 2, value: Buffer.alloc(200) })]);
      expect(() => d.engine.fold(large)).toThrowError(malformed);
      const cut = Buffer.concat([
        encodeRecords([record('a', { value: Buffer.alloc(200) })]),
        cutOff,
      ]);
      expect(() => d.engine.fold(cut)).toThrowError(tooLarge(200));
    });
    const cutOff = Buffer.alloc(HEADER - 1);

    it('leaves a counter its digits', () => {
      const d = drive({ valueBytesMax: 1 });
      d.engine.fold(encodeRecords([record('n', { value: bytes('-9223372036854775808') })]));
      expect(d.keys).toBe(1);
    });
  });

  describe('restoreRevisions', () => {
    it('sets the revision that the next record follows', () => {
      const d = drive({ partitions: 4 });
      d.engine.restoreRevisions(Float64Array.of(5, 0, 2 ** 53 - 2, 9), 0);
      expect([0, 1, 2, 3].map((at) => d.engine.revisionOf(at))).toEqual([5, 0, 2 ** 53 - 2, 9]);
      const at = d.engine.partitionOf(bytes('k'));
      const next = d.engine.revisionOf(at) + 1;
      expect(d.brief(put('k', '1'))).toBe(`OK ${next}`);
      d.engine.restoreRevisions(
        Float64Array.from({ length: 4 }, () => 2 ** 53 - 1),
        0,
      );
      expect(d.engine.revisionOf(1)).toBe(2 ** 53 - 1);
    });

    it.each([
      ['one too few', [4, 4, 4]],
      ['one too many', [4, 4, 4, 4, 4]],
      ['one below the present one', [4, 4, 2, 4]],
      ['a fraction', [4, 4, 4, 4.5]],
      ['no number', [4, Number.NaN, 4, 4]],
      ['2^53', [4, 4, 4, 2 ** 53]],
      ['Infinity', [Infinity, 4, 4, 4]],
      ['a negative one', [4, 4, -1, 4]],
    ])('refuses %s', (_name, revisions) => {
      const d = drive({ partitions: 4 });
      d.engine.restoreRevisions(Float64Array.of(3, 3, 3, 3), 0);
      expect(() => d.engine.restoreRevisions(Float64Array.from(revisions), 0)).toThrowError(
        malformed,
      );
      expect([0, 1, 2, 3].map((at) => d.engine.revisionOf(at))).toEqual([3, 3, 3, 3]);
    });

    it('moves time on, so that what had expired stays so', () => {
      const d = drive({ partitions: 1 });
      d.engine.restore(encodeRecords([record('k', { partition: 0, expiresAt: 500, time: 100 })]));
      d.engine.restoreRevisions(Float64Array.of(7), 500);
      expect(d.engine.advance(200)).toBe(1);
      for (const time of [-1, Number.NaN, Infinity, 2 ** 53]) {
        expect(() => d.engine.restoreRevisions(Float64Array.of(9), time)).toThrowError(malformed);
      }
      expect(d.engine.revisionOf(0)).toBe(8);
    });
  });
}
