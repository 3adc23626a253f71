// Backups of a log that is written to, rolled, compacted and whose segments are used again meanwhile: each
// is whole and holds all that was durable before it began. Restoring gives exactly that back.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { backUp, restoreBackup } from '../../node/log/local/backup.js';
import { dataPaths } from '../../node/log/local/data-directory.js';
import { BATCH_HEADER_BYTES, FILE_HEADER_BYTES } from '../../node/log/local/format.js';
import { listLogFiles } from '../../node/log/local/log-files.js';
import { recover } from '../../node/log/local/recovery.js';
import { lookAt, type Progress, verifyDirectory } from '../../node/log/local/verify.js';
import type { LogError } from '../../node/log/log.js';
import { temporaryFolder } from './log-files.js';
import { LiveLog } from './log-live.js';
import { MapState } from './log-state.js';

const BACKUPS = 50;
/** Small, so that a segment is read in many steps, and may be used again between two of them. */
const PIECE_BYTES = 1024;

/** Numbers that look random, the same each time. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Appends, rolls and compacts between the steps of others, until it is told to stop. */
function writing(log: LiveLog, random: () => number) {
  let isRunning = true;
  const done = (async () => {
    while (isRunning) {
      const steps = Math.floor(random() * 6);
      for (let step = 0; step < steps; step++) log.append(1 + Math.floor(random() * 4), 20, 40);
      if (random() < 0.02) log.roll();
      if (log.sealedCount > 8 + random() * 16) log.compact(4);
      // Now in the midst of a step of the other's, now after several.
      if (random() < 0.2) await setImmediate();
      else await setTimeout(random() * 3);
    }
  })();
  const stop = async () => {
    isRunning = false;
    await done;
  };
  onTestFinished(stop);
  return { stop };
}

type Copy = (source: string, target: string) => Promise<unknown>;

/** What is wrong with the copy that is made while the log is written to; undefined for nothing. */
async function faultOf(log: LiveLog, target: string, copy: Copy): Promise<string | undefined> {
  const durable = log.newest;
  await copy(log.paths.path, target);
  const found = await verifyDirectory(target);
  if (found.damage[0] !== undefined) return found.damage[0].message;
  if (found.newestBatch < durable) return `batches up to ${found.newestBatch} of ${durable}`;
  const state = new MapState();
  await recover(lookAt(target), state, { isReadOnly: true });
  expect(state.state).toEqual(log.stateAt(found.newestBatch));
  return undefined;
}

/** Copies file after file in small steps, as `cp -r` would. */
const copyWithoutChecking: Copy = async (source, target) => {
  const [from, to] = [dataPaths(source), dataPaths(target)];
  for (const folder of [to.wal, to.snapshot]) mkdirSync(folder, { recursive: true });
  copyFileSync(join(source, 'FORMAT'), join(target, 'FORMAT'));
  const { snapshots, segments } = listLogFiles(from);
  for (const { path } of [...snapshots.slice(0, 1), ...segments]) {
    await setImmediate();
    if (!existsSync(path)) continue;
    const name = path.slice(source.length);
    copyFileSync(path, join(target, name));
  }
};

describe('backup', () => {
  it('of a log in use is whole and has all that was durable before', {
    timeout: 120_000,
  }, async () => {
    const log = new LiveLog(4096);
    const folder = temporaryFolder();
    const writer = writing(log, randomOf(1));
    for (let index = 0; index < BACKUPS; index++) {
      const target = join(folder, `backup-${index}`);
      const copy: Copy = (from, to) => backUp(from, to, { pieceBytes: PIECE_BYTES });
      expect(await faultOf(log, target, copy)).toBeUndefined();
    }
    await writer.stop();
    expect(log.newest).toBeGreaterThan(500);
    expect(readdirSync(folder)).toHaveLength(BACKUPS);
  });

  it('is that also where the log moves on between any two batches of the copy', {
    timeout: 60_000,
  }, async () => {
    const log = new LiveLog(4096);
    const folder = temporaryFolder();
    const random = randomOf(3);
    let isMoving = false;
    let restarts = 0;
    let before = 0;
    const onProgress = (phase: string, { bytesDone }: Progress) => {
      if (phase === 'copying' && bytesDone < before) restarts++;
      before = phase === 'copying' ? bytesDone : 0;
      if (!isMoving || random() < 0.9) return;
      for (let step = 0; step < 60; step++) log.append(1 + Math.floor(random() * 4), 20, 40);
      // After that, most of what is being copied is used again.
      if (random() < 0.3) log.compact(4);
      for (let step = 0; step < 20; step++) log.append(1, 20, 40);
      isMoving = random() < 0.7;
    };
    const copy: Copy = (from, to) => backUp(from, to, { pieceBytes: 256, onProgress });
    for (let index = 0; index < BACKUPS; index++) {
      for (let step = 0; step < 50; step++) log.append(2, 20, 40);
      isMoving = true;
      expect(await faultOf(log, join(folder, `backup-${index}`), copy)).toBeUndefined();
      if (log.sealedCount > 40) log.compact(2);
    }
    expect(restarts).toBeGreaterThan(3);
  });

  it('that did not check what it copies would be seen by the test above', {
    timeout: 60_000,
  }, async () => {
    const log = new LiveLog(4096);
    const folder = temporaryFolder();
    const writer = writing(log, randomOf(2));
    const faults: string[] = [];
    // On a busy machine the log moves less often in the midst of a copy.
    for (let index = 0; index < BACKUPS * 10 && faults.length === 0; index++) {
      const fault = await faultOf(log, join(folder, `backup-${index}`), copyWithoutChecking);
      if (fault !== undefined) faults.push(fault);
    }
    await writer.stop();
    expect(faults.length).toBeGreaterThan(0);
  });

  it('leaves out what is not a whole batch, and the lock', async () => {
    const log = new LiveLog(4096);
    log.append(3);
    log.tear();
    writeFileSync(join(log.paths.path, 'LOCK'), 'pid 1\n');
    const target = join(temporaryFolder(), 'a', 'backup');
    const made = await backUp(log.paths.path, target);
    expect(made).toMatchObject({ path: target, newestBatch: 1, damage: [] });
    expect(readdirSync(target).sort()).toEqual(['FORMAT', 'worker-0']);
    expect(readdirSync(dirname(target))).toEqual(['backup']);
    const [segment] = listLogFiles(dataPaths(target)).segments;
    expect(segment?.bytes).toBe(FILE_HEADER_BYTES + BATCH_HEADER_BYTES + bodyBytes(log));
  });

  it('of a log without batches is one', async () => {
    const log = new LiveLog();
    const target = join(temporaryFolder(), 'backup');
    expect(await backUp(log.paths.path, target)).toMatchObject({ newestBatch: 0, damage: [] });
  });

  it('goes on over segments that never got a batch', async () => {
    const log = new LiveLog();
    log.append(1);
    log.roll();
    log.roll();
    log.append(2);
    const target = join(temporaryFolder(), 'backup');
    expect(await backUp(log.paths.path, target)).toMatchObject({ newestBatch: 2 });
    expect(listLogFiles(dataPaths(target)).segments.map(({ number }) => number)).toEqual([1, 3]);
  });

  it.each(['segment', 'snapshot'] as const)(
    'refuses a damaged %s, leaves nothing',
    async (kind) => {
      const log = new LiveLog(1024);
      for (let batch = 0; batch < 12; batch++) log.append(2);
      log.compact();
      for (let batch = 0; batch < 12; batch++) log.append(2);
      const { snapshots, segments } = listLogFiles(log.paths);
      const path = (kind === 'segment' ? segments : snapshots)[0]?.path ?? '';
      const bytes = readFileSync(path);
      bytes[300] = (bytes[300] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      const folder = temporaryFolder();
      const error: LogError = await backUp(log.paths.path, join(folder, 'b')).catch(
        (thrown) => thrown,
      );
      expect(error.code).toBe('DATA_DAMAGED');
      expect(error.message).toContain(path);
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it('never writes to what is there', async () => {
    const log = new LiveLog();
    log.append(1);
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'thesis.txt'), 'text');
    await expect(backUp(log.paths.path, folder)).rejects.toMatchObject({ code: 'DATA_NOT_EMPTY' });
    expect(readdirSync(folder)).toEqual(['thesis.txt']);
    await backUp(log.paths.path, temporaryFolder()); // An empty one will do.
  });
});

function bodyBytes(log: LiveLog): number {
  return log.batches.flat().reduce((sum, { length }) => sum + length, 0);
}

describe('restore', () => {
  async function madeBackup() {
    const log = new LiveLog(1024);
    for (let batch = 0; batch < 20; batch++) log.append(2);
    log.compact();
    log.append(2);
    const backup = join(temporaryFolder(), 'backup');
    await backUp(log.paths.path, backup);
    return { log, backup };
  }

  it('gives back what was backed up', async () => {
    const { log, backup } = await madeBackup();
    const target = join(temporaryFolder(), 'data');
    const made = await restoreBackup(backup, target);
    expect(made).toMatchObject({ path: target, newestBatch: log.newest });
    const state = new MapState();
    await recover(lookAt(target), state);
    expect(state.state).toEqual(log.stateAt(log.newest));
    expect(readFileSync(join(target, 'FORMAT'))).toEqual(
      readFileSync(join(log.paths.path, 'FORMAT')),
    );
  });

  it('refuses a directory that is not empty, and a damaged backup', async () => {
    const { log, backup } = await madeBackup();
    const refusal = restoreBackup(backup, log.paths.path);
    await expect(refusal).rejects.toMatchObject({ code: 'DATA_NOT_EMPTY' });
    expect((await verifyDirectory(log.paths.path)).newestBatch).toBe(log.newest);
    const path = listLogFiles(dataPaths(backup)).snapshots[0]?.path ?? '';
    const bytes = readFileSync(path);
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const folder = temporaryFolder();
    const damaged = restoreBackup(backup, join(folder, 'data'));
    await expect(damaged).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
    expect(readdirSync(folder)).toEqual([]);
  });
});
