// What a verification has found: each file with its state, and the damage.

import { join } from 'node:path';
import type { DataPaths } from './data-directory.js';
import type { DataDamage } from './data-errors.js';
import { segmentName, snapshotName } from './format.js';
import type { NumberedFile } from './log-files.js';
import type { Undecided } from './recovery-end.js';

/**
 * `unused`: made ready, or of a crash, and without meaning. `covered`: a newer snapshot stands for it.
 * `torn`: ends in a batch that a crash cut short. `active`: a node is writing to it.
 */
export type FileState = 'whole' | 'unused' | 'covered' | 'torn' | 'active' | 'damaged' | 'missing';

export interface FileReport {
  readonly kind: 'snapshot' | 'segment';
  readonly file: NumberedFile;
  readonly state: FileState;
  /** Whole batches; of a snapshot, its own. 0 where they were not read. */
  readonly batches: number;
  readonly records: number;
  /** Numbers of the log's batches that it holds or, a snapshot, stands for; 0 for none. */
  readonly from: number;
  readonly to: number;
  /** Where a batch begins that a crash cut short, or that is being written. */
  readonly tornAt: number | undefined;
  readonly damage: readonly DataDamage[];
}

/** Of one log. */
export interface Verification {
  /** Of the data directory. */
  readonly path: string;
  readonly worker: number;
  readonly logId: bigint;
  readonly partitions: number;
  /** Pid of the process that has it open. */
  readonly openIn: number | undefined;
  /** Snapshots, then segments, by number. */
  readonly files: readonly FileReport[];
  readonly damage: readonly DataDamage[];
  /** Where it could not be told whether more was durable; see `RecoveredLog`. */
  readonly undecided: Undecided | undefined;
  /** Number of the newest batch; 0 for none. */
  readonly newestBatch: number;
  /** Of the newest record, ms since 1970; 0 for none. */
  readonly time: number;
}

/**
 * Of all logs of a directory: their files and their damage one after another, the number of batches of all, the
 * newest time of any. `logId` is the id of the directory.
 */
export interface DirectoryVerification extends Omit<Verification, 'worker'> {
  /** By worker; one where there is one worker. */
  readonly logs: readonly Verification[];
}

export function joinVerifications(
  logId: bigint,
  logs: readonly [Verification, ...Verification[]],
): DirectoryVerification {
  const { path, partitions } = logs[0];
  return {
    path,
    logId,
    partitions,
    openIn: logs.findLast(({ openIn }) => openIn !== undefined)?.openIn,
    files: logs.flatMap(({ files }) => files),
    damage: logs.flatMap(({ damage }) => damage),
    undecided: logs.find(({ undecided }) => undecided !== undefined)?.undecided,
    newestBatch: logs.reduce((sum, { newestBatch }) => sum + newestBatch, 0),
    time: Math.max(...logs.map(({ time }) => time)),
    logs,
  };
}

export function fileReport(
  kind: FileReport['kind'],
  file: NumberedFile,
  state: FileState,
  rest: Partial<FileReport> = {},
): FileReport {
  const none = { batches: 0, records: 0, from: 0, to: 0, tornAt: undefined, damage: [] };
  return { kind, file, state, ...none, ...rest };
}

export function sortReports(reports: readonly FileReport[]): FileReport[] {
  const rank = ({ kind }: FileReport) => (kind === 'snapshot' ? 0 : 1);
  return [...reports].sort((a, b) => rank(a) - rank(b) || a.file.number - b.file.number);
}

/** A segment or snapshot that is not there. */
export function absentFile(
  paths: DataPaths,
  kind: FileReport['kind'],
  number: number,
): NumberedFile {
  const path =
    kind === 'segment'
      ? join(paths.wal, segmentName(number))
      : join(paths.snapshot, snapshotName(number));
  return { number, path, bytes: 0 };
}
