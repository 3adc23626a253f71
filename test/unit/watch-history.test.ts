// The history of records: what it holds, what it forgets, and what it knows that it has forgotten.

import { describe, expect, it } from 'vitest';
import { WATCH_HISTORY_CHUNK_BYTES } from '../../node/limits.js';
import { History, HistoryReader } from '../../node/watch/history.js';
import { RECORD_PUT, RecordWriter, recordBytes } from '../../ts/engine/records.js';
import { bytes } from '../drive/operations.js';

const PARTITIONS = 4;
const BOUNDS = {
  bytes: 4 * WATCH_HISTORY_CHUNK_BYTES,
  records: 1_000_000,
  chunkBytes: WATCH_HISTORY_CHUNK_BYTES,
};
const UNKNOWN_REVISION = 1000;

function records(rows: readonly (readonly [partition: number, revision: number])[], size = 0) {
  const length = rows.length * recordBytes(20, size);
  const buffer = new Uint8Array(length);
  const writer = new RecordWriter(buffer);
  const value = new Uint8Array(size);
  for (const [partition, revision] of rows) {
    const key = bytes(`${partition}-${revision}`);
    writer.append(RECORD_PUT, partition, revision, 1, 0, key, 0, key.length, value, 0, size);
  }
  return buffer.slice(0, writer.length);
}

function history(bounds = BOUNDS): History {
  return new History(PARTITIONS, bounds, () => UNKNOWN_REVISION);
}

function keysFrom(known: History, position: number): string[] {
  const reader = new HistoryReader(known);
  reader.seek(position);
  const keys: string[] = [];
  while (reader.next()) {
    keys.push(Buffer.from(reader.bytes.subarray(reader.keyAt, reader.keyEnd)).toString());
    expect(reader.position).toBe(position + keys.length);
  }
  return keys;
}

describe('the history', () => {
  it('gives back every record behind a position', () => {
    const known = history();
    known.append(
      records([
        [0, 1],
        [1, 1],
      ]),
      0,
      0,
    );
    known.append(records([[0, 2]]), 2, 0);
    expect([known.oldest, known.end]).toEqual([0, 3]);
    expect(keysFrom(known, 0)).toEqual(['0-1', '1-1', '0-2']);
    expect(keysFrom(known, 1)).toEqual(['1-1', '0-2']);
    expect(keysFrom(known, 3)).toEqual([]);
  });

  it('is read on from where it ended, through chunks and while it forgets', () => {
    const known = history();
    const reader = new HistoryReader(known);
    let read = 0;
    for (let revision = 1; revision <= 400; revision++) {
      known.append(records([[0, revision]], 60_000), revision - 1, read);
      reader.seek(read);
      while (reader.next()) expect(reader.revision).toBe(++read);
    }
    expect(read).toBe(400);
    expect(known.oldest).toBeGreaterThan(300);
    expect(known.bytes).toBeLessThanOrEqual(BOUNDS.bytes + WATCH_HISTORY_CHUNK_BYTES);
  });

  it('is bounded in records as well', () => {
    const known = history({ ...BOUNDS, records: 20 });
    for (let revision = 1; revision <= 100; revision++) {
      known.append(records([[0, revision]], 100_000), revision - 1, revision);
    }
    expect(known.end - known.oldest).toBeLessThanOrEqual(20);
    expect(known.end - known.oldest).toBeGreaterThanOrEqual(10);
  });

  it('keeps what was not told yet, whatever its bounds', () => {
    const known = history({ ...BOUNDS, bytes: 1, records: 1 });
    for (let revision = 1; revision <= 50; revision++) {
      known.append(records([[0, revision]], 100_000), revision - 1, 7);
    }
    expect(known.oldest).toBeLessThanOrEqual(7);
    expect(keysFrom(known, 7)[0]).toBe('0-8');
  });

  it('holds a record that is larger than a chunk', () => {
    const known = history();
    known.append(records([[0, 1]], 3 * WATCH_HISTORY_CHUNK_BYTES), 0, 0);
    known.append(records([[0, 2]]), 1, 0);
    expect(keysFrom(known, 0)).toEqual(['0-1', '0-2']);
  });

  it('knows below which revision of a partition it knows nothing', () => {
    const known = history({ ...BOUNDS, bytes: WATCH_HISTORY_CHUNK_BYTES });
    known.append(records([[1, 41]]), 500, 500);
    expect(known.oldestRevision(1)).toBe(40);
    expect(known.oldestRevision(2)).toBe(UNKNOWN_REVISION);
    known.append(records([[2, UNKNOWN_REVISION + 1]]), 501, 501);
    expect(known.oldestRevision(2)).toBe(UNKNOWN_REVISION);
    for (let revision = 42; revision < 142; revision++) {
      known.append(records([[1, revision]], 50_000), known.end, known.end);
    }
    const first = keysFrom(known, known.oldest)[0]!;
    expect(known.oldestRevision(1)).toBe(Number(first.slice(2)) - 1);
    expect(known.oldestRevision(1)).toBeGreaterThan(100);
    expect(known.oldestRevision(2)).toBe(UNKNOWN_REVISION + 1);
  });

  it('finds where the records above a revision begin', () => {
    const known = history();
    for (let revision = 1; revision <= 60; revision++) {
      known.append(records([[revision % 2, Math.ceil(revision / 2)]], 50_000), known.end, 0);
    }
    for (const revision of [0, 1, 15, 29, 30]) {
      const expected = Array.from({ length: 30 - revision }, (_, at) => `1-${revision + at + 1}`);
      const keys = keysFrom(known, known.positionBefore(1, revision));
      const newer = keys.filter((key) => key.startsWith('1-') && Number(key.slice(2)) > revision);
      expect(newer).toEqual(expected);
    }
    expect(known.positionBefore(1, 30)).toBeGreaterThan(30);
  });

  it('starts over where records never came by', () => {
    const known = history();
    known.append(records([[0, 1]]), 0, 0);
    known.append(records([[0, 9]]), 100, 1);
    expect([known.oldest, known.end]).toEqual([100, 101]);
    expect(known.oldestRevision(0)).toBe(8);
    expect(keysFrom(known, 100)).toEqual(['0-9']);
  });
});
