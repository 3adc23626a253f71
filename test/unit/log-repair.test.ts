// Repair with a backup: whatever is damaged, all is there again afterwards, or nothing was changed and it
// is said what would be lost.

import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { backUp } from '../../node/log/local/backup.js';
import { dataPaths } from '../../node/log/local/data-directory.js';
import { LockFile } from '../../node/log/local/lock-file.js';
import { listLogFiles } from '../../node/log/local/log-files.js';
import { recover } from '../../node/log/local/recovery.js';
import { repairDirectory } from '../../node/log/local/repair.js';
import { lookAt, verifyDirectory } from '../../node/log/local/verify.js';
import type { LogError } from '../../node/log/log.js';
import { temporaryFolder } from './log-files.js';
import { LiveLog } from './log-live.js';
import { MapState } from './log-state.js';

/** Segments 1 and 2 folded into a snapshot; on to segment 5; `at` is called as each segment begins. */
async function someLog(at: (segment: number, log: LiveLog) => Promise<void> = async () => {}) {
  const log = new LiveLog(512);
  for (let segment = 2; segment <= 5; segment++) {
    while (log.activePath !== log.pathOf(segment)) log.append(1);
    if (segment === 3) log.compact();
    await at(segment, log);
  }
  log.append(1);
  log.mark();
  return log;
}

async function withBackup() {
  const log = await someLog();
  const backup = join(temporaryFolder(), 'backup');
  await backUp(log.paths.path, backup);
  return { log, backup, path: log.paths.path };
}

/** A log that went on after its backup. */
async function withOldBackup(backupAt: number) {
  const backup = join(temporaryFolder(), 'backup');
  let covered = 0;
  const log = await someLog(async (segment, made) => {
    if (segment !== backupAt) return;
    await backUp(made.paths.path, backup);
    covered = made.newest;
  });
  return { log, backup, covered, path: log.paths.path };
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

async function stateIn(path: string) {
  const state = new MapState();
  await recover(lookAt(path), state, { isReadOnly: true });
  return state.state;
}

function contentOf(path: string): Record<string, string> {
  const files = readdirSync(path, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    files
      .filter((file) => file.isFile())
      .map(({ parentPath, name }) => [join(parentPath, name), join(parentPath, name)])
      .map(([name = '', file = '']) => [name, readFileSync(file, 'hex')]),
  );
}

function replaceBy(path: string, copy: string): void {
  rmSync(path, { recursive: true });
  cpSync(copy, path, { recursive: true });
}

const refusalOf = (step: Promise<unknown>): Promise<LogError> =>
  step.then(
    () => {
      throw new Error('was not refused');
    },
    (error: LogError) => error,
  );

describe('repair', () => {
  it('of a whole log changes nothing', async () => {
    const { path, backup } = await withBackup();
    const before = contentOf(path);
    expect((await repairDirectory(path, backup)).steps).toEqual([]);
    expect(contentOf(path)).toEqual(before);
  });

  it('mends a flip in each region of each file', { timeout: 120_000 }, async () => {
    const { log, path, backup } = await withBackup();
    const copy = join(temporaryFolder(), 'copy');
    cpSync(path, copy, { recursive: true });
    const { snapshots, segments } = listLogFiles(log.paths);
    let mended = 0;
    for (const file of [...snapshots, ...segments]) {
      for (let at = 3; at < file.bytes; at += 37) {
        flip(file.path, at);
        const damaged = readFileSync(file.path);
        const isDamaged = (await verifyDirectory(path)).damage.length > 0;
        const { steps, lost, kept } = await repairDirectory(path, backup);
        expect(lost).toEqual([]);
        expect(steps.map((step) => step.path)).toEqual(isDamaged ? [file.path] : []);
        if (isDamaged) {
          expect(await stateIn(path), `${file.path}, byte ${at}`).toEqual(log.stateAt(log.newest));
          const name = file.path.slice(file.path.lastIndexOf('/') + 1);
          expect(readFileSync(join(kept ?? '', name)).equals(damaged)).toBe(true);
          mended++;
        }
        replaceBy(path, copy);
      }
    }
    expect(mended).toBeGreaterThan(30);
  });

  it('takes what is whole from the directory, also where the backup is damaged elsewhere', async () => {
    const { log, path, backup } = await withBackup();
    flip(log.pathOf(3), 100);
    flip(log.pathOf(4), 100);
    const other = dataPaths(backup);
    for (const { path: file } of listLogFiles(other).segments) flip(file, 300);
    const { steps } = await repairDirectory(path, backup);
    const pieces = steps.map((step) => step.pieces?.map(({ isBackup }) => isBackup));
    expect(pieces).toEqual([
      [true, false],
      [true, false],
    ]);
    expect(await stateIn(path)).toEqual(log.stateAt(log.newest));
  });

  it.each([3, 4])('puts segment %i there again', async (segment) => {
    const { log, path, backup } = await withBackup();
    rmSync(log.pathOf(segment));
    const { steps } = await repairDirectory(path, backup);
    expect(steps.map(({ action }) => action)).toEqual(['add']);
    expect(await stateIn(path)).toEqual(log.stateAt(log.newest));
  });

  it('puts the snapshot there again', async () => {
    const { log, path, backup } = await withBackup();
    rmSync(listLogFiles(log.paths).snapshots[0]?.path ?? '');
    const { steps } = await repairDirectory(path, backup);
    expect(steps.map(({ action }) => action)).toEqual(['add']);
    expect(await stateIn(path)).toEqual(log.stateAt(log.newest));
  });

  it('bridges from an older snapshot of the backup to the segments of the directory', async () => {
    const log = new LiveLog(512);
    while (log.activePath !== log.pathOf(3)) log.append(1);
    log.compact();
    while (log.activePath !== log.pathOf(6)) log.append(1);
    log.append(1);
    const backup = join(temporaryFolder(), 'backup');
    await backUp(log.paths.path, backup);
    log.compact();
    while (log.activePath !== log.pathOf(7)) log.append(1);
    const path = log.paths.path;
    flip(listLogFiles(log.paths).snapshots[0]?.path ?? '', 200);
    const { steps, lost } = await repairDirectory(path, backup);
    expect(lost).toEqual([]);
    expect(steps.map(({ action }) => action)).toEqual(['add', 'add', 'add', 'add', 'move away']);
    expect(await stateIn(path)).toEqual(log.stateAt(log.newest));
  });

  it('says what an old backup would lose, and loses it only where that is accepted', async () => {
    const { log, path, backup, covered } = await withOldBackup(4);
    const gap = covered + 2;
    flip(log.pathOf(4), 64 + 104 + 104 + 50); // In its third batch; the backup has the first.
    const before = contentOf(path);
    const error = await refusalOf(repairDirectory(path, backup));
    expect(error.code).toBe('REPAIR_LOSES');
    expect(error.message).toContain(`${gap} (in neither)`);
    expect(error.message).toContain(`to ${log.newest} (whole, of`);
    expect(error.message).toContain(log.pathOf(4));
    expect(contentOf(path)).toEqual(before);

    const planned = await repairDirectory(path, backup, { isDryRun: true });
    expect(planned.lost.map(({ from, isWhole }) => [from, isWhole])[0]).toEqual([gap, false]);
    expect(contentOf(path)).toEqual(before);

    const { kept, verification } = await repairDirectory(path, backup, { isLossAccepted: true });
    expect(verification.newestBatch).toBe(gap - 1);
    expect(await stateIn(path)).toEqual(log.stateAt(gap - 1));
    const names = readdirSync(kept ?? '').sort();
    expect(names).toEqual([4, 5].map((segment) => log.pathOf(segment).slice(-20)));
    expect(readFileSync(join(kept ?? '', names[0] ?? ''), 'hex')).toBe(before[log.pathOf(4)]);
  });

  it('takes nothing of a backup that has other batches in the gap', async () => {
    const { log, path, backup } = await withBackup();
    // The backup's segment 4 is one that the log might have had: another value in each batch.
    const other = await someLog();
    expect(other.newest).toBe(log.newest);
    const fork = new LiveLog(512, 'other');
    while (fork.activePath !== fork.pathOf(5)) fork.append(1);
    cpSync(fork.pathOf(4), log.pathOf(4).replace(path, backup));
    flip(log.pathOf(4), 200);
    const error = await refusalOf(repairDirectory(path, backup));
    expect(error.code).toBe('REPAIR_LOSES');
    expect(error.message).toContain('(in neither)');
  });

  it('refuses a backup of another log, and a directory in use', async () => {
    const { path, backup } = await withBackup();
    const lock = LockFile.acquire(path);
    expect((await refusalOf(repairDirectory(path, backup))).code).toBe('DATA_LOCKED');
    lock.release();
    const format = join(backup, 'FORMAT');
    writeFileSync(format, readFileSync(format, 'utf8').replace('id 0123', 'id 3210'));
    expect((await refusalOf(repairDirectory(path, backup))).code).toBe('DATA_FORMAT');
  });

  it('is run again where it was cut short', async () => {
    const { log, path, backup } = await withBackup();
    flip(log.pathOf(3), 100);
    flip(log.pathOf(4), 100);
    const copy = join(temporaryFolder(), 'copy');
    cpSync(path, copy, { recursive: true });
    await repairDirectory(path, backup);
    // Of the two that were replaced only one was, and the other's new file lies aside, half written.
    const mended = readFileSync(log.pathOf(4));
    cpSync(join(copy, 'worker-0'), join(path, 'worker-0'), { recursive: true });
    renameSync(log.pathOf(3), `${log.pathOf(3)}.tmp`);
    writeFileSync(log.pathOf(3), readFileSync(`${log.pathOf(3)}.tmp`));
    writeFileSync(log.pathOf(4), mended);
    const { steps } = await repairDirectory(path, backup, { now: 0 });
    expect(steps.map((step) => step.path)).toEqual([log.pathOf(3)]);
    expect(await stateIn(path)).toEqual(log.stateAt(log.newest));
  });
});
