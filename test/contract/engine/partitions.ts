// From key to partition, and the revision counter of each. The hash is compared with another
// implementation of XXH32.

import { xxh32 } from '@node-rs/xxhash';
import { describe, expect, it } from 'vitest';
import { PARTITIONS_MAX } from '../../../ts/wire/limits.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, del, put } from '../../drive/operations.js';
import { drives } from './drives.js';

export function partitionsContract(create: CreateEngine): void {
  const drive = drives(create);

  describe('partitions', () => {
    it.each([1, 2, 64, 1024, PARTITIONS_MAX])('are the top bits of XXH32, of %i', (partitions) => {
      const { engine } = drive({ partitions });
      const bits = Math.log2(partitions);
      for (let length = 1; length <= 1024; length += length < 64 ? 1 : 37) {
        for (let variant = 0; variant < 4; variant++) {
          const key = Buffer.from(`${variant}/`.repeat(512).slice(0, length));
          const hash = xxh32(key);
          const expected = bits === 0 ? 0 : hash >>> (32 - bits);
          expect(engine.partitionOf(key), `${key}`).toBe(expected);
        }
      }
    });

    it('hash every byte value, at every alignment', () => {
      const { engine } = drive({ partitions: PARTITIONS_MAX });
      const pool = Uint8Array.from({ length: 512 }, (_, at) => (at * 151 + (at >>> 3)) & 0xff);
      for (let at = 0; at < 64; at++) {
        for (const length of [1, 3, 4, 7, 15, 16, 17, 31, 33, 100]) {
          const key = pool.subarray(at, at + length);
          const braces = key.includes(0x7b) && key.includes(0x7d);
          if (!braces) expect(engine.partitionOf(key)).toBe(xxh32(Buffer.from(key)) >>> 16);
        }
      }
    });

    it.each([
      ['a{tag}b', 'tag'],
      ['{tag}', 'tag'],
      ['{tag}{other}', 'tag'],
      ['x{{tag}}', '{tag'],
      ['{a}b}', 'a'],
      ['{😀}', '😀'],
      ['}{tag}', 'tag'],
      // No tag: the whole key is hashed.
      ['{}', '{}'],
      ['{}{tag}', '{}{tag}'],
      ['{tag', '{tag'],
      ['tag}', 'tag}'],
      ['}tag{', '}tag{'],
      ['{', '{'],
      ['a{', 'a{'],
    ])('of %j hashes %j', (key, hashed) => {
      const { engine } = drive({ partitions: PARTITIONS_MAX });
      expect(engine.partitionOf(bytes(key))).toBe(xxh32(Buffer.from(hashed)) >>> 16);
    });

    it('of keys with one tag are one, in records as well', () => {
      const d = drive();
      const keys = Array.from({ length: 50 }, (_, at) => `part/${at}/{run-7}/${at * at}`);
      const { records } = d.run(...keys.map((key) => put(key, '')));
      const partition = d.engine.partitionOf(bytes('run-7'));
      expect(records.map((record) => record.partition)).toEqual(keys.map(() => partition));
      expect(d.engine.revisionOf(partition)).toBe(50);
    });

    it('never look beyond the key for a tag', () => {
      const d = drive();
      const { records } = d.run(put('open{', 'tag}'), put('a', '{tag}'), put('tag}', 'b{'));
      expect(records.map(({ key, partition }) => [Buffer.from(key).toString(), partition])).toEqual(
        ['open{', 'a', 'tag}'].map((key) => [key, d.engine.partitionOf(bytes(key))]),
      );
    });
  });

  describe('revisions', () => {
    it('count each partition by itself, from 1, without a gap', () => {
      const d = drive({ partitions: 8 });
      const newest = new Array<number>(8).fill(0);
      for (let at = 0; at < 8; at++) expect(d.engine.revisionOf(at)).toBe(0);
      for (let at = 0; at < 400; at++) {
        const key = `key-${at % 90}`;
        const { records } = d.run(at % 5 === 4 ? del(key) : put(key, `${at}`));
        for (const { partition, revision } of records) {
          newest[partition] = (newest[partition] ?? 0) + 1;
          expect(revision).toBe(newest[partition]);
        }
      }
      for (let at = 0; at < 8; at++) expect(d.engine.revisionOf(at)).toBe(newest[at]);
      expect(newest.every((revision) => revision > 0)).toBe(true);
    });
  });
}
