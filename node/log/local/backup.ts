// A backup is a data directory like any other, with whole batches only: a copy of one that a node may be
// writing to. It is verified before it gets its name, so that what has the name is a backup.

import { dirname } from 'node:path';
import { LOG_ATTEMPTS_MAX } from '../../limits.js';
import { LogError } from '../log.js';
import type { Gather } from './batch-stream.js';
import { ChainCopy, type CopyOptions } from './chain-copy.js';
import type { DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { listLogFiles, removeFiles } from './log-files.js';
import { NewDirectory } from './new-directory.js';
import type { DirectoryVerification } from './verification.js';
import { type Progress, verifyDirectory } from './verify.js';
import { type DataLayout, readLayout, type WorkerLog } from './worker-logs.js';

export interface BackupOptions {
  readonly onProgress?: ((phase: 'copying' | 'verifying', progress: Progress) => void) | undefined;
  /** The native one where there is an addon. */
  readonly gather?: Gather | undefined;
  /** See `CopyOptions`. */
  readonly pieceBytes?: number | undefined;
}

/**
 * Copies the data directory `source` to `target`: all that was acknowledged before the call, and maybe
 * more. Resolves with what the backup holds. Throws `DATA_NOT_EMPTY`, `DATA_FORMAT`, `DATA_DAMAGED`,
 * `DATA_UNREADABLE`, `BACKUP_OVERTAKEN`; then there is nothing at `target`.
 */
export async function backUp(
  source: string,
  target: string,
  options: BackupOptions = {},
): Promise<DirectoryVerification> {
  return makeCopy(readLayout(source), target, options);
}

/**
 * Makes the data directory `target` from a backup. Resolves and throws as `backUp` does; a damaged backup
 * is refused whole.
 */
export async function restoreBackup(
  backup: string,
  target: string,
  options: BackupOptions = {},
): Promise<DirectoryVerification> {
  const layout = readLayout(backup);
  NewDirectory.begin(target, layout).discard(); // Refuses before anything long begins.
  const { damage } = await verifyDirectory(backup, {
    gather: options.gather,
    onProgress: (progress) => options.onProgress?.('verifying', progress),
  });
  if (damage[0] !== undefined) throw damage[0];
  return makeCopy(layout, target, options);
}

async function makeCopy(
  source: DataLayout,
  target: string,
  options: BackupOptions,
): Promise<DirectoryVerification> {
  const made = NewDirectory.begin(target, source);
  try {
    const newest = await copyLogs(source, made, options);
    made.addFormat();
    const found = await verifyDirectory(made.layout.path, {
      gather: options.gather,
      onProgress: (progress) => options.onProgress?.('verifying', progress),
    });
    if (found.damage[0] !== undefined) throw found.damage[0];
    for (const [worker, { newestBatch }] of found.logs.entries()) {
      if (newestBatch === newest[worker]) continue;
      const path = dirname(made.layout.logs[worker]?.wal ?? made.layout.path);
      throw new LogError(
        'DATA_UNREADABLE',
        `${path} holds batches up to ${newestBatch}, and ${newest[worker]} were written to it. Check the disk, and try another`,
      );
    }
    if (readLayout(source.path).generation !== source.generation) throw overtaken(source.path);
    made.publish();
    return { ...found, path: made.target };
  } catch (error) {
    made.discard();
    throw error;
  }
}

/** Answers the newest batch of each log. */
async function copyLogs(
  source: DataLayout,
  made: NewDirectory,
  { onProgress, pieceBytes }: BackupOptions,
): Promise<number[]> {
  const progress = {
    bytesDone: 0,
    bytesTotal: source.logs.reduce((sum, log) => sum + bytesOf(log), 0),
  };
  const newest: number[] = [];
  for (const [worker, log] of source.logs.entries()) {
    const before = progress.bytesDone;
    newest.push(
      await copyLog(log, made.layout.logs[worker] as WorkerLog, {
        pieceBytes,
        onAttempt: () => {
          progress.bytesDone = before;
          progress.bytesTotal = Math.max(progress.bytesTotal, before + bytesOf(log));
        },
        onBytes: (bytes) => {
          progress.bytesDone = Math.min(progress.bytesDone + bytes, progress.bytesTotal);
          onProgress?.('copying', progress);
        },
      }),
    );
  }
  return newest;
}

/** Copies a log, from the beginning where the node takes files away; answers the newest batch's number. */
async function copyLog(
  source: WorkerLog,
  target: WorkerLog,
  { onAttempt, ...options }: CopyOptions & { readonly onAttempt: () => void },
): Promise<number> {
  let isStandIn = false;
  for (let attempt = 1; ; attempt++) {
    onAttempt();
    const copy = new ChainCopy(source, target, { ...options, isStandIn });
    try {
      await copy.run();
      return copy.chain.next - 1;
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      if (!copy.isOvertaken()) {
        const isSnapshot = error instanceof DataDamage && error.file.endsWith('.snap');
        if (isStandIn || !isSnapshot) throw error;
        isStandIn = true;
      }
      if (attempt === LOG_ATTEMPTS_MAX) throw overtaken(source.path, error);
      // At once: right behind a compaction the segments to copy are fewest.
      const { segments, snapshots } = listLogFiles(target);
      removeFiles([...segments, ...snapshots].map(({ path }) => path));
    }
  }
}

function bytesOf(source: DataPaths): number {
  const { snapshots, segments } = listLogFiles(source);
  const files = [...snapshots.slice(0, 1), ...segments];
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function overtaken(path: string, cause?: unknown): LogError {
  return new LogError(
    'BACKUP_OVERTAKEN',
    `The node on ${path} took files away in each of ${LOG_ATTEMPTS_MAX} attempts to copy them. Nothing was left behind. Try when less is written, or to a faster disk`,
    { cause },
  );
}
