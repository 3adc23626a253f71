// A backup is a data directory like any other, with whole batches only: a copy of one that a node may be
// writing to. It is verified before it gets its name, so that what has the name is a backup.

import { LOG_ATTEMPTS_MAX } from '../../limits.js';
import { LogError } from '../log.js';
import type { Gather } from './batch-stream.js';
import { ChainCopy } from './chain-copy.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { listLogFiles } from './log-files.js';
import { NewDirectory } from './new-directory.js';
import type { Verification } from './verification.js';
import { lookAt, type Progress, verifyDirectory } from './verify.js';

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
): Promise<Verification> {
  const directory = lookAt(source);
  return makeCopy(directory, target, options);
}

/**
 * Makes the data directory `target` from a backup. Resolves and throws as `backUp` does; a damaged backup
 * is refused whole.
 */
export async function restoreBackup(
  backup: string,
  target: string,
  options: BackupOptions = {},
): Promise<Verification> {
  const directory = lookAt(backup);
  NewDirectory.begin(target).discard(); // Refuses before anything long begins.
  const { damage } = await verifyDirectory(backup, {
    gather: options.gather,
    onProgress: (progress) => options.onProgress?.('verifying', progress),
  });
  if (damage[0] !== undefined) throw damage[0];
  return makeCopy(directory, target, options);
}

async function makeCopy(
  source: DataPaths & DataFormat,
  target: string,
  options: BackupOptions,
): Promise<Verification> {
  const made = NewDirectory.begin(target);
  try {
    const newest = await copyLog(source, made, options);
    made.addFormat(source);
    const found = await verifyDirectory(made.paths.path, {
      gather: options.gather,
      onProgress: (progress) => options.onProgress?.('verifying', progress),
    });
    if (found.damage[0] !== undefined) throw found.damage[0];
    if (found.newestBatch !== newest) {
      throw new LogError(
        'DATA_UNREADABLE',
        `${made.paths.path} holds batches up to ${found.newestBatch}, and ${newest} were written to it. Check the disk, and try another`,
      );
    }
    made.publish();
    return { ...found, path: made.target };
  } catch (error) {
    made.discard();
    throw error;
  }
}

/** Copies, from the beginning where the node takes files away; answers the newest batch's number. */
async function copyLog(
  source: DataPaths & DataFormat,
  made: NewDirectory,
  { onProgress, pieceBytes }: BackupOptions,
): Promise<number> {
  let isStandIn = false;
  for (let attempt = 1; ; attempt++) {
    const progress = { bytesDone: 0, bytesTotal: bytesOf(source) };
    const onBytes = (bytes: number) => {
      progress.bytesDone = Math.min(progress.bytesDone + bytes, progress.bytesTotal);
      onProgress?.('copying', progress);
    };
    const copy = new ChainCopy(source, made.paths, { onBytes, pieceBytes, isStandIn });
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
      made.clear();
    }
  }
}

function bytesOf(source: DataPaths): number {
  const { snapshots, segments } = listLogFiles(source);
  const files = [...snapshots.slice(0, 1), ...segments];
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function overtaken(path: string, cause: unknown): LogError {
  return new LogError(
    'BACKUP_OVERTAKEN',
    `The node on ${path} took files away in each of ${LOG_ATTEMPTS_MAX} attempts to copy them. Nothing was left behind. Try when less is written, or to a faster disk`,
    { cause },
  );
}
