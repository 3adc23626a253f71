// Memory accounting and its bound, full buffers and going on after them, options out of range.

import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../../ts/engine/engine.js';
import {
  ENTRY_OVERHEAD_BYTES,
  OPERATIONS_PER_FRAME_MAX,
  PARTITIONS_MAX,
  RESULTS_PER_REPLY_MAX,
  SCAN_ENTRIES_MAX,
  VALUE_BYTES_CONFIGURABLE_MAX,
} from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import { text } from '../../drive/drive.js';
import { type CreateEngine, OPTIONS } from '../../drive/engines.js';
import { del, get, increment, put, scan, touch } from '../../drive/operations.js';
import { drives } from './drives.js';

const MIB = 1024 * 1024;

export function limitsContract(create: CreateEngine): void {
  const drive = drives(create);

  describe('memory', () => {
    it('is keys, values and a fixed overhead a key, and goes back to 0', () => {
      const d = drive();
      const expected = (key: number, value: number) => key + value + ENTRY_OVERHEAD_BYTES;
      d.run(put('k', 'value'));
      expect(d.memoryBytes).toBe(expected(1, 5));
      d.run(put('k', 'longer value'));
      expect(d.memoryBytes).toBe(expected(1, 12));
      d.run(put('k', ''));
      expect(d.memoryBytes).toBe(expected(1, 0));
      d.run(increment('n', 100), touch('n', 5));
      expect(d.memoryBytes).toBe(expected(1, 0) + expected(1, 3));
      d.advance(d.now + 5);
      expect(d.memoryBytes).toBe(expected(1, 0));
      d.run(del('k'));
      expect([d.memoryBytes, d.keys]).toEqual([0, 0]);
    });

    it('refuses a write beyond the bound, to the byte', () => {
      const bound = ENTRY_OVERHEAD_BYTES + 1 + 10;
      const d = drive({ memoryBytesMax: bound });
      expect(d.brief(put('k', 'x'.repeat(11)))).toBe('RESOURCE_EXHAUSTED 0');
      expect(d.keys).toBe(0);
      expect(d.brief(put('k', 'x'.repeat(10)))).toBe('OK 1');
      expect(d.memoryBytes).toBe(bound);
      const { results, records } = d.run(put('k', 'x'.repeat(11)), put('l', ''), increment('n', 1));
      expect(results.map(({ status, revision, ttlMs }) => [status, revision, ttlMs])).toEqual([
        ['RESOURCE_EXHAUSTED', 1, 0],
        ['RESOURCE_EXHAUSTED', 0, 0],
        ['RESOURCE_EXHAUSTED', 0, 0],
      ]);
      expect(records).toEqual([]);
      expect(text(d.one(get('k')).value)).toBe('x'.repeat(10));
    });

    it('lets through reads, deletes, touches and writes that do not grow', () => {
      const d = drive({ memoryBytesMax: ENTRY_OVERHEAD_BYTES + 1 + 2 });
      d.one(put('n', '98'));
      expect(d.status(get('n'))).toBe('OK');
      expect(d.page(scan('')).keys).toEqual(['n']);
      expect(d.status(touch('n', 1000))).toBe('OK');
      expect(d.status(put('n', '97'))).toBe('OK');
      expect(d.status(increment('n', 2))).toBe('OK');
      expect(d.brief(increment('n', 1))).toBe('RESOURCE_EXHAUSTED 4');
      expect(d.status(put('n', '9'))).toBe('OK');
      expect(d.status(increment('n', 90))).toBe('OK');
      expect(d.status(del('n'))).toBe('OK');
      expect(d.status(put('n', '12'))).toBe('OK');
    });

    it('looks at the condition first', () => {
      const d = drive({ memoryBytesMax: ENTRY_OVERHEAD_BYTES + 2 });
      d.one(put('k', 'v'));
      expect(d.status(put('k', 'large', { ifAbsent: true }))).toBe('ALREADY_EXISTS');
      expect(d.status(put('k', 'large', { ifRevision: 9 }))).toBe('REVISION_MISMATCH');
      expect(d.status(increment('k', 1))).toBe('NOT_A_NUMBER');
      expect(d.status(put('k', 'large', { ifRevision: 1 }))).toBe('RESOURCE_EXHAUSTED');
    });

    it('gets room back from a key that has expired', () => {
      const d = drive({ memoryBytesMax: ENTRY_OVERHEAD_BYTES + 5 });
      d.one(put('k', 'xxxx', { ttl: 10 }));
      d.now += 10;
      expect(d.status(put('l', ''))).toBe('RESOURCE_EXHAUSTED'); // Nobody has met `k` yet.
      expect(d.status(put('k', 'yyyy', { ttl: 10 }))).toBe('OK');
      d.advance(d.now + 10);
      expect(d.status(put('l', ''))).toBe('OK');
    });

    it('keeps a key that has expired out even when its successor does not fit', () => {
      const d = drive({ memoryBytesMax: ENTRY_OVERHEAD_BYTES + 5 });
      d.one(put('k', 'xxxx', { ttl: 10 }));
      d.now += 10;
      const { results, records } = d.run(put('k', 'too large'));
      expect(results[0]).toMatchObject({ status: 'RESOURCE_EXHAUSTED', revision: 0 });
      expect(records).toHaveLength(1);
      expect([d.keys, d.memoryBytes]).toEqual([0, 0]);
    });
  });

  describe('full buffers', () => {
    it('stops between operations when the reply is full, and goes on', () => {
      const d = drive();
      for (let index = 0; index < 10; index++) {
        d.one(put(`k${index}`, new Uint8Array(MIB).fill(index)));
      }
      const operations = Array.from({ length: 10 }, (_, index) => get(`k${index}`));
      const { results, replies, records } = d.run(...operations);
      expect(replies.length).toBeGreaterThan(3);
      expect(replies.every((reply) => reply.length <= d.engine.reply.length)).toBe(true);
      expect(results.map(({ id }) => id)).toEqual(operations.map((_, index) => index + 1));
      for (const [index, { value }] of results.entries()) {
        expect(Buffer.compare(value, new Uint8Array(MIB).fill(index))).toBe(0);
      }
      expect(records).toEqual([]);
    });

    it('executes each operation once over several calls', () => {
      const d = drive();
      d.one(put('large', new Uint8Array(MIB)));
      const operations = Array.from({ length: 24 }, (_, index) =>
        index % 2 === 0 ? increment('n', 1) : get('large'),
      );
      const { results, replies } = d.run(...operations);
      expect(replies.length).toBeGreaterThan(2);
      expect(results.filter((_, index) => index % 2 === 0).map(({ value }) => text(value))).toEqual(
        Array.from({ length: 12 }, (_, index) => `${index + 1}`),
      );
    });

    it('answers in frames of at most RESULTS_PER_REPLY_MAX results', () => {
      const d = drive();
      const operations = Array.from({ length: OPERATIONS_PER_FRAME_MAX }, () => increment('n', 1));
      const { results, replies, records } = d.run(...operations);
      expect(replies).toHaveLength(OPERATIONS_PER_FRAME_MAX / RESULTS_PER_REPLY_MAX);
      expect(results).toHaveLength(OPERATIONS_PER_FRAME_MAX);
      expect(records).toHaveLength(OPERATIONS_PER_FRAME_MAX);
      expect(text(results.at(-1)!.value)).toBe(`${OPERATIONS_PER_FRAME_MAX}`);
    });

    it('refuses a frame of more operations than OPERATIONS_PER_FRAME_MAX', () => {
      const d = drive();
      const operations = Array.from({ length: OPERATIONS_PER_FRAME_MAX + 1 }, () => get('k'));
      expect(d.run(...operations).refusal).toBe(Status.TooManyOperations);
    });

    it('stops when the records are full, and goes on', () => {
      // Expired keys make records that the frame does not pay for.
      const d = drive({ valueBytesMax: 1 });
      const keys = Array.from({ length: 4000 }, (_, at) => `${at}`.padStart(1000, 'k'));
      for (const key of keys) d.one(put(key, '', { ttl: 10 }));
      d.now += 10;
      const { results, records } = d.run(...keys.map((key) => put(key, '1')));
      expect(results.every(({ status }) => status === 'OK')).toBe(true);
      expect(records).toHaveLength(8000);
      expect(records.map(({ key }) => text(key))).toEqual(keys.flatMap((key) => [key, key]));
    });

    it('gives a scan a reply of its own where it needs one', () => {
      const d = drive();
      for (let at = 0; at < SCAN_ENTRIES_MAX; at++) d.one(put(`k${at}`, 'v'));
      const page = scan('', { limit: SCAN_ENTRIES_MAX });
      const { results, replies } = d.run(get('k1'), page, page, get('k2'), page);
      expect(results).toHaveLength(3 * (SCAN_ENTRIES_MAX + 1) + 2);
      expect(replies.length).toBeGreaterThanOrEqual(3);
      expect(results.filter(({ count }) => count > 0).map(({ id, count }) => [id, count])).toEqual([
        [2, SCAN_ENTRIES_MAX],
        [3, SCAN_ENTRIES_MAX],
        [5, SCAN_ENTRIES_MAX],
      ]);
    });

    it('holds the largest value in a reply, alone and beside others', () => {
      const d = drive({ valueBytesMax: 6 * MIB });
      const value = new Uint8Array(6 * MIB).fill(7);
      expect(d.status(put('k', value))).toBe('OK');
      const { results } = d.run(get('k'), get('none'), get('k'), scan(''));
      expect(results.map((result) => [result.id, result.value.length])).toEqual([
        [1, value.length],
        [2, 0],
        [3, value.length],
        [4, value.length],
        [4, 0],
      ]);
      expect(Buffer.compare(results[3]!.value, value)).toBe(0);
    });

    it('refuses a frame above its bound', () => {
      const d = drive();
      const { refusal } = d.run(
        ...Array.from({ length: 4 }, (_, at) => put(`k${at}`, new Uint8Array(MIB))),
      );
      expect(refusal).toBe(Status.FrameTooLarge);
      expect(d.keys).toBe(0);
    });
  });

  describe('options', () => {
    const wrong: Partial<EngineOptions>[] = [
      { partitions: 0 },
      { partitions: 3 },
      { partitions: 1.5 },
      { partitions: Number.NaN },
      { partitions: PARTITIONS_MAX * 2 },
      { valueBytesMax: 0 },
      { valueBytesMax: VALUE_BYTES_CONFIGURABLE_MAX + 1 },
      { memoryBytesMax: -1 },
      { memoryBytesMax: Number.POSITIVE_INFINITY },
      { hashSeed: -1 },
      { hashSeed: 2 ** 32 },
    ];
    it.each(wrong)('refuses %o', (options) => {
      expect(() => create({ ...OPTIONS, ...options })).toThrowError(
        expect.objectContaining({ name: 'EngineError', code: 'OPTIONS_INVALID' }),
      );
    });

    it('hash seeds show in no output', () => {
      const outputs = [0, 1, 2 ** 32 - 1].map((hashSeed) => {
        const d = drive({ hashSeed });
        const writes = Array.from({ length: 200 }, (_, at) => put(`k${at}`, `${at}`, { ttl: 5 }));
        const { recordBytes, replies } = d.run(...writes, scan('', { limit: 500 }));
        return [recordBytes, ...replies, d.advance(d.now + 5).recordBytes].map((part) =>
          Buffer.from(part).toString('hex'),
        );
      });
      expect(outputs[1]).toEqual(outputs[0]);
      expect(outputs[2]).toEqual(outputs[0]);
    });
  });
}
