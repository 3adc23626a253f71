// Steps 1 to 4 of the contract: what is refused before the operation itself, and in which order. A
// refused operation changes nothing.

import { describe, expect, it } from 'vitest';
import {
  CONDITION_IF_ABSENT,
  CONDITION_IF_REVISION,
  FLAG_KEYS_ONLY,
  TTL_KEEP,
  TTL_SET,
} from '../../../ts/wire/layout.js';
import { KEY_BYTES_MAX, SCAN_ENTRIES_MAX, TTL_MS_MAX } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import type { CreateEngine } from '../../drive/engines.js';
import {
  del,
  deltaBytes,
  encodeRequest,
  get,
  increment,
  type Operation,
  put,
  scan,
  touch,
} from '../../drive/operations.js';
import { drives } from './drives.js';

const LIVE = 'live';
const codes = Object.entries({ get, del, touch }).map(([name, make]) => ({
  name,
  operation: make(LIVE),
}));
const WRITES = ['put', 'del', 'increment', 'touch'];
const valid: { name: string; operation: Operation }[] = [
  ...codes,
  { name: 'put', operation: put(LIVE, 'v') },
  { name: 'increment', operation: increment(LIVE, 1) },
  { name: 'scan', operation: scan(LIVE) },
];

/** Each valid operation with one field that it does not use or that is out of range. */
const invalidArguments: { name: string; operation: Operation }[] = [
  ...valid.flatMap(({ name, operation }) => [
    // A write may have these: fenced, ephemeral (put), once.
    ...(name === 'put' ? [] : WRITES.includes(name) ? [6] : [5, 6, 7]).map((bit) => ({
      name: `${name} with flag bit ${bit}`,
      operation: { ...operation, flags: (operation.flags ?? 0) | (1 << bit) },
    })),
    // Of a scan it is the address of a worker, of which there is one.
    {
      name: `${name} with a ttl but no ttl mode`,
      operation: { ...operation, ttlMs: name === 'scan' ? 2 : 1 },
    },
    {
      name: `${name} with a ttl in the high half only`,
      operation: { ...operation, ttlMs: 1n << 32n },
    },
    {
      name: `${name} with an expected revision but no condition`,
      operation: { ...operation, expectedRevision: 1 },
    },
    {
      name: `${name} with ttl mode 3`,
      operation: { ...operation, flags: (operation.flags ?? 0) | 0b1100 },
    },
    {
      name: `${name} with condition 3`,
      operation: { ...operation, flags: (operation.flags ?? 0) | 0b11 },
    },
  ]),
  ...valid
    .filter(({ name }) => name !== 'scan')
    .map(({ name, operation }) => ({
      name: `${name} with a limit`,
      operation: { ...operation, limit: 1 },
    })),
  ...valid
    .filter(({ name }) => name === 'get' || name === 'del' || name === 'touch')
    .map(({ name, operation }) => ({
      name: `${name} with a value`,
      operation: { ...operation, value: new Uint8Array(1) },
    })),
  ...valid
    .filter(({ name }) => name !== 'get' && name !== 'scan')
    .map(({ name, operation }) => ({
      name: `${name} with keys_only`,
      operation: { ...operation, flags: FLAG_KEYS_ONLY },
    })),
  ...valid
    .filter(({ name }) => name !== 'put')
    .map(({ name, operation }) => ({
      name: `${name} if absent`,
      operation: { ...operation, flags: (operation.flags ?? 0) | CONDITION_IF_ABSENT },
    })),
  ...valid
    .filter(({ name }) => name !== 'put' && name !== 'del')
    .map(({ name, operation }) => ({
      name: `${name} if revision`,
      operation: { ...operation, flags: (operation.flags ?? 0) | CONDITION_IF_REVISION },
    })),
  ...valid
    .filter(({ name }) => name === 'get' || name === 'del' || name === 'scan')
    .flatMap(({ name, operation }) => [
      {
        name: `${name} with a ttl`,
        operation: { ...operation, flags: (operation.flags ?? 0) | TTL_SET, ttlMs: 5 },
      },
      { name: `${name} keeping the ttl`, operation: { ...operation, flags: TTL_KEEP } },
    ]),
  { name: 'touch keeping the ttl', operation: { ...touch(LIVE), flags: TTL_KEEP } },
  { name: 'put if absent with a revision', operation: ifAbsentWithRevision() },
  ...[2n ** 53n, 2n ** 63n, 2n ** 64n - 1n].flatMap((revision) => [
    {
      name: `put if revision ${revision}`,
      operation: { ...put(LIVE, 'v', { ifRevision: 0 }), expectedRevision: revision },
    },
    {
      name: `delete if revision ${revision}`,
      operation: { ...del(LIVE, { ifRevision: 0 }), expectedRevision: revision },
    },
  ]),
  ...[0n, BigInt(TTL_MS_MAX) + 1n, 2n ** 53n, 2n ** 64n - 1n].flatMap((ttlMs) => [
    { name: `put with ttl ${ttlMs}`, operation: { ...put(LIVE, 'v', { ttl: 1 }), ttlMs } },
    { name: `increment with ttl ${ttlMs}`, operation: { ...increment(LIVE, 1, 1), ttlMs } },
    { name: `touch with ttl ${ttlMs}`, operation: { ...touch(LIVE, 1), ttlMs } },
  ]),
  ...[0, 1, 7, 9, 16].map((length) => ({
    name: `increment by a delta of ${length} bytes`,
    operation: { ...increment(LIVE, 1), value: new Uint8Array(length) },
  })),
  ...[0, SCAN_ENTRIES_MAX + 1, 2 ** 32 - 1].map((limit) => ({
    name: `scan with limit ${limit}`,
    operation: scan(LIVE, { limit }),
  })),
  {
    name: 'scan with a cursor that is too long',
    operation: scan(LIVE, { cursor: 'c'.repeat(KEY_BYTES_MAX + 1) }),
  },
];

const invalidUtf8: Record<string, number[]> = {
  'a lone continuation byte': [0x80],
  'a cut two-byte character': [0x61, 0xc3],
  'a cut three-byte character': [0xe2, 0x82],
  'a cut four-byte character': [0xf0, 0x9f, 0x98],
  'an overlong slash': [0xc0, 0xaf],
  'an overlong three-byte NUL': [0xe0, 0x80, 0x80],
  'a surrogate': [0xed, 0xa0, 0x80],
  'a code point above U+10FFFF': [0xf4, 0x90, 0x80, 0x80],
  'byte 0xFF': [0x61, 0xff, 0x62],
};

export function checksContract(create: CreateEngine): void {
  const drive = drives(create);

  describe('checks before the operation', () => {
    it.each([0, 7, 15, 26, 48, 255])('refuses the unknown code %i', (code) => {
      const d = drive();
      expect(d.status({ ...get(LIVE), code })).toBe('UNKNOWN_OPERATION');
      // An unknown code comes before everything else that is wrong.
      const wrong = { code, key: new Uint8Array(0), flags: 0xff, limit: 9, ttlMs: 2n ** 64n - 1n };
      expect(d.status(wrong)).toBe('UNKNOWN_OPERATION');
      expect(d.counted(0, Status.UnknownOperation)).toBe(2);
    });

    it.each(invalidArguments)('refuses $name', ({ operation }) => {
      const d = drive();
      d.one(put(LIVE, '5'));
      const before = d.state();
      const { results, records } = d.run(operation);
      expect(results).toHaveLength(1);
      expect(results[0]).toMatchObject({
        id: 1,
        status: 'INVALID_ARGUMENT',
        revision: 0,
        ttlMs: 0,
      });
      expect(records).toEqual([]);
      expect(d.state()).toEqual(before);
    });

    it.each(valid)('takes $name as it is', ({ operation }) => {
      const d = drive();
      d.one(put(LIVE, '5'));
      expect(d.run(operation).results.at(-1)?.status).toBe('OK');
    });

    it('finds a bad field before a bad key, and a bad key before a large value', () => {
      const d = drive({ valueBytesMax: 8 });
      const long = 'k'.repeat(KEY_BYTES_MAX + 1);
      const large = new Uint8Array(9);
      expect(d.status({ ...put(long, large), limit: 1 })).toBe('INVALID_ARGUMENT');
      expect(d.status(put(long, large))).toBe('KEY_TOO_LONG');
      expect(d.status(put('', large))).toBe('INVALID_KEY');
      expect(d.status(put(new Uint8Array([0xff]), large))).toBe('INVALID_KEY');
      expect(d.status(put('k', large))).toBe('VALUE_TOO_LARGE');
    });

    it.each(valid.filter(({ name }) => name !== 'scan'))('bounds the key of $name', (row) => {
      const d = drive();
      const status = (key: string) => d.status({ ...row.operation, key: Buffer.from(key) });
      expect(status('')).toBe('INVALID_KEY');
      expect(['OK', 'NOT_FOUND']).toContain(status('k'));
      expect(['OK', 'NOT_FOUND']).toContain(status('k'.repeat(KEY_BYTES_MAX)));
      expect(status('k'.repeat(KEY_BYTES_MAX + 1))).toBe('KEY_TOO_LONG');
      expect(status('k'.repeat(65_535))).toBe('KEY_TOO_LONG');
    });

    it('holds a key of 1,024 bytes apart from one of 1,023', () => {
      const d = drive();
      const key = 'é'.repeat(512);
      expect(d.brief(put(key, 'a'))).toMatch(/^OK/);
      expect(d.status(get(`${'é'.repeat(511)}x`))).toBe('NOT_FOUND');
      expect(Buffer.from(d.one(get(key)).value).toString()).toBe('a');
    });

    it('bounds prefix and cursor of a scan', () => {
      const d = drive();
      const max = 'p'.repeat(KEY_BYTES_MAX);
      expect(d.status(scan(max))).toBe('OK');
      expect(d.status(scan(`${max}p`))).toBe('KEY_TOO_LONG');
      expect(d.status(scan('', { cursor: max }))).toBe('OK');
      expect(d.status(scan('', { limit: 1 }))).toBe('OK');
      expect(d.status(scan('', { limit: SCAN_ENTRIES_MAX }))).toBe('OK');
    });

    it.each(Object.entries(invalidUtf8))('refuses a key with %s', (_name, key) => {
      const d = drive();
      for (const { name, operation } of valid) {
        const status = d.status({ ...operation, key: new Uint8Array(key) });
        expect(status, name).toBe(name === 'scan' ? 'OK' : 'INVALID_KEY');
      }
      expect(d.keys).toBe(0);
    });

    it.each(['\u0000', '\u007f', 'é', '€', '😀', '\ud7ff', '\ue000', '\u{10ffff}', 'a\u0000b'])(
      'takes the key %j',
      (key) => {
        const d = drive();
        d.one(put(key, 'v'));
        expect(d.page(scan('')).keys).toEqual([key]);
      },
    );

    it('bounds values by the configured size', () => {
      const d = drive({ valueBytesMax: 1000 });
      expect(d.status(put('k', new Uint8Array(1000)))).toBe('OK');
      expect(d.status(put('k', new Uint8Array(1001)))).toBe('VALUE_TOO_LARGE');
      expect(d.one(get('k')).value).toHaveLength(1000);
      expect(d.status(put('empty', ''))).toBe('OK');
      expect(d.one(get('empty'))).toMatchObject({ status: 'OK', revision: 1 });
    });

    it('bounds ttl at 1 and at the maximum', () => {
      const d = drive();
      expect(d.one(put('k', 'v', { ttl: 1 })).ttlMs).toBe(1);
      expect(d.one(put('k', 'v', { ttl: TTL_MS_MAX })).ttlMs).toBe(TTL_MS_MAX);
      expect(d.one(increment('n', 1, TTL_MS_MAX)).ttlMs).toBe(TTL_MS_MAX);
      expect(d.one(touch('k', TTL_MS_MAX)).ttlMs).toBe(TTL_MS_MAX);
    });

    it('takes an expected revision up to 2^53 - 1', () => {
      const d = drive();
      expect(d.status(put('k', 'v', { ifRevision: 2 ** 53 - 1 }))).toBe('REVISION_MISMATCH');
      expect(d.status(del('k', { ifRevision: 2 ** 53 - 1 }))).toBe('NOT_FOUND');
    });

    it('increments with a value bound below the size of a number', () => {
      const d = drive({ valueBytesMax: 1 });
      expect(Buffer.from(d.one(increment('n', -(2n ** 63n))).value).toString()).toBe(
        '-9223372036854775808',
      );
    });
  });

  describe('frames', () => {
    it('refuses a whole frame and changes nothing', () => {
      const d = drive();
      d.one(put('k', 'v'));
      const before = d.state();
      const counters = d.engine.counters.slice();
      const frame = (...operations: Operation[]) => d.run(...operations).refusal;
      expect(frame(put('a', '1'), { ...put('b', '2'), id: 1 })).toBe(Status.DuplicateId);
      expect(frame({ ...put('a', '1'), id: 5 }, { ...put('b', '2'), id: 4 })).toBe(
        Status.DuplicateId,
      );
      expect(d.frame(new ArrayBuffer(0)).refusal).toBe(Status.Malformed);
      expect(d.frame(new ArrayBuffer(64)).refusal).toBe(Status.Malformed);
      expect(d.engine.counters).toEqual(counters);
      expect(d.state()).toEqual(before);
    });

    it('does not move time for a refused frame', () => {
      const d = drive();
      d.one(put('k', 'v', { ttl: 10 }));
      const start = d.now;
      d.now = start + 1000;
      expect(d.frame(new ArrayBuffer(8)).refusal).toBe(Status.Malformed);
      d.now = start + 9;
      expect(d.one(get('k'))).toMatchObject({ status: 'OK', ttlMs: 1 });
    });

    it('takes ids 0 to 2^32 - 1 and answers in order', () => {
      const d = drive();
      const ids = [0, 1, 7, 2 ** 31, 2 ** 32 - 1];
      const { results } = d.run(...ids.map((id) => ({ ...get('k'), id })));
      expect(results.map(({ id }) => id)).toEqual(ids);
    });

    it('sees the effects of earlier operations of the same frame', () => {
      const d = drive();
      const { results } = d.run(get('k'), put('k', 'v'), get('k'), del('k'), get('k'));
      expect(results.map(({ status, revision }) => `${status} ${revision}`)).toEqual([
        'NOT_FOUND 0',
        'OK 1',
        'OK 1',
        'OK 2',
        'NOT_FOUND 0',
      ]);
    });

    it('keeps nothing of the frame', () => {
      // Regression: values were views of the frame, which a transport detaches or uses again.
      const d = drive();
      const key = 'key-of-some-length';
      const frame = (value: string, delta: number) => [
        put(key, value),
        { ...increment('counter', 0), value: deltaBytes(BigInt(delta)) },
        put('once', value),
      ];
      for (const [value, delta] of [
        ['first', 5],
        ['again', 7],
        ['longer than before', 1],
      ] as const) {
        const operations = frame(value, delta);
        const request = encodeRequest(operations);
        expect(d.frame(request).refusal).toBe(Status.Ok);
        new Uint8Array(request).fill(0x2a);
        expect(Buffer.from(d.one(get(key)).value).toString()).toBe(value);
        expect(Buffer.from(d.one(get('once')).value).toString()).toBe(value);
      }
      expect(Buffer.from(d.one(get('counter')).value).toString()).toBe('13');
      expect(d.page(scan('')).keys).toEqual(['counter', key, 'once']);
    });
  });
}

function ifAbsentWithRevision(): Operation {
  return { ...put(LIVE, 'v', { ifAbsent: true }), expectedRevision: 1 };
}
