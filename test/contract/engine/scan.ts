// Scans: live keys with a prefix, in byte order, in pages. The cursor is the last key of a page, so
// that it holds its place whatever is written between two pages.

import { describe, expect, it } from 'vitest';
import { FLAG_ENTRY, FLAG_MORE } from '../../../ts/wire/layout.js';
import { SCAN_BYTES_MAX, SCAN_ENTRIES_MAX, SCAN_EXPIRED_MAX } from '../../../ts/wire/limits.js';
import { type Drive, text } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, del, get, put, scan } from '../../drive/operations.js';
import { drives } from './drives.js';

export function scanContract(create: CreateEngine): void {
  const drive = drives(create);

  describe('scan', () => {
    it('answers an empty engine with a closing result only', () => {
      const { results } = drive().run(scan(''));
      expect(results).toEqual([
        {
          id: 1,
          status: 'OK',
          flags: 0,
          key: new Uint8Array(0),
          value: new Uint8Array(0),
          count: 0,
          revision: 0,
          ttlMs: 0,
        },
      ]);
    });

    it('gives key, value, revision and time to live of each entry', () => {
      const d = drive();
      d.run(put('{t}a', '1', { ttl: 70 }), put('{t}b', '22'), put('{t}a', '3', { ttl: 'keep' }));
      d.now += 20;
      const { results } = d.run({ ...scan('{t}'), id: 77 });
      expect(
        results.map((result) => ({ ...result, key: text(result.key), value: text(result.value) })),
      ).toEqual([
        {
          id: 77,
          status: 'OK',
          flags: FLAG_ENTRY,
          key: '{t}a',
          value: '3',
          count: 0,
          revision: 3,
          ttlMs: 50,
        },
        {
          id: 77,
          status: 'OK',
          flags: FLAG_ENTRY,
          key: '{t}b',
          value: '22',
          count: 0,
          revision: 2,
          ttlMs: 0,
        },
        { id: 77, status: 'OK', flags: 0, key: '', value: '', count: 2, revision: 0, ttlMs: 0 },
      ]);
    });

    it('orders keys by their bytes, across all partitions', () => {
      const d = drive();
      const keys = [
        '\u0000',
        '\u0000a',
        ' ',
        'A',
        'B',
        'a',
        'a\u0000',
        'a b',
        'aa',
        'ab',
        'b',
        '~',
        '\u007f',
        '\u0080',
        '\u07ff',
        '\u0800',
        '\ud7ff',
        '\ue000',
        '\uffff',
        '\u{10000}',
        '\u{10ffff}',
      ];
      for (const key of keys.toReversed()) d.one(put(key, ''));
      const byBytes = keys.toSorted((left, right) =>
        Buffer.compare(Buffer.from(left), Buffer.from(right)),
      );
      expect(d.page(scan('')).keys).toEqual(byBytes);
    });

    it('takes what begins with the prefix, the prefix itself included', () => {
      const d = drive();
      for (const key of ['a', 'ab', 'abc', 'abd', 'ac', 'b', 'ab\u0000', 'ab\u{10ffff}']) {
        d.one(put(key, ''));
      }
      expect(d.page(scan('ab')).keys).toEqual(['ab', 'ab\u0000', 'abc', 'abd', 'ab\u{10ffff}']);
      expect(d.page(scan('abc')).keys).toEqual(['abc']);
      expect(d.page(scan('abcd')).keys).toEqual([]);
      expect(d.page(scan('c')).keys).toEqual([]);
      expect(d.page(scan('A')).keys).toEqual([]);
    });

    it('takes a prefix that ends inside a character', () => {
      const d = drive();
      for (const key of ['é', 'ê', 'ü', 'z', '€', '₭']) d.one(put(key, ''));
      expect(d.page(scan(new Uint8Array([0xc3]))).keys).toEqual(['é', 'ê', 'ü']);
      expect(d.page(scan(new Uint8Array([0xe2, 0x82]))).keys).toEqual(['€', '₭']);
      expect(d.page(scan(new Uint8Array([0xff]))).keys).toEqual([]);
      const { keys, more, cursor } = d.page(scan(new Uint8Array([0xc3]), { limit: 1 }));
      expect([keys, more]).toEqual([['é'], true]);
      expect(d.page(scan(new Uint8Array([0xc3]), { cursor })).keys).toEqual(['ê', 'ü']);
    });

    it('stops at the limit and says whether there is more', () => {
      const d = drive();
      fill(d, 10);
      expect(d.page(scan('k', { limit: 10 }))).toMatchObject({
        more: false,
        cursor: new Uint8Array(0),
      });
      const page = d.page(scan('k', { limit: 9 }));
      expect(page.keys).toHaveLength(9);
      expect([page.more, text(page.cursor)]).toEqual([true, 'k008']);
      expect(d.page(scan('k', { limit: 9, cursor: page.cursor }))).toMatchObject({
        keys: ['k009'],
        more: false,
      });
    });

    it('says MORE only when a live key is left', () => {
      const d = drive();
      d.run(put('a', ''), put('b', '', { ttl: 5 }), put('c', '', { ttl: 5 }));
      expect(d.page(scan('', { limit: 1 })).more).toBe(true);
      d.now += 5;
      expect(d.page(scan('', { limit: 1 }))).toMatchObject({ keys: ['a'], more: false });
    });

    it('does not count keys beyond the prefix as more', () => {
      const d = drive();
      d.run(put('a1', ''), put('a2', ''), put('b1', ''));
      expect(d.page(scan('a', { limit: 2 })).more).toBe(false);
    });

    it.each([1, 2, 3, 7, 64])('pages of %i give all keys once', (limit) => {
      const d = drive();
      const keys = fill(d, 150);
      expect(pages(d, 'k', limit)).toEqual(keys);
    });

    it('goes on after a cursor that is no longer there, or never was', () => {
      const d = drive();
      fill(d, 6);
      const { cursor } = d.page(scan('k', { limit: 3 }));
      expect(text(cursor)).toBe('k002');
      d.run(del('k002'), del('k003'), put('k001x', ''), put('k002x', ''), put('k0025', ''));
      expect(d.page(scan('k', { cursor })).keys).toEqual(['k0025', 'k002x', 'k004', 'k005']);
      expect(d.page(scan('k', { cursor: 'k0031' })).keys).toEqual(['k004', 'k005']);
      expect(d.page(scan('k', { cursor: 'j' })).keys).toHaveLength(7);
      expect(d.page(scan('k', { cursor: 'l' })).keys).toEqual([]);
      expect(d.page(scan('k0', { cursor: 'k' })).keys).toHaveLength(7);
      expect(d.page(scan('k00', { cursor: 'k00' })).keys).toHaveLength(7);
      expect(d.page(scan('', { cursor: new Uint8Array([0xff, 0xff]) })).keys).toEqual([]);
    });

    it('gives each key that stays exactly once while others come and go', () => {
      const d = drive();
      const keys = fill(d, 300);
      const seen: string[] = [];
      let cursor: Uint8Array = new Uint8Array(0);
      for (let page = 0; ; page++) {
        const found = d.page(scan('k', { limit: 7, cursor }));
        seen.push(...found.keys);
        if (!found.more) break;
        cursor = found.cursor;
        d.run(put(`k${page}-come`, ''), put(`j${page}`, ''), del(`k${(page * 7) % 300}-none`));
        d.run(put(`k${page}-gone`, ''), del(`k${page}-gone`));
      }
      expect(seen.filter((key) => /^k\d{3}$/.test(key))).toEqual(keys);
      expect(new Set(seen).size).toBe(seen.length);
    });

    it('leaves values out under keys_only', () => {
      const d = drive();
      d.run(put('a', 'x'.repeat(5000), { ttl: 9 }), put('b', 'y'));
      const { results } = d.run(scan('', { keysOnly: true }));
      expect(results.map(({ key, value }) => [text(key), value.length])).toEqual([
        ['a', 0],
        ['b', 0],
        ['', 0],
      ]);
      expect(results[0]?.ttlMs).toBe(9);
    });

    it('returns at most SCAN_ENTRIES_MAX entries', () => {
      const d = drive();
      for (let at = 0; at < SCAN_ENTRIES_MAX + 5; at++) d.one(put(`${at}`.padStart(5, '0'), ''));
      const { keys, more, cursor } = d.page(scan('', { limit: SCAN_ENTRIES_MAX }));
      expect([keys.length, more, text(cursor)]).toEqual([
        SCAN_ENTRIES_MAX,
        true,
        `${SCAN_ENTRIES_MAX - 1}`.padStart(5, '0'),
      ]);
      expect(d.page(scan('', { limit: SCAN_ENTRIES_MAX, cursor })).keys).toHaveLength(5);
    });

    it('cuts a page at SCAN_BYTES_MAX of keys and values', () => {
      const d = drive();
      const size = SCAN_BYTES_MAX / 4 - 1; // With a key of one byte, four fill it to the byte.
      for (const key of ['a', 'b', 'c', 'd', 'e']) d.one(put(key, new Uint8Array(size)));
      expect(d.page(scan(''))).toMatchObject({ keys: ['a', 'b', 'c', 'd'], more: true });
      d.one(put('b', new Uint8Array(size + 1)));
      expect(d.page(scan(''))).toMatchObject({ keys: ['a', 'b', 'c'], more: true });
      expect(d.page(scan('', { keysOnly: true })).keys).toHaveLength(5);
    });

    it('returns the first entry whatever its size', () => {
      const d = drive({ valueBytesMax: 3 * SCAN_BYTES_MAX });
      d.one(put('a', new Uint8Array(3 * SCAN_BYTES_MAX)));
      d.one(put('b', new Uint8Array(3 * SCAN_BYTES_MAX)));
      const { keys, more, cursor } = d.page(scan(''));
      expect([keys, more, text(cursor)]).toEqual([['a'], true, 'a']);
      expect(d.page(scan('', { cursor }))).toMatchObject({ keys: ['b'], more: false });
    });

    it('keeps order through many insertions and deletions', () => {
      const d = drive();
      const held = new Set<string>();
      let random = 12345;
      for (let step = 0; step < 6000; step++) {
        random = (Math.imul(random, 1103515245) + 12345) >>> 0;
        const key = `k${random % 2500}`;
        if (random % 3 === 0) {
          held.delete(key);
          d.one(del(key));
        } else {
          held.add(key);
          d.one(put(key, ''));
        }
      }
      expect(pages(d, 'k', 100)).toEqual([...held].toSorted());
      for (const key of held) d.one(del(key));
      expect(d.page(scan('')).keys).toEqual([]);
      d.one(put('again', ''));
      expect(d.page(scan('')).keys).toEqual(['again']);
    });

    // A scan walked over any number of expired keys in one go: a million took 70 to 140 ms.
    it('ends a page after SCAN_EXPIRED_MAX expired keys, and goes on behind them', () => {
      const d = drive();
      const count = SCAN_EXPIRED_MAX + 10;
      const name = (index: number) => `k${`${index}`.padStart(5, '0')}`;
      for (let index = 0; index < count; index++) d.one(put(name(index), '', { ttl: 10 }));
      d.one(put('k/first', ''));
      d.one(put('kz/last', ''));
      d.now += 10;
      const first = d.page(scan('k'));
      expect(first).toMatchObject({ keys: ['k/first'], more: true });
      expect(text(first.cursor)).toBe(name(SCAN_EXPIRED_MAX - 1));
      expect(pages(d, 'k', 100)).toEqual(['k/first', 'kz/last']);
      const empty = d.page(scan('k0'));
      expect(empty).toMatchObject({ keys: [], more: true });
      expect(d.page(scan('k0', { cursor: empty.cursor }))).toMatchObject({ keys: [], more: false });
    });

    it('sees writes of the same frame, and several scans share a frame', () => {
      const d = drive();
      const { results } = d.run(
        put('a', '1'),
        scan('a'),
        put('ab', '2'),
        scan('a', { limit: 1 }),
        get('a'),
      );
      expect(results.map(({ id, key, flags }) => [id, text(key), flags])).toEqual([
        [1, '', 0],
        [2, 'a', FLAG_ENTRY],
        [2, '', 0],
        [3, '', 0],
        [4, 'a', FLAG_ENTRY],
        [4, '', FLAG_MORE],
        [5, '', 0],
      ]);
    });
  });
}

function fill(d: Drive, count: number): string[] {
  const keys = Array.from({ length: count }, (_, index) => `k${`${index}`.padStart(3, '0')}`);
  for (const key of keys.toSorted((left, right) =>
    Buffer.compare(bytes(left.slice(-1)), bytes(right.slice(-1))),
  )) {
    d.one(put(key, key));
  }
  return keys;
}

/** All keys with a prefix, by pages. */
function pages(d: Drive, prefix: string, limit: number): string[] {
  const keys: string[] = [];
  let cursor: Uint8Array = new Uint8Array(0);
  for (;;) {
    const page = d.page(scan(prefix, { limit, cursor }));
    keys.push(...page.keys);
    if (!page.more) return keys;
    cursor = page.cursor;
  }
}
