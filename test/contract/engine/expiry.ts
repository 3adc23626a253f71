// Step 5 and `advance`: keys end at their expiry, met by an operation or by time; both make the same
// record. Time never runs backwards.

import { describe, expect, it } from 'vitest';
import { EXPIRIES_PER_ADVANCE_MAX } from '../../../ts/wire/limits.js';
import { text } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, del, get, increment, put, scan, touch } from '../../drive/operations.js';
import { encodeRecords, RECORD_KINDS } from '../../drive/records.js';
import { drives } from './drives.js';

export function expiryContract(create: CreateEngine): void {
  const drive = drives(create);

  describe('expiry on access', () => {
    it('comes at `now >= expiry`, not before', () => {
      const d = drive();
      d.one(put('k', 'v', { ttl: 10 }));
      d.now += 9;
      expect(d.one(get('k'))).toMatchObject({ status: 'OK', ttlMs: 1 });
      d.now += 1;
      expect(d.one(get('k'))).toMatchObject({ status: 'NOT_FOUND', revision: 0 });
    });

    it.each([
      ['get', get('k'), 'NOT_FOUND 0'],
      ['get keys_only', get('k', { keysOnly: true }), 'NOT_FOUND 0'],
      ['put', put('k', 'w'), 'OK 3'],
      ['put if absent', put('k', 'w', { ifAbsent: true }), 'OK 3'],
      ['put if revision', put('k', 'w', { ifRevision: 1 }), 'REVISION_MISMATCH 0'],
      ['put if revision 0', put('k', 'w', { ifRevision: 0 }), 'OK 3'],
      ['put keeping the ttl', put('k', 'w', { ttl: 'keep' }), 'OK 3'],
      ['delete', del('k'), 'NOT_FOUND 0'],
      ['delete if revision', del('k', { ifRevision: 1 }), 'NOT_FOUND 0'],
      ['increment', increment('k', 4), 'OK 3'],
      ['touch', touch('k', 100), 'NOT_FOUND 0'],
    ])('is recorded before %s', (_name, operation, answer) => {
      const d = drive();
      d.one(put('k', '1', { ttl: 10 }));
      d.now += 10;
      const { results, records } = d.run(operation);
      expect(`${results[0]?.status} ${results[0]?.revision}`).toBe(answer);
      expect(results[0]?.ttlMs).toBe(0);
      expect(RECORD_KINDS[records[0]?.kind ?? 0]).toBe('expire');
      expect(records[0]).toMatchObject({ revision: 2, time: d.now, expiresAt: 0 });
      expect(records).toHaveLength(answer === 'OK 3' ? 2 : 1);
      expect(d.run(get('k')).records).toEqual([]);
    });

    it('does not come for an operation that is refused before it', () => {
      const d = drive({ valueBytesMax: 4 });
      d.one(put('k', 'v', { ttl: 10 }));
      d.now += 10;
      const { records } = d.run({ ...get('k'), limit: 1 }, put('k', 'large'));
      expect(records).toEqual([]);
      expect(d.keys).toBe(1);
    });

    it('does not come through a scan, which passes expired keys over', () => {
      const d = drive();
      d.run(put('a', '1', { ttl: 10 }), put('b', '2'), put('c', '3', { ttl: 10 }));
      d.now += 10;
      const { results, records } = d.run(scan(''));
      expect(results.map(({ key }) => text(key))).toEqual(['b', '']);
      expect(records).toEqual([]);
      expect(d.keys).toBe(3);
    });
  });

  describe('advance', () => {
    it('expires what is due, oldest first, and leaves the rest', () => {
      const d = drive();
      for (const [key, ttl] of [
        ['c', 30],
        ['a', 10],
        ['d', 31],
        ['b', 20],
      ] as const) {
        d.one(put(key, key, { ttl }));
      }
      const { expired, records } = d.advance(d.now + 30);
      expect(expired).toBe(3);
      expect(records.map(({ key }) => text(key))).toEqual(['a', 'b', 'c']);
      for (const record of records) {
        expect(RECORD_KINDS[record.kind]).toBe('expire');
        expect(record).toMatchObject({ time: d.now, expiresAt: 0 });
        expect(record.revision).toBe(d.engine.revisionOf(record.partition));
      }
      expect(d.keys).toBe(1);
      expect(d.one(get('d'))).toMatchObject({ status: 'OK', ttlMs: 1 });
    });

    it('orders equal expiries by partition, then by revision', () => {
      const d = drive();
      const keys = Array.from({ length: 200 }, (_, index) => `key-${index}`);
      for (const key of keys) d.one(put(key, '', { ttl: 10 }));
      d.one(put('key-3', '', { ttl: 10 })); // Now the newest of its partition.
      const { records } = d.advance(d.now + 10);
      const places = records.map(({ key, partition, revision }) => ({
        key: text(key),
        partition,
        revision,
      }));
      const sorted = places.toSorted(
        (left, right) => left.partition - right.partition || left.revision - right.revision,
      );
      expect(places).toEqual(sorted);
      const partition = d.engine.partitionOf(bytes('key-3'));
      const within = places.filter((place) => place.partition === partition);
      expect(within.at(-1)?.key).toBe('key-3');
    });

    it('follows changes of expiry', () => {
      const d = drive();
      d.run(put('a', '', { ttl: 10 }), put('b', '', { ttl: 20 }), put('c', '', { ttl: 30 }));
      d.run(touch('a', 40), touch('c', 5), put('b', ''), put('e', '', { ttl: 1 }), del('e'));
      expect(d.advance(d.now + 35).records.map(({ key }) => text(key))).toEqual(['c']);
      expect(d.advance(d.now + 5).records.map(({ key }) => text(key))).toEqual(['a']);
      expect(d.advance(d.now + 1_000_000).expired).toBe(0);
      expect(d.page(scan('')).keys).toEqual(['b']);
    });

    it('takes at most EXPIRIES_PER_ADVANCE_MAX a call', () => {
      const d = drive();
      const count = EXPIRIES_PER_ADVANCE_MAX + 10;
      for (let index = 0; index < count; index++) d.one(put(`k${index}`, '', { ttl: 1 + index }));
      const due = d.now + count;
      const first = d.advance(due);
      expect(first.expired).toBe(EXPIRIES_PER_ADVANCE_MAX);
      expect(first.records).toHaveLength(EXPIRIES_PER_ADVANCE_MAX);
      expect(text(first.records.at(-1)!.key)).toBe(`k${EXPIRIES_PER_ADVANCE_MAX - 1}`);
      expect(d.advance(due).expired).toBe(10);
      expect(d.advance(due).expired).toBe(0);
      expect(d.keys).toBe(0);
      expect(d.memoryBytes).toBe(0);
    });

    it('has room for the records of the longest keys', () => {
      const d = drive({ valueBytesMax: 1 });
      for (let index = 0; index < EXPIRIES_PER_ADVANCE_MAX; index++) {
        d.one(put(`${index}`.padStart(1024, 'x'), '', { ttl: 1 }));
      }
      const { expired, records } = d.advance(d.now + 1);
      expect(expired).toBe(EXPIRIES_PER_ADVANCE_MAX);
      expect(records).toHaveLength(EXPIRIES_PER_ADVANCE_MAX);
    });

    it('leaves nothing to do for keys met before', () => {
      const d = drive();
      d.one(put('k', 'v', { ttl: 5 }));
      d.now += 5;
      d.one(get('k'));
      expect(d.advance(d.now).expired).toBe(0);
    });
  });

  describe('time', () => {
    it('counts an earlier `now` as the latest seen', () => {
      const d = drive();
      const start = d.now;
      d.run(put('k', 'v', { ttl: 100 }));
      d.now = start + 50;
      d.run(get('k'));
      d.now = start - 1000;
      expect(d.one(get('k')).ttlMs).toBe(50);
      const { records } = d.run(put('k', 'w', { ttl: 10 }));
      expect(records[0]).toMatchObject({ time: start + 50, expiresAt: start + 60 });
    });

    it('is moved by advance, and not back by it', () => {
      const d = drive();
      const start = d.now;
      d.run(put('k', 'v', { ttl: 100 }));
      expect(d.engine.advance(start + 60)).toBe(0);
      expect(d.engine.advance(start)).toBe(0);
      d.now = start;
      expect(d.one(get('k')).ttlMs).toBe(40);
      expect(d.engine.advance(start + 100)).toBe(1);
      expect(d.engine.advance(0)).toBe(0);
    });

    it('ends at 2^53 - 1, also for an expiry', () => {
      // The sum went past it: the engines rounded differently and took back no such record.
      const last = Number.MAX_SAFE_INTEGER;
      const { records } = drive().run(put('k', 'v'));
      const d = drive();
      d.engine.fold(encodeRecords(records.map((record) => ({ ...record, time: last }))));
      expect(d.run(put('k', 'w', { ttl: 50 })).records[0]?.expiresAt).toBe(last);
    });

    it('holds the longest expiry exactly', () => {
      const d = drive();
      d.now = 8_000_000_000_000_000;
      const { records } = d.run(put('k', 'v', { ttl: 315_360_000_000 }));
      expect(records[0]?.expiresAt).toBe(8_000_315_360_000_000);
      d.now = 8_000_315_359_999_999;
      expect(d.one(get('k')).ttlMs).toBe(1);
    });
  });
}
