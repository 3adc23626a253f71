// Mends a damaged data directory with a backup of the same log. The plan says of which batches each
// segment is to consist; a segment that consists of them already is not touched.
//
// Nothing is deleted: a file that is replaced gets a second name in `damaged-<time>` first and is then
// replaced by one rename; what has no place any more is renamed to there. A crash leaves a directory that
// still is refused, with all that was whole in it, and the repair can be run again.

import { LogError } from '../log.js';
import type { Gather } from './batch-stream.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { type Flock, LockFile } from './lock-file.js';
import { listLogFiles } from './log-files.js';
import { type LostBatches, lossOf } from './repair-loss.js';
import { planRepair } from './repair-plan.js';
import { lookAtSide } from './repair-sides.js';
import { applySteps, type RepairStep, stepsOf } from './repair-steps.js';
import type { Verification } from './verification.js';
import { lookAt, type Progress, verifyDirectory } from './verify.js';

export interface RepairOptions {
  /** Ends the log before a gap that the backup does not bridge. */
  readonly isLossAccepted?: boolean;
  /** Plans, and changes nothing. */
  readonly isDryRun?: boolean;
  readonly onProgress?: (progress: Progress) => void;
  /** The native ones where there is an addon. */
  readonly gather?: Gather;
  readonly flock?: Flock;
  /** For the name of the folder that keeps the damaged files, ms since 1970. */
  readonly now?: number;
}

export interface Repair {
  /** Empty: there was nothing to mend. */
  readonly steps: readonly RepairStep[];
  readonly lost: readonly LostBatches[];
  /** Where damaged files are kept; undefined where there are none, or in a dry run. */
  readonly kept: string | undefined;
  /** Of the directory afterwards; in a dry run, as it is. */
  readonly verification: Verification;
}

/**
 * Throws `DATA_LOCKED` (a node runs), `DATA_FORMAT` (the backup is of another log), `REPAIR_LOSES` (the
 * message says what would be lost), `DATA_DAMAGED` (of a kind that no backup mends), `DATA_UNREADABLE`.
 */
export async function repairDirectory(
  path: string,
  backupPath: string,
  options: RepairOptions = {},
): Promise<Repair> {
  const directory = lookAt(path);
  const backup = lookAt(backupPath);
  if (backup.logId !== directory.logId || backup.partitions !== directory.partitions) {
    throw new LogError(
      'DATA_FORMAT',
      `${backup.path} is a backup of another log than ${directory.path}. Give one of this log; to go on from that one instead: rondo restore`,
    );
  }
  const lock = LockFile.acquire(directory.path, options.flock);
  try {
    return await repairHeld(directory, backup, options);
  } finally {
    lock.release();
  }
}

type Directory = DataPaths & DataFormat;

async function repairHeld(
  directory: Directory,
  backup: Directory,
  { isLossAccepted, isDryRun, onProgress, gather, now = Date.now() }: RepairOptions,
): Promise<Repair> {
  const verify = () => verifyDirectory(directory.path, { isHeld: true, gather, onProgress });
  const before = await verify();
  const [damage] = before.damage;
  if (damage === undefined) return { steps: [], lost: [], kept: undefined, verification: before };

  const progress = { bytesDone: 0, bytesTotal: bytesOf(directory) + bytesOf(backup) };
  const onBytes = (bytes: number) => {
    progress.bytesDone += bytes;
    onProgress?.(progress);
  };
  const damaged = await lookAtSide(directory, onBytes);
  const other = await lookAtSide(backup, onBytes);
  const plan = await planRepair(damaged, other);
  if (plan === undefined) {
    throw new LogError(
      'REPAIR_LOSES',
      `${damage.file} is damaged at byte ${damage.offset}. Neither ${directory.path} nor ${backup.path} has a snapshot or a first segment to begin with. Nothing was changed. Give another backup`,
    );
  }
  const lost = await lossOf(damaged, plan);
  const steps = stepsOf(damaged, other, plan);
  if (steps.length === 0) throw damage;
  if (isDryRun === true) return { steps, lost, kept: undefined, verification: before };
  if (lost.length > 0 && isLossAccepted !== true) {
    throw new LogError(
      'REPAIR_LOSES',
      `${damage.file} is damaged at byte ${damage.offset}, and ${backup.path} does not bridge the gap. Batches ${lost.map(describeLost).join('; ')} would be lost. Nothing was changed. Give a newer backup; or end the log with batch ${plan.newest}, keeping the files behind it aside: --accept-loss`,
    );
  }
  const kept = await applySteps(directory, steps, now);
  const verification = await verify();
  if (verification.damage[0] !== undefined) throw verification.damage[0];
  return { steps, lost, kept, verification };
}

function bytesOf(paths: DataPaths): number {
  const { snapshots, segments } = listLogFiles(paths);
  return [...snapshots, ...segments].reduce((sum, { bytes }) => sum + bytes, 0);
}

/** As in "Batches ... would be lost". */
export function describeLost(lost: LostBatches): string {
  const { from, to, isWhole, firstTime, lastTime, records } = lost;
  const numbers = from === to ? String(from) : `${from} to ${to}`;
  if (!isWhole) return `${numbers} (in neither)`;
  const times = [firstTime, lastTime].filter((time) => time > 0);
  const iso = times.map((time) => new Date(time).toISOString());
  const what = Object.entries(records).map(([kind, count]) => `${count} ${kind}`);
  const content = what.length === 0 ? 'no record' : what.join(', ');
  return `${numbers} (whole, of ${[...new Set(iso)].join(' to ')}: ${content})`;
}
