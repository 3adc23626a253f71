// What the local log does beyond the contract: segments, marks, refusals, a second opening.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Files, realFiles } from '../../node/log/local/files.js';
import { BATCH_HEADER_BYTES } from '../../node/log/local/format.js';
import type { LocalLog, LocalLogOptions } from '../../node/log/local/local-log.js';
import {
  AppendMaker,
  openLocal,
  Recorder,
  readBack,
  recordsOf,
  SEGMENT_BYTES,
  temporaryFolder,
  WRITERS,
} from '../drive/log.js';

describe.each(WRITERS)('local log, %s writer', (writer) => {
  let folder: string;
  let remove: () => void;
  let events: Recorder;
  let maker: AppendMaker;
  let log: LocalLog;

  beforeEach(() => {
    ({ folder, remove } = temporaryFolder());
    events = new Recorder();
    maker = new AppendMaker();
  });

  afterEach(async () => {
    await log.close();
    remove();
  });

  async function open(options: Partial<LocalLogOptions> = {}): Promise<void> {
    log = await openLocal(writer, folder, events, options);
  }

  function append(valueBytes: number): Uint8Array {
    const records = maker.next(valueBytes);
    log.append(log.epoch, records, records.length);
    return records;
  }

  async function settle(valueBytes: number): Promise<Uint8Array> {
    const records = append(valueBytes);
    log.flush();
    await log.settled(log.appended, 10_000);
    return records;
  }

  /** Opens the log, settles one append, and lets the disk be full for every write from then on. */
  async function openThenFill(closeDeadlineMs: number): Promise<void> {
    let isFull = false;
    const files: Files = {
      ...realFiles,
      write: (fd, bytes, offset, length, position, done) => {
        if (!isFull) realFiles.write(fd, bytes, offset, length, position, done);
        else done(noRoom(), 0);
      },
    };
    const nativeFaults = Array.from({ length: 500 }, (_, index) => `write:${index + 2}:ENOSPC`);
    await open({
      bounds: { spaceRetryMs: 10, markIdleMs: 60_000, closeDeadlineMs },
      ...(writer === 'native' ? { nativeFaults: nativeFaults.join(',') } : { files }),
    });
    await settle(100);
    isFull = true;
  }

  const names = () => readdirSync(folder).sort();

  it('leaves one mark when it is idle, and none twice', async () => {
    await open({ bounds: { markIdleMs: 5 } });
    await settle(100);
    await until(() => readBack(folder).batches.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const { batches } = readBack(folder);
    expect(batches.map(({ number, bytes }) => [number, bytes.length > 0])).toEqual([
      [1, true],
      [2, false],
    ]);
    // Synced by itself: a loss of power must not take it and leave the batch behind it.
    expect(log.newestBatch).toBe(2);
    await settle(100);
    expect(log.newestBatch).toBe(3);
  });

  it('marks its end at close and leaves no segment that was not begun', async () => {
    await open();
    await settle(100);
    await log.close();
    expect(readBack(folder).batches.map(({ bytes }) => bytes.length > 0)).toEqual([true, false]);
    expect(names()).toEqual(['0000000000000001.seg']);
  });

  it('tells of each segment that it leaves behind', async () => {
    await open();
    const made: Uint8Array[] = [];
    for (let index = 0; index < 7; index++) made.push(await settle(25_000));
    await log.close();
    const { batches } = readBack(folder);
    expect(recordsOf(batches)).toEqual(Buffer.concat(made));
    expect(events.sealed.map(({ number, lastBatch }) => [number, lastBatch])).toEqual([
      [1, 2],
      [2, 4],
      [3, 6],
    ]);
    expect(log.sealed.map(({ number, path }) => [number, path])).toEqual(
      [1, 2, 3].map((number) => [number, join(folder, `000000000000000${number}.seg`)]),
    );
    expect(events.sealed[0]?.bytes).toBe(64 + (made[0]?.length ?? 0) * 2 + 2 * BATCH_HEADER_BYTES);
    expect(batches.map(({ segment }) => segment)).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
  });

  it('goes on in a new segment with a higher epoch when it is opened again', async () => {
    await open();
    const made = [await settle(30_000), await settle(40_000)];
    await log.close();
    const { recovered } = readBack(folder);
    await open({ recovered });
    expect([log.epoch, log.newestBatch, log.revisionOf(0)]).toEqual([2, 3, 2]);
    made.push(await settle(50));
    const read: Uint8Array[] = [];
    const numbers: number[] = [];
    for await (const { records, number } of log.read(0)) {
      read.push(records.slice());
      numbers.push(number);
    }
    expect(Buffer.concat(read)).toEqual(Buffer.concat(made));
    expect(numbers).toEqual([1, 2, 3, 4]);
    await log.close();
    const { batches, recovered: again } = readBack(folder);
    expect(again).toMatchObject({ epoch: 2, nextSegment: 4 });
    expect(batches.map(({ segment }) => segment)).toEqual([1, 2, 2, 3, 3]);
  });

  it('marks the end of an earlier opening that left none', async () => {
    await open();
    await settle(100);
    await log.close();
    const { recovered } = readBack(folder);
    // As if the mark had not been written.
    await open({ recovered, bounds: { markIdleMs: 1 } });
    await until(() => readBack(folder).batches.length === 3);
    expect(readBack(folder).batches[2]).toMatchObject({ number: 3, segment: 2 });
  });

  it('uses the files of trimmed segments again, and finds none of their old batches', async () => {
    await open({ bounds: { markIdleMs: 60_000 } });
    for (let index = 0; index < 40; index++) {
      await settle(20_000);
      if (index % 4 === 3) await log.trim(log.newestBatch);
    }
    expect(names().length).toBeLessThanOrEqual(6);
    const left = readBack(folder, 40);
    expect(left.batches.at(-1)?.number).toBe(40);
    expect(Buffer.concat([await settle(10)]).length).toBeGreaterThan(0);
  });

  it('makes its first segment of a spare file, and removes what does not fit', async () => {
    await open();
    for (let index = 0; index < 4; index++) await settle(60_000);
    await log.close();
    const spare = [1, 2, 3, 4].map((number) => join(folder, `000000000000000${number}.seg`));
    const created: string[] = [];
    const files: Files = {
      ...realFiles,
      open: (path, how) => {
        if (how === 'create') created.push(path);
        return realFiles.open(path, how);
      },
    };
    const { recovered } = readBack(folder);
    maker = new AppendMaker(recovered);
    await open({ recovered: { ...recovered, sealed: [] }, spare, files });
    expect(created).toEqual([]);
    expect(names()).toEqual(['0000000000000005.seg', '0000000000000006.seg']);
    await settle(100);
    expect(readBack(folder, 5).batches.map(({ segment }) => segment)).toEqual([5]);
  });

  it('is overloaded above the bound, until below half of it', async () => {
    await open({ bounds: { pendingBytesMax: 30_000, batchBytesMax: 10_000 } });
    const seen: [string, boolean][] = [];
    let last = 'none';
    events.afterProgress = () => {
      if (log.refusal !== last) seen.push([log.refusal, log.pendingBytes <= 15_000]);
      last = log.refusal;
    };
    for (let index = 0; index < 8; index++) append(5_000);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(log.refusal).toBe('overloaded');
    log.flush();
    await log.settled(8, 10_000);
    await until(() => log.refusal === 'none');
    expect(seen[0]).toEqual(['overloaded', false]);
    expect(seen.at(-1)).toEqual(['none', true]);
  });

  it('waits for space when no segment can be made, and goes on', async () => {
    const { files, fill } = filesWithoutRoom();
    await open({ files, bounds: { spaceRetryMs: 5, batchBytesMax: 1000 } });
    await until(() => log.refusal === 'none');
    fill(true);
    for (let index = 0; index < 4; index++) append(50_000);
    log.flush();
    await until(() => log.refusal === 'disk_full');
    expect(log.durable).toBeLessThan(4);
    fill(false);
    await log.settled(4, 10_000);
    await until(() => log.refusal === 'none');
    expect(events.failures).toEqual([]);
  });

  it('does not wait for a segment without end when it is closed', async () => {
    const { files, fill } = filesWithoutRoom();
    await open({ files, bounds: { batchBytesMax: 1000, closeDeadlineMs: 50 } });
    fill(true);
    const made = Array.from({ length: 4 }, () => append(50_000));
    await log.close();
    expect(events.failures).toMatchObject([{ code: 'LOG_FAILED' }]);
    expect(log.durable).toBeLessThan(4);
    const found = recordsOf(readBack(folder).batches);
    expect(found).toEqual(Buffer.concat(made.slice(0, log.durable)));
  });

  it('uses trimmed segments while the disk has no room for new ones', async () => {
    const { files, fill } = filesWithoutRoom();
    await open({ files, bounds: { spaceRetryMs: 60_000, batchBytesMax: 1000 } });
    for (let index = 0; index < 3; index++) await settle(50_000);
    await until(() => names().length === 4);
    fill(true);
    append(50_000);
    append(50_000);
    log.flush();
    await until(() => log.refusal === 'disk_full');
    await log.trim(2);
    await log.settled(5, 10_000);
    await until(() => log.refusal === 'none');
    expect(readBack(folder, 2).batches.map(({ number }) => number)).toEqual([3, 4, 5]);
  });

  it('writes the same bytes again when the disk has room again', async () => {
    let failures = 0;
    const files: Files = {
      ...realFiles,
      write: (fd, bytes, offset, length, position, done) => {
        const isBatch = position > 0 && length < 1000;
        if (!isBatch || failures++ >= 3) {
          realFiles.write(fd, bytes, offset, length, position, done);
        } else done(Object.assign(new Error('full'), { code: 'EDQUOT' }), 0);
      },
    };
    const nativeFaults = 'write:1:ENOSPC,write:2:ENOSPC,write:3:ENOSPC';
    await open({
      bounds: { spaceRetryMs: 20 },
      ...(writer === 'native' ? { nativeFaults } : { files }),
    });
    const refusals: string[] = [];
    events.afterProgress = () => void refusals.push(log.refusal);
    const records = await settle(100);
    expect(refusals[0]).toBe('disk_full');
    expect(refusals.at(-1)).toBe('none');
    expect(recordsOf(readBack(folder).batches)).toEqual(Buffer.from(records));
  });

  it('ends on a disk that stays full, and says once that the end is unknown', async () => {
    await openThenFill(150);
    append(100);
    log.flush();
    await until(() => log.refusal === 'disk_full');
    const unknown = log.settled(2, 10_000).catch((error: unknown) => error);
    const startedAt = performance.now();
    await log.close();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(events.failures.map(({ code }) => code)).toEqual(['LOG_FAILED']);
    expect(events.failures[0]?.message).toContain('full');
    expect(await unknown).toBe(events.failures[0]);
    expect(log.durable).toBe(1);
    const numbers = readBack(folder).batches.map(({ number }) => number);
    expect(numbers).toEqual([1]);
  });

  it('has lost nothing where only its last mark has no room', async () => {
    await openThenFill(50);
    await log.close();
    expect(events.failures).toEqual([]);
    expect(readBack(folder).batches).toHaveLength(1);
  });

  it('syncs at intervals only', async () => {
    await open({ durability: { mode: 'interval', everyMs: 60 } });
    const startedAt = performance.now();
    append(100);
    log.flush();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([log.durable, readBack(folder).batches.length]).toEqual([0, 1]);
    await log.settled(1, 10_000);
    expect(performance.now() - startedAt).toBeGreaterThan(50);
  });

  it('syncs before the interval is over rather than refuse', async () => {
    const everyMs = 60_000;
    const bounds = { segmentBytes: 2 ** 20, batchBytesMax: 10_000, pendingBytesMax: 60_000 };
    await open({ durability: { mode: 'interval', everyMs }, bounds });
    for (let index = 0; index < 30; index++) {
      append(5_000);
      log.flush();
      await until(() => log.pendingBytes < bounds.pendingBytesMax / 2);
    }
    expect(log.refusal).toBe('none');
    expect(log.durable).toBeGreaterThan(0);
  });

  it('does not let what was written at an interval wait for space too', async () => {
    let refused = 0;
    const files: Files = {
      ...realFiles,
      write: (fd, bytes, offset, length, position, done) => {
        const isSecond = position > 64 && length < 1000;
        if (!isSecond || refused++ >= 40) {
          realFiles.write(fd, bytes, offset, length, position, done);
        } else done(Object.assign(new Error('full'), { code: 'ENOSPC' }), 0);
      },
    };
    const nativeFaults = Array.from({ length: 40 }, (_, index) => `write:${index + 2}:ENOSPC`);
    await open({
      durability: { mode: 'interval', everyMs: 50 },
      bounds: { spaceRetryMs: 10, markIdleMs: 60_000 },
      ...(writer === 'native' ? { nativeFaults: nativeFaults.join(',') } : { files }),
    });
    append(100);
    log.flush();
    await new Promise((resolve) => setTimeout(resolve, 10));
    append(100);
    log.flush();
    await log.settled(1, 10_000);
    expect([log.durable, log.newestBatch, log.refusal]).toEqual([1, 1, 'disk_full']);
    await log.settled(2, 10_000);
    expect(readBack(folder).batches.map(({ number }) => number)).toEqual([1, 2]);
  });

  it('says what is wrong when no segment can be made at the start', async () => {
    await open();
    const gone = join(folder, 'missing');
    const error = await openLocal(writer, gone, events).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DATA_UNREADABLE' });
    expect(String(error)).toContain(gone);
  });

  it('keeps to its bound of bytes a batch, and a segment larger than itself for a large append', async () => {
    await open({ bounds: { batchBytesMax: 1000 } });
    for (let index = 0; index < 10; index++) append(400);
    append(2 * SEGMENT_BYTES);
    append(16);
    log.flush();
    await log.settled(12, 10_000);
    const { batches } = readBack(folder);
    expect(batches.map(({ bytes }) => bytes.length > 1000)).toEqual([
      ...Array<boolean>(5).fill(false),
      true,
      false,
    ]);
    expect(batches.map(({ segment }) => segment)).toEqual([1, 1, 1, 1, 1, 2, 3]);
  });
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('waited 10 s in vain');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function noRoom(): Error {
  return Object.assign(new Error('full'), { code: 'ENOSPC' });
}

/** Files of a disk that can be made full for new ones. */
function filesWithoutRoom(): { files: Files; fill: (isFull: boolean) => void } {
  let isFull = false;
  const files: Files = {
    ...realFiles,
    open: (path, how) =>
      isFull && how === 'create' ? Promise.reject(noRoom()) : realFiles.open(path, how),
  };
  return {
    files,
    fill: (is) => {
      isFull = is;
    },
  };
}
