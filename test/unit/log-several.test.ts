// The log of each of several workers: opened by itself, verified, mended, copied and restored with the others.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { describeVerification, verificationJson } from '../../node/cli/log-table.js';
import { realClock } from '../../node/clock.js';
import { loadSettings } from '../../node/config/config.js';
import { backUp, restoreBackup } from '../../node/log/local/backup.js';
import { DumpReader } from '../../node/log/local/dump.js';
import { lockedBy } from '../../node/log/local/lock-file.js';
import { listLogFiles } from '../../node/log/local/log-files.js';
import { prepareWorkers } from '../../node/log/local/redistribution.js';
import { repairDirectory } from '../../node/log/local/repair.js';
import { verifyDirectory } from '../../node/log/local/verify.js';
import { readLayout, type WorkerLog } from '../../node/log/local/worker-logs.js';
import { openLog } from '../../node/log/open-log.js';
import type { Engine } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { findNative } from '../drive/engines.js';
import { PARTITIONS, RecordMaker, temporaryFolder } from './log-files.js';
import { MapState } from './log-state.js';
import { append, contentsOf, lastSegment, optionsOf, prepare, wholeState } from './log-workers.js';

const logger = pino({ level: 'silent' });

/** A directory of three workers, with a snapshot and a segment each; worker 1 has two partitions' worth. */
async function threeLogs() {
  const path = join(temporaryFolder(), 'data');
  const make = new RecordMaker();
  const model = new MapState();
  const take = (count: number) =>
    Array.from({ length: count }, () => [make.put(`key-${make.time % 40}`, 'v'.repeat(50))]);
  for (const workers of [2, 3]) {
    const batches = take(30);
    await append(await prepare(path, workers), batches);
    for (const record of batches.flat()) model.fold(record);
  }
  return { path, make, model, layout: readLayout(path) };
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('the logs of several workers', () => {
  it('are verified together', async () => {
    const { path, layout } = await threeLogs();
    const whole = await verifyDirectory(path);
    expect(whole.damage).toEqual([]);
    expect(whole.logId).toBe(layout.id);
    expect(whole.logs.map(({ worker, logId }) => [worker, logId])).toEqual(
      layout.logs.map(({ worker, logId }) => [worker, logId]),
    );
    const files = whole.files.map(({ file }) => basename(dirname(dirname(file.path))));
    expect(new Set(files)).toEqual(new Set(['worker-0.2', 'worker-1.2', 'worker-2.2']));
    expect(describeVerification(whole).at(-1)).toContain(
      'Whole. Batches of 3 workers up to 31, 31',
    );

    const file = lastSegment(layout.logs[1] as WorkerLog);
    flip(file, 150);
    const damaged = await verifyDirectory(path);
    expect(damaged.damage.map((one) => one.file)).toEqual([file]);
    expect(damaged.logs.map(({ damage }) => damage.length)).toEqual([0, 1, 0]);
    expect(describeVerification(damaged).join('\n')).toMatch(/worker-1\.2.*DAMAGED at byte/);
    expect(verificationJson(damaged)).toMatchObject({
      whole: false,
      logs: [{ whole: true }, { whole: false, worker: 1 }, { whole: true }],
    });
  });

  it('are copied and restored together', async () => {
    const { path, model } = await threeLogs();
    const folder = temporaryFolder();
    const [backup, restored] = [join(folder, 'backup'), join(folder, 'restored')];
    const made = await backUp(path, backup);
    expect(made).toMatchObject({ path: backup, damage: [] });
    expect(made.logs).toHaveLength(3);
    expect(await wholeState(backup)).toEqual(model.state);
    await restoreBackup(backup, restored);
    expect(await wholeState(restored)).toEqual(model.state);
    expect(readLayout(restored)).toEqual({ ...readLayout(path), ...placesOf(restored) });
    await prepare(restored, 1);
    expect(await wholeState(restored)).toEqual(model.state);
    // One of them damaged: the backup is refused whole.
    flip(lastSegment(readLayout(backup).logs[2] as WorkerLog), 150);
    const never = join(folder, 'never');
    await expect(restoreBackup(backup, never)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
    await expect(backUp(backup, never)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
    expect(readdirSync(folder).sort()).toEqual(['backup', 'restored']);
  });

  it('are mended where they are damaged, each with its own files of the backup', async () => {
    const { path, model, layout } = await threeLogs();
    const backup = join(temporaryFolder(), 'backup');
    await backUp(path, backup);
    for (const log of layout.logs.slice(1)) flip(lastSegment(log), 150);
    const before = contentsOf(path);
    const dry = await repairDirectory(path, backup, { isDryRun: true });
    expect(dry.steps.map((step) => step.path)).toEqual(layout.logs.slice(1).map(lastSegment));
    expect(contentsOf(path)).toEqual(before);
    const { kept, lost, verification } = await repairDirectory(path, backup);
    expect(lost).toEqual([]);
    expect(verification.damage).toEqual([]);
    expect(readdirSync(kept ?? '').sort()).toEqual(['worker-1.2', 'worker-2.2']);
    expect(await wholeState(path)).toEqual(model.state);
  });

  it('stay as they are where one of them would lose something', async () => {
    const { path, make, layout } = await threeLogs();
    const backup = join(temporaryFolder(), 'backup');
    await backUp(path, backup);
    const later = Array.from({ length: 40 }, (_, at) => [make.put(`later-${at}`, 'value')]);
    await append(layout, later);
    const [, second, third] = layout.logs as [WorkerLog, WorkerLog, WorkerLog];
    flip(listLogFiles(second).segments[0]?.path ?? '', 150); // The backup has it.
    flip(lastSegment(third), 150);
    const before = contentsOf(path);
    const error = await repairDirectory(path, backup).catch((thrown) => thrown);
    expect(error.code).toBe('REPAIR_LOSES');
    expect(error.message).toMatch(/Batches \d+.* of worker 2 \(whole/);
    expect(error.message).not.toContain('of worker 1');
    const { LOCK: _, ...after } = contentsOf(path);
    expect(after).toEqual(before);
    const { lost, verification } = await repairDirectory(path, backup, { isLossAccepted: true });
    expect(new Set(lost.map(({ worker }) => worker))).toEqual(new Set([2]));
    expect(verification.damage).toEqual([]);
  });

  it('are not mended with a backup of another placement', async () => {
    const { path } = await threeLogs();
    const backup = join(temporaryFolder(), 'backup');
    await backUp(path, backup);
    await prepare(path, 2);
    const step = repairDirectory(path, backup);
    await expect(step).rejects.toMatchObject({ code: 'DATA_FORMAT' });
    await expect(step).rejects.toThrow('logs of 3 workers, generation 2');
  });

  it('say to which log a file without a header belongs', async () => {
    const { layout } = await threeLogs();
    const [, log] = layout.logs as [WorkerLog, WorkerLog];
    const file = lastSegment(log);
    flip(file, 3);
    const reader = await DumpReader.open(file);
    expect(reader.header).toBeUndefined();
    let batches = 0;
    while ((await reader.next()) !== undefined) batches++;
    expect(batches).toBe(30);
    await reader.close();
  });
});

const ENGINES = 'reason' in findNative() ? (['ts'] as const) : (['ts', 'native'] as const);

describe.each(ENGINES)('a worker with the %s engine', (kind) => {
  it('opens its own log, beside the others, in a directory that another thread holds', async () => {
    const path = join(temporaryFolder(), 'data');
    const choice = chooseEngine(kind);
    const flags = { dataDir: path, partitions: PARTITIONS, engine: kind };
    const settings = loadSettings({ flags, environment: {}, configPath: undefined });
    const make = new RecordMaker();
    const model = new MapState();
    const open = async (worker?: { index: number; workers: number }) => {
      const engine = choice.create({
        partitions: PARTITIONS,
        valueBytesMax: 1024,
        memoryBytesMax: 0,
        hashSeed: 1,
      });
      const fail = (error: Error): never => {
        throw error;
      };
      const events = { onProgress() {}, onFailure: fail };
      const options = { settings, engine: choice, clock: realClock, logger, events, worker };
      return { engine, ...(await openLog(engine, { mode: 'sync' }, options)) };
    };
    const ids = new Set<bigint>();
    for (const workers of [2, 4, 2]) {
      const addon = choice.addon as never;
      const rest = kind === 'ts' ? {} : { addon, compact: undefined };
      const prepared = await prepareWorkers(path, optionsOf(workers, rest));
      expect(lockedBy(path)).toBe(process.pid);
      const { owners } = prepared.layout;
      const opened = await Promise.all(
        Array.from({ length: workers }, (_, index) => open({ index, workers })),
      );
      for (const { logId } of opened) ids.add(logId);
      for (let round = 0; round < 50; round++) {
        const record = make.put(`key-${make.time % 30}`, `value ${make.time}`);
        model.fold(record);
        const { log } = opened[owners[record[8] as number] as number] as (typeof opened)[number];
        log.append(log.epoch, record, record.length);
        log.flush();
      }
      for (const { log } of opened) await log.settled(log.appended, 10_000);
      for (const one of opened) await closed(one);
      expect(existsSync(join(path, 'LOCK'))).toBe(true);
      prepared.close();
      expect(await wholeState(path)).toEqual(model.state);
    }
    expect(ids.size).toBe(2 + 4 + 2);
    // Without a worker it does all of it: takes the lock, makes one log of them, lets go.
    if (kind === 'ts') await prepare(path, 1);
    const alone = await open();
    expect(lockedBy(path)).toBe(process.pid);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      expect(alone.engine.revisionOf(partition)).toBe(make.revisions[partition]);
    }
    await closed(alone);
    expect(existsSync(join(path, 'LOCK'))).toBe(false);
    expect(readLayout(path)).toMatchObject({ workers: 1, generation: 4 });
    rmSync(path, { recursive: true });
  });
});

async function closed({ engine, close }: { engine: Engine; close(): Promise<void> }) {
  await close();
  engine.close();
}

/** What a layout has beside its placement: where things are. */
function placesOf(path: string) {
  const { logs } = readLayout(path);
  return { path, logs };
}
