// What is left of a file's bytes, from many seeds and without a process: a tail ends at a sector or at
// the end of a write; a scattered sector is as it was at some time; what was synced is untouched.

import { describe, expect, it } from 'vitest';
import { Random, seedOf } from '../parity/random.js';
import { type JournalRecord, Kind } from './journal.js';
import { type Change, contentLeft, SECTOR_BYTES } from './sectors.js';

const SEED = seedOf(20260803);
const SEEDS = Array.from({ length: 300 }, (_, index) => (SEED + index) >>> 0);
const BASE = Buffer.alloc(300, 0xff);
const APPENDED_BYTES = 700;

function write(content: Buffer, offset: number, bytes: Buffer, isSynced = false): Change[] {
  const record: JournalRecord = {
    kind: Kind.Write,
    at: 0,
    inode: 1,
    offset,
    length: bytes.length,
    sizeBefore: content.length,
    position: 0,
    path: '',
    other: '',
    data: Buffer.from(content.subarray(offset, offset + bytes.length)),
  };
  return [{ record, isSynced }];
}

/** Ten appended writes, and the file after them. */
function appended(syncedAt = -1): { content: Buffer; changes: Change[] } {
  let content = BASE;
  const changes: Change[] = [];
  for (let index = 0; index < 10; index++) {
    const bytes = Buffer.alloc(APPENDED_BYTES, index + 1);
    changes.push(...write(content, content.length, bytes, index === syncedAt));
    content = Buffer.concat([content, bytes]);
  }
  return { content, changes };
}

describe(`what is left of a file, RONDO_SEED=${SEED}`, () => {
  it('everything: the content at the last sync', () => {
    const { content, changes } = appended();
    expect(contentLeft(content, changes, 'everything', new Random(SEED)).equals(BASE)).toBe(true);
  });

  it('tail: a beginning of what was written, cut at a sector or between two writes', () => {
    const { content, changes } = appended();
    const sizes = new Set<number>();
    for (const seed of SEEDS) {
      const left = contentLeft(content, changes, 'tail', new Random(seed));
      sizes.add(left.length);
      expect(left.equals(content.subarray(0, left.length))).toBe(true);
      expect(left.length).toBeGreaterThanOrEqual(BASE.length);
      const isBetween = (left.length - BASE.length) % APPENDED_BYTES === 0;
      expect(isBetween || left.length % SECTOR_BYTES === 0).toBe(true);
    }
    expect(sizes.size).toBeGreaterThan(15);
  });

  it('scattered: each sector as it was at some time', () => {
    const { content, changes } = appended();
    const kinds = new Set<string>();
    for (const seed of SEEDS) {
      const left = contentLeft(content, changes, 'scattered', new Random(seed));
      expect(left.subarray(0, BASE.length).equals(BASE)).toBe(true);
      for (let at = SECTOR_BYTES; at + SECTOR_BYTES <= left.length; at += SECTOR_BYTES) {
        const sector = left.subarray(at, at + SECTOR_BYTES);
        const full = content.subarray(at, at + SECTOR_BYTES);
        // What is not yet written is zero, and that is always an end of the sector.
        const written = sector.indexOf(0) < 0 ? SECTOR_BYTES : sector.indexOf(0);
        expect(sector.subarray(0, written).equals(full.subarray(0, written))).toBe(true);
        expect(sector.subarray(written).every((byte) => byte === 0)).toBe(true);
        kinds.add(written === SECTOR_BYTES ? 'kept' : written === 0 ? 'lost' : 'between');
      }
    }
    expect([...kinds].toSorted()).toEqual(['between', 'kept', 'lost']);
  });

  it('a write that was synced by itself stays, with the sectors that it shares', () => {
    const { content, changes } = appended(6);
    const from = BASE.length + 6 * APPENDED_BYTES;
    for (const loss of ['everything', 'tail', 'scattered'] as const) {
      for (const seed of SEEDS.slice(0, 50)) {
        const left = contentLeft(content, changes, loss, new Random(seed));
        const start = from - (from % SECTOR_BYTES);
        const end = from + APPENDED_BYTES;
        expect(left.subarray(start, end).equals(content.subarray(start, end))).toBe(true);
      }
    }
  });

  it('overwritten bytes are the old or the new ones', () => {
    const before = Buffer.alloc(4 * SECTOR_BYTES, 1);
    const bytes = Buffer.alloc(2 * SECTOR_BYTES, 2);
    const changes = write(before, SECTOR_BYTES, bytes);
    const after = Buffer.from(before);
    bytes.copy(after, SECTOR_BYTES);
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const left = contentLeft(after, changes, 'scattered', new Random(seed));
      expect(left).toHaveLength(before.length);
      seen.add([0, 1, 2, 3].map((sector) => left[sector * SECTOR_BYTES]).join(''));
    }
    expect([...seen].toSorted()).toEqual(['1111', '1121', '1211', '1221']);
  });
});
