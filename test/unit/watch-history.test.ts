// The history of records: what it holds, what it forgets, and what it knows that it has forgotten.

import { describe, expect, it } from 'vitest';
import { WATCH_HISTORY_CHUNK_BYTES } from '../../node/limits.js';
import { History, HistoryReader } from '../../node/watch/history.js';
import { RecentRecords } from '../../node/watch/recent-records.js';
import { RECORD_PUT, RecordWriter, recordBytes } from '../../ts/engine/records.js';
import { bytes } from '../drive/operations.js';

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

/** A history, and the appends to it, from which it has the newest revision of each partition. */
function history(bounds = BOUNDS) {
  const newest = new Map<number, number>();
  const known = new History(bounds, (partition) => newest.get(partition) ?? UNKNOWN_REVISION);
  const append = (
    rows: readonly (readonly [partition: number, revision: number])[],
    position: number,
    keepFrom: number,
    size = 0,
  ) => {
    for (const [partition, revision] of rows) newest.set(partition, revision);
    known.append(records(rows, size), position, position + rows.length, keepFrom);
  };
  return { known, append };
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
    const { known, append } = history();
    append(
      [
        [0, 1],
        [1, 1],
      ],
      0,
      0,
    );
    append([[0, 2]], 2, 0);
    expect([known.oldest, known.end]).toEqual([0, 3]);
    expect(keysFrom(known, 0)).toEqual(['0-1', '1-1', '0-2']);
    expect(keysFrom(known, 1)).toEqual(['1-1', '0-2']);
    expect(keysFrom(known, 3)).toEqual([]);
  });

  it('is read on from where it ended, through chunks and while it forgets', () => {
    const { known, append } = history();
    const reader = new HistoryReader(known);
    let read = 0;
    for (let revision = 1; revision <= 400; revision++) {
      append([[0, revision]], revision - 1, read, 60_000);
      reader.seek(read);
      while (reader.next()) expect(reader.revision).toBe(++read);
    }
    expect(read).toBe(400);
    expect(known.oldest).toBeGreaterThan(300);
    expect(known.bytes).toBeLessThanOrEqual(BOUNDS.bytes + WATCH_HISTORY_CHUNK_BYTES);
  });

  it('is bounded in records as well', () => {
    const { known, append } = history({ ...BOUNDS, records: 20 });
    for (let revision = 1; revision <= 100; revision++) {
      append([[0, revision]], revision - 1, revision, 100_000);
    }
    expect(known.end - known.oldest).toBeLessThanOrEqual(20);
    expect(known.end - known.oldest).toBeGreaterThanOrEqual(10);
  });

  it('keeps what was not told yet, whatever its bounds', () => {
    const { known, append } = history({ ...BOUNDS, bytes: 1, records: 1 });
    for (let revision = 1; revision <= 50; revision++) {
      append([[0, revision]], revision - 1, 7, 100_000);
    }
    expect(known.oldest).toBeLessThanOrEqual(7);
    expect(keysFrom(known, 7)[0]).toBe('0-8');
  });

  it('holds a record that is larger than a chunk', () => {
    const { known, append } = history();
    append([[0, 1]], 0, 0, 3 * WATCH_HISTORY_CHUNK_BYTES);
    append([[0, 2]], 1, 0);
    expect(keysFrom(known, 0)).toEqual(['0-1', '0-2']);
  });

  it('knows below which revision of a partition it knows nothing', () => {
    const { known, append } = history({ ...BOUNDS, bytes: WATCH_HISTORY_CHUNK_BYTES });
    const isKnown = (partition: number, revision: number) =>
      known.positionBefore(partition, revision) >= 0;
    append([[1, 41]], 500, 500);
    expect([isKnown(1, 40), isKnown(1, 39)]).toEqual([true, false]);
    expect([isKnown(2, UNKNOWN_REVISION), isKnown(2, UNKNOWN_REVISION - 1)]).toEqual([true, false]);
    append([[2, UNKNOWN_REVISION + 1]], 501, 501);
    expect([isKnown(2, UNKNOWN_REVISION), isKnown(2, UNKNOWN_REVISION - 1)]).toEqual([true, false]);
    for (let revision = 42; revision < 142; revision++) {
      append([[1, revision]], known.end, known.end, 50_000);
    }
    const oldest = Number(keysFrom(known, known.oldest)[0]!.slice(2));
    expect(oldest).toBeGreaterThan(100);
    expect([isKnown(1, oldest - 1), isKnown(1, oldest - 2)]).toEqual([true, false]);
    expect([isKnown(2, UNKNOWN_REVISION + 1), isKnown(2, UNKNOWN_REVISION)]).toEqual([true, false]);
  });

  it('finds where the records above a revision begin', () => {
    const { known, append } = history();
    for (let revision = 1; revision <= 60; revision++) {
      append([[revision % 2, Math.ceil(revision / 2)]], known.end, 0, 50_000);
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
    const { known, append } = history();
    append([[0, 1]], 0, 0);
    append([[0, 9]], 100, 1);
    expect([known.oldest, known.end]).toEqual([100, 101]);
    expect([known.positionBefore(0, 8), known.positionBefore(0, 7)]).toEqual([100, -1]);
    expect(keysFrom(known, 100)).toEqual(['0-9']);
  });
});

describe('the newest records of a recovery', () => {
  it('are given back, whole, in their order and behind their position', () => {
    const { known } = history();
    const recent = new RecentRecords(2 * WATCH_HISTORY_CHUNK_BYTES);
    let position = 70;
    for (let revision = 1; revision <= 90; revision += 2) {
      const rows = [revision, revision + 1].map((one) => [0, one] as const);
      recent.take(records(rows, revision === 75 ? WATCH_HISTORY_CHUNK_BYTES : 40_000), position);
      position += 2;
    }
    recent.pourInto(known);
    expect(known.end).toBe(160);
    expect(known.oldest).toBeGreaterThan(70);
    expect(known.oldest).toBeLessThan(150);
    const from = known.oldest - 70 + 1;
    const expected = Array.from({ length: 91 - from }, (_, at) => `0-${from + at}`);
    expect(keysFrom(known, known.oldest)).toEqual(expected);
  });

  it('take little more than their bytes, whatever the batches that they come in', () => {
    // Was: an array of a million pieces, which lost its first in each step.
    const recent = new RecentRecords(4 * WATCH_HISTORY_CHUNK_BYTES);
    const one = records([[0, 1]]);
    for (let position = 0; position < 300_000; position++) recent.take(one, position);
    const { known } = history({ ...BOUNDS, bytes: 64 * WATCH_HISTORY_CHUNK_BYTES });
    let appends = 0;
    const append = known.append.bind(known);
    known.append = (...given) => {
      appends++;
      append(...given);
    };
    recent.pourInto(known);
    expect(appends).toBeLessThanOrEqual(6);
    expect(known.end).toBe(300_000);
    expect((known.end - known.oldest) * one.length).toBeGreaterThan(3 * WATCH_HISTORY_CHUNK_BYTES);
  });
});
