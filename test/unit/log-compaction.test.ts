// Compaction: any prefix compacted, and the rest behind it, gives what the whole log gives, in both
// languages and with the same bytes; damage and cancellation replace nothing.

import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CompactionCancelled, compact } from '../../node/log/local/compaction.js';
import { compactInWorker } from '../../node/log/local/compaction-worker.js';
import { dataPaths } from '../../node/log/local/data-directory.js';
import { DataDamage } from '../../node/log/local/data-errors.js';
import { nativeGather } from '../../node/log/local/native-recovery.js';
import { recover } from '../../node/log/local/recovery.js';
import { RunFold } from '../../node/log/local/sorted-run.js';
import type { Engine } from '../../ts/engine/engine.js';
import { RECORD_DELETE, RECORD_TOUCH } from '../../ts/engine/records.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { Drive } from '../drive/drive.js';
import { findNative } from '../drive/engines.js';
import { Fixtures } from '../fixtures/fixtures.js';
import { seedOf } from '../parity/random.js';
import {
  DIST,
  LogMaker,
  makeDataDirectory,
  PARTITIONS,
  RecordMaker,
  START_TIME,
  temporaryFolder,
} from './log-files.js';
import { addon, compactions, inThread, jobOf, never, recovered } from './log-jobs.js';
import { MapState, stateOf } from './log-state.js';
import { Historian, history } from './log-steps.js';

const SEED = seedOf(1);
const native = findNative();
const nativeEngines = 'create' in native ? [native] : [];
const OPTIONS = { partitions: PARTITIONS, valueBytesMax: 65536, memoryBytesMax: 0, hashSeed: 7 };

describe.each(compactions)(`compaction in %s, RONDO_SEED=${SEED}`, (_, run) => {
  it('of any prefix, and of its result with more, changes nothing', {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        history,
        history,
        fc.constantFrom(300, 1000, 1 << 20),
        async (first, second, runBytes) => {
          const directory = makeDataDirectory();
          const log = new LogMaker(directory);
          const historian = new Historian(new RecordMaker());
          const all: Uint8Array[] = [];
          for (const segments of [first, second]) {
            for (const batches of segments) {
              log.write(
                batches.map((steps) => {
                  const records = historian.recordsOf(steps);
                  all.push(...records);
                  return records;
                }),
              );
            }
            const before = await recovered(directory);
            if (before.result.sealed.length === 0) continue;
            const job = jobOf(directory, before.result, runBytes);
            const made = await run(job, never);
            const after = await recovered(directory);
            expect(after.state).toEqual(stateOf(all));
            expect(after.result.snapshot?.path).toBe(made.path);
            expect(after.result.covered.map(({ number }) => number)).toContain(made.number);
            expect(after.result.chain).toEqual(before.result.chain);
            expect(readdirSync(directory.snapshot)).toEqual(
              [job.snapshot, made.path].flatMap((path) => (path ? [basename(path)] : [])),
            );
            for (const { path } of after.result.covered) rmSync(path);
            for (const { path } of after.result.olderSnapshots) rmSync(path);
            expect((await recovered(directory)).state).toEqual(stateOf(all));
            log.segment = made.number + 1;
          }
        },
      ),
      { seed: SEED, numRuns: 60 },
    );
  });
});

/** A log of two openings' worth: a snapshot and segments behind it, with every kind of record. */
async function snapshotAndSegments() {
  const directory = makeDataDirectory();
  const log = new LogMaker(directory);
  const make = new RecordMaker();
  const first = [make.put('a', '1'), make.put('b', '2', START_TIME + 9), make.put('c', '3')];
  log.write([first, []]);
  const { result } = await recovered(directory);
  const made = await inThread(jobOf(directory, result, 1000), never);
  const second = [make.touch('a', START_TIME + 7), make.delete('b'), make.expire('c')];
  log.write([second, [make.put('b', '4')]]);
  log.write([[make.touch('b', 0), make.put('d', 'x'.repeat(3000))], []]);
  for (const { path } of result.sealed) rmSync(path);
  return { directory, log, make, snapshot: made.path, before: await recovered(directory) };
}

type Made = Awaited<ReturnType<typeof snapshotAndSegments>>;

function copyOf({ directory }: Made) {
  const path = join(temporaryFolder(), 'copy');
  cpSync(directory.path, path, { recursive: true });
  return { ...directory, ...dataPaths(path) };
}

describe('both languages', () => {
  it.skipIf(addon === undefined)(
    'write the same bytes, and read what the other wrote',
    async () => {
      const made = await snapshotAndSegments();
      const bytes: Buffer[] = [];
      for (const [name, run] of compactions) {
        for (const runBytes of [200, 1 << 20]) {
          const directory = copyOf(made);
          const { result } = await recovered(directory);
          const { path } = await run(jobOf(directory, result, runBytes), never);
          bytes.push(readFileSync(path));
          for (const gather of [undefined, addon && nativeGather(addon)]) {
            const map = new MapState();
            const after = await recover(directory, map, { gather });
            expect(map.state, name).toEqual(made.before.state);
            expect(after.snapshot?.path).toBe(path);
            expect(after.time).toBe(made.before.result.time);
          }
        }
      }
      for (const other of bytes) expect(other.equals(bytes[0] as Buffer)).toBe(true);
    },
  );

  it('keep the bytes of snapshot and segments', async () => {
    const made = await snapshotAndSegments();
    const fixtures = new Fixtures('log-files.txt');
    const segment = made.before.result.sealed[0]?.path ?? '';
    fixtures.expectBytes(
      'snapshot',
      'Of three puts, one with an expiry',
      readFileSync(made.snapshot),
    );
    fixtures.expectBytes('segment', 'Touch, delete, expire; a put; zeros', readFileSync(segment));
  });

  it('give what the engines fold', async () => {
    const made = await snapshotAndSegments();
    const run = compactions.at(-1)?.[1] ?? inThread;
    for (const { create } of [{ create: createTsEngine }, ...nativeEngines]) {
      const engines = [create(OPTIONS), create(OPTIONS)];
      await recover(made.directory, engines[0] as Engine);
      const directory = copyOf(made);
      const { result } = await recovered(directory);
      await run(jobOf(directory, result, 200), never);
      await recover(directory, engines[1] as Engine);
      const states = engines.map((engine) => new Drive(engine).state());
      expect(states[0]).toEqual(states[1]);
    }
  });
});

describe.each(compactions)('compaction in %s', (_, run) => {
  it('refuses every changed byte of its snapshot, and replaces nothing', {
    timeout: 60_000,
  }, async () => {
    const made = await snapshotAndSegments();
    const whole = readFileSync(made.snapshot);
    const job = jobOf(made.directory, made.before.result, 1000);
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(made.snapshot, bytes);
      const refused: unknown = await run(job, never).catch((error: unknown) => error);
      expect(refused, `byte ${at}`).toBeInstanceOf(DataDamage);
      expect((refused as DataDamage).file).toBe(made.snapshot);
      const read: unknown = await recovered(made.directory).catch((error: unknown) => error);
      // A version that is not known has a code of its own, were its checksum right.
      expect(read, `byte ${at}`).toBeInstanceOf(DataDamage);
      expect((read as DataDamage).offset, `byte ${at}`).toBeLessThanOrEqual(at);
    }
    // Nor is what was written of a new one left, which on a full disk is the space that is wanted.
    expect(readdirSync(made.directory.snapshot)).toEqual([basename(made.snapshot)]);
  });

  it('refuses a snapshot that was cut, and segments that are changed or missing', async () => {
    const made = await snapshotAndSegments();
    const job = jobOf(made.directory, made.before.result, 1000);
    const first = job.segments[0]?.path ?? '';
    const whole = readFileSync(first);
    for (let at = 0; at < whole.length - 256; at += 5) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      writeFileSync(first, bytes);
      const refused = await run(job, never).catch((error: unknown) => error);
      // The epoch is nothing that compaction asks for, but its header's checksum covers it.
      expect(refused, `byte ${at}`).toMatchObject({ code: 'DATA_DAMAGED', file: first });
    }
    rmSync(first);
    expect(await run(job, never).catch((error: unknown) => error)).toMatchObject({
      code: 'DATA_UNREADABLE',
      cause: { code: 'ENOENT' },
    });
    writeFileSync(first, whole);
    const snapshot = readFileSync(made.snapshot);
    for (let length = 0; length < snapshot.length; length += 7) {
      writeFileSync(made.snapshot, snapshot.subarray(0, length));
      await expect(run(job, never)).rejects.toThrow('is damaged at byte');
      await expect(recovered(made.directory)).rejects.toThrow('is damaged at byte');
    }
  });

  it('stops when it is told to, and leaves no snapshot', async () => {
    const made = await snapshotAndSegments();
    const job = jobOf(made.directory, made.before.result, 1000);
    const cancelled = run(job, AbortSignal.abort());
    await expect(cancelled).rejects.toBeInstanceOf(CompactionCancelled);
    expect((await recovered(made.directory)).state).toEqual(made.before.state);
    expect(readdirSync(made.directory.snapshot)).toEqual([basename(made.snapshot)]);
  });

  it('says which file it could not write, and why', async () => {
    const made = await snapshotAndSegments();
    const job = jobOf(made.directory, made.before.result, 1000);
    const folder = join(made.directory.path, 'none');
    const failed = await run({ ...job, folder }, never).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'DATA_UNREADABLE', cause: { code: 'ENOENT' } });
    expect((failed as Error).message).toContain(folder);
  });
});

describe('the thread of a compaction', () => {
  it('answers as the algorithm does', async () => {
    const made = await snapshotAndSegments();
    const run = compactInWorker(`${DIST}node/log/local/compaction-worker.js`);
    const job = jobOf(made.directory, made.before.result, 200);
    const cancelled = run(job, AbortSignal.abort());
    await expect(cancelled).rejects.toBeInstanceOf(CompactionCancelled);
    const folder = join(made.directory.path, 'none');
    await expect(run({ ...job, folder }, never)).rejects.toMatchObject({
      code: 'DATA_UNREADABLE',
      cause: { code: 'ENOENT' },
    });
    const { path } = await run(job, never);
    const after = await recovered(made.directory);
    expect(after.state).toEqual(made.before.state);
    expect(after.result.snapshot?.path).toBe(path);
    for (const { path } of after.result.sealed) writeFileSync(path, '');
    writeFileSync(job.segments[0]?.path ?? '', 'x');
    await expect(run(job, never)).rejects.toBeInstanceOf(DataDamage);
  });
});

describe.each([
  ['ts', createTsEngine] as const,
  ...nativeEngines.map(({ create }) => ['native', create] as const),
])('the time of an engine in %s', (_, create) => {
  it('goes on behind a compaction from that of records which the snapshot has no more', async () => {
    const directory = makeDataDirectory();
    const [log, make] = [new LogMaker(directory), new RecordMaker()];
    const puts = [make.put('a', '1', START_TIME + 50), make.put('b', '2')];
    make.time = START_TIME + 100;
    log.write([puts, [make.delete('b')]]);
    await compact(jobOf(directory, (await recovered(directory)).result, 1000), () => false);
    const engine = create(OPTIONS);
    await recover(directory, engine);
    // The clock was set back meanwhile: the key that had expired stays so.
    expect(engine.advance(START_TIME)).toBe(1);
  });
});

describe('two snapshots, as a crash leaves them', () => {
  async function twoSnapshots() {
    const made = await snapshotAndSegments();
    const newest = await inThread(jobOf(made.directory, made.before.result, 1000), never);
    return { ...made, newest: newest.path };
  }

  it('the newest is used, the other reported', async () => {
    const { directory, newest, snapshot, before } = await twoSnapshots();
    const { result, state } = await recovered(directory);
    expect(state).toEqual(before.state);
    expect(result.snapshot?.path).toBe(newest);
    expect(result.olderSnapshots.map(({ path }) => path)).toEqual([snapshot]);
    expect(result.covered).toHaveLength(2);
    expect(result.chain).toEqual(before.result.chain);
  });

  it('the older stands in for a damaged one while its segments are all there', async () => {
    const { directory, newest, snapshot, before } = await twoSnapshots();
    const bytes = readFileSync(newest);
    bytes[bytes.length - 70] = 1;
    writeFileSync(newest, bytes);
    const { result, state } = await recovered(directory);
    expect(state).toEqual(before.state);
    expect(result.snapshot?.path).toBe(snapshot);
    expect(result.damagedSnapshots.map(({ file }) => file)).toEqual([newest]);
    rmSync(before.result.sealed[0]?.path ?? '');
    await expect(recovered(directory)).rejects.toMatchObject({
      code: 'DATA_DAMAGED',
      file: newest,
    });
  });

  it('segments from the first one on stand in for the only one', async () => {
    const directory = makeDataDirectory();
    const make = new RecordMaker();
    new LogMaker(directory).write([[make.put('a', '1')], []]);
    const { result, state } = await recovered(directory);
    const { path } = await inThread(jobOf(directory, result, 1000), never);
    writeFileSync(path, 'x');
    const after = await recovered(directory);
    expect(after.state).toEqual(state);
    expect(after.result.damagedSnapshots).toHaveLength(1);
  });

  it('a missing snapshot is damage where its segments are gone', async () => {
    const made = await snapshotAndSegments();
    rmSync(made.snapshot);
    await expect(recovered(made.directory)).rejects.toMatchObject({
      code: 'DATA_DAMAGED',
      expected: 'segment 1 before this one, or a snapshot that covers it',
    });
  });

  it('one under another name, or of another log, is damage', async () => {
    const made = await snapshotAndSegments();
    copyFileSync(made.snapshot, join(made.directory.snapshot, '0000000000000002.snap'));
    rmSync(made.snapshot);
    await expect(recovered(made.directory)).rejects.toThrow('the number in its name');
  });
});

describe('canary: the property sees', () => {
  const faults: [string, (record: Buffer) => boolean][] = [
    ['touches that are dropped', (record) => record[6] === RECORD_TOUCH],
    ['deletes that are dropped', (record) => record[6] === RECORD_DELETE],
  ];

  it.each(faults)('%s', async (_, isDropped) => {
    const add = RunFold.prototype.add;
    RunFold.prototype.add = function (bytes, start, end) {
      return isDropped(bytes.subarray(start, end)) || add.call(this, bytes, start, end);
    };
    try {
      const directory = makeDataDirectory();
      const make = new RecordMaker();
      new LogMaker(directory).write([
        [make.put('a', '1'), make.put('b', '2')],
        [make.touch('a', START_TIME), make.delete('b')],
      ]);
      const before = await recovered(directory);
      await inThread(jobOf(directory, before.result, 100), never);
      expect((await recovered(directory)).state).not.toEqual(before.state);
    } finally {
      RunFold.prototype.add = add;
    }
  });
});
