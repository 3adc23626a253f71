// Mends a damaged data directory with a backup of the same log. The plan says of which batches each
// segment is to consist; a segment that consists of them already is not touched.
//
// Nothing is deleted: a file that is replaced gets a second name in `damaged-<time>` first and is then
// replaced by one rename; what has no place any more is renamed to there. A crash leaves a directory that
// still is refused, with all that was whole in it, and the repair can be run again.

import { basename, dirname, join } from 'node:path';
import { LogError } from '../log.js';
import type { Gather } from './batch-stream.js';
import type { DataDamage } from './data-errors.js';
import { type Flock, LockFile } from './lock-file.js';
import { bytesOfLog } from './log-files.js';
import { type LostBatches, lossOf } from './repair-loss.js';
import { planRepair } from './repair-plan.js';
import { lookAtSide } from './repair-sides.js';
import { applySteps, type RepairStep, stepsOf } from './repair-steps.js';
import type { DirectoryVerification } from './verification.js';
import { type Progress, verifyDirectory } from './verify.js';
import { type DataLayout, readLayout, type WorkerLog } from './worker-logs.js';

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
  readonly verification: DirectoryVerification;
}

/**
 * All logs of the directory, or none: what one of them would lose is known before another is changed. Throws
 * `DATA_LOCKED` (a node runs), `DATA_FORMAT` (the backup is of other logs), `REPAIR_LOSES` (the message says what
 * would be lost), `DATA_DAMAGED` (of a kind that no backup mends), `DATA_UNREADABLE`.
 */
export async function repairDirectory(
  path: string,
  backupPath: string,
  options: RepairOptions = {},
): Promise<Repair> {
  const directory = readLayout(path);
  const backup = readLayout(backupPath);
  checkSame(directory, backup);
  const lock = LockFile.acquire(directory.path, options.flock);
  try {
    return await repairHeld(directory, backup, options);
  } finally {
    lock.release();
  }
}

function checkSame(directory: DataLayout, backup: DataLayout): void {
  if (backup.id !== directory.id || backup.partitions !== directory.partitions) {
    throw new LogError(
      'DATA_FORMAT',
      `${backup.path} is a backup of another log than ${directory.path}. Give one of this log; to go on from that one instead: rondo restore`,
    );
  }
  if (backup.generation === directory.generation) return;
  throw new LogError(
    'DATA_FORMAT',
    `${backup.path} has the logs of ${backup.workers} workers, generation ${backup.generation}; ${directory.path} those of ${directory.workers}, generation ${directory.generation}. Give a backup of since then; to go on from that one instead: rondo restore`,
  );
}

/** What is to be done to a log that is damaged. */
interface LogRepair {
  readonly log: WorkerLog;
  readonly damage: DataDamage;
  readonly newest: number;
  readonly steps: readonly RepairStep[];
  readonly lost: readonly LostBatches[];
}

async function repairHeld(
  directory: DataLayout,
  backup: DataLayout,
  { isLossAccepted, isDryRun, onProgress, gather, now = Date.now() }: RepairOptions,
): Promise<Repair> {
  const verify = () => verifyDirectory(directory.path, { isHeld: true, gather, onProgress });
  const before = await verify();
  const damaged = directory.logs.filter(({ worker }) => before.logs[worker]?.damage.length !== 0);
  const pairs = damaged.map((log) => [log, backup.logs[log.worker] as WorkerLog] as const);
  const progress = {
    bytesDone: 0,
    bytesTotal: pairs.flat().reduce((sum, log) => sum + bytesOfLog(log), 0),
  };
  const onBytes = (bytes: number) => {
    progress.bytesDone += bytes;
    onProgress?.(progress);
  };
  const repairs: LogRepair[] = [];
  for (const [log, other] of pairs) {
    const [damage] = before.logs[log.worker]?.damage ?? [];
    const isAlone = directory.workers === 1;
    if (damage !== undefined) repairs.push(await planOf(log, other, damage, isAlone, onBytes));
  }
  const steps = repairs.flatMap((repair) => repair.steps);
  const lost = repairs.flatMap((repair) => repair.lost);
  if (isDryRun === true || repairs.length === 0) {
    return { steps, lost, kept: undefined, verification: before };
  }
  const losing = repairs.find((repair) => repair.lost.length > 0);
  if (losing !== undefined && isLossAccepted !== true)
    throw losesBatches(losing, backup.path, lost);
  const kept = join(directory.path, `damaged-${new Date(now).toISOString().replace(/[:.]/g, '-')}`);
  for (const { log, steps } of repairs) {
    await applySteps(log, steps, directory.workers === 1 ? kept : join(kept, folderOf(log)));
  }
  const verification = await verify();
  if (verification.damage[0] !== undefined) throw verification.damage[0];
  return { steps, lost, kept, verification };
}

async function planOf(
  log: WorkerLog,
  backup: WorkerLog,
  damage: DataDamage,
  isAlone: boolean,
  onBytes: (bytes: number) => void,
): Promise<LogRepair> {
  const damaged = await lookAtSide(log, onBytes);
  const other = await lookAtSide(backup, onBytes);
  const plan = await planRepair(damaged, other);
  if (plan === undefined) {
    throw new LogError(
      'REPAIR_LOSES',
      `${damage.file} is damaged at byte ${damage.offset}. Neither ${log.path} nor ${backup.path} has a snapshot or a first segment to begin with. Nothing was changed. Give another backup`,
    );
  }
  const found = await lossOf(damaged, plan);
  const lost = isAlone ? found : found.map((one) => ({ ...one, worker: log.worker }));
  const steps = stepsOf(damaged, other, plan);
  if (steps.length === 0) throw damage;
  return { log, damage, newest: plan.newest, steps, lost };
}

function losesBatches(
  { damage, newest }: LogRepair,
  backup: string,
  lost: readonly LostBatches[],
): LogError {
  return new LogError(
    'REPAIR_LOSES',
    `${damage.file} is damaged at byte ${damage.offset}, and ${backup} does not bridge the gap. Batches ${lost.map(describeLost).join('; ')} would be lost. Nothing was changed. Give a newer backup; or end the log with batch ${newest}, keeping the files behind it aside: --accept-loss`,
  );
}

function folderOf({ wal }: WorkerLog): string {
  return basename(dirname(wal));
}

/** As in "Batches ... would be lost". */
export function describeLost(lost: LostBatches): string {
  const { from, to, worker, isWhole, firstTime, lastTime, records } = lost;
  const log = worker === undefined ? '' : ` of worker ${worker}`;
  const numbers = `${from === to ? from : `${from} to ${to}`}${log}`;
  if (!isWhole) return `${numbers} (in neither)`;
  const times = [firstTime, lastTime].filter((time) => time > 0);
  const iso = times.map((time) => new Date(time).toISOString());
  const what = Object.entries(records).map(([kind, count]) => `${count} ${kind}`);
  const content = what.length === 0 ? 'no record' : what.join(', ');
  return `${numbers} (whole, of ${[...new Set(iso)].join(' to ')}: ${content})`;
}
