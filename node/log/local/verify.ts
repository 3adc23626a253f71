// Verifies a data directory without changing it. The verdict is recovery's own: it is run on an engine
// that keeps nothing. Where it refuses, a survey goes on past the damage and finds the rest of it.
//
// A node may run on the directory meanwhile. Then the end of the log moves while it is read, which looks
// like damage behind an end that was one a moment ago: where a whole batch stands now, the end has only
// moved. And compaction may take files away: then all is read again.

import { LOG_ATTEMPTS_MAX } from '../../limits.js';
import { LogError } from '../log.js';
import { isWhole, readBatchHeader } from './batch.js';
import type { Gather } from './batch-stream.js';
import { surveyDamage } from './damage-survey.js';
import { DataDamage } from './data-errors.js';
import { FoldCheck } from './fold-check.js';
import { BATCH_BODY_BYTES_MAX, BATCH_HEADER_BYTES, FILE_HEADER_BYTES } from './format.js';
import { lockedBy } from './lock-file.js';
import { bytesOfLog, listLogFiles } from './log-files.js';
import { recover } from './recovery.js';
import type { Cut, ReadSegment, Undecided } from './recovery-end.js';
import { SegmentReader } from './segment-reader.js';
import type { SnapshotReader } from './snapshot-reader.js';
import {
  type DirectoryVerification,
  type FileReport,
  fileReport,
  joinVerifications,
  sortReports,
  type Verification,
} from './verification.js';
import { readLayout, type WorkerLog } from './worker-logs.js';

export interface Progress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface VerifyOptions {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** The native one where there is an addon. */
  readonly gather?: Gather | undefined;
  /** The caller holds the lock: nobody writes. */
  readonly isHeld?: boolean | undefined;
}

type Directory = WorkerLog;

/**
 * Where the log of worker 0 is, which is all there is where one worker has everything; without a lock. Throws
 * as `readLayout`.
 */
export function lookAt(directory: string): WorkerLog {
  return readLayout(directory).logs[0] as WorkerLog;
}

/** Damage is found, not thrown. Throws `DATA_FORMAT`, `DATA_UNREADABLE`, and `DATA_DAMAGED` of the file WORKERS. */
export async function verifyDirectory(
  path: string,
  options: VerifyOptions = {},
): Promise<DirectoryVerification> {
  const layout = readLayout(path);
  const progress = {
    bytesDone: 0,
    bytesTotal: layout.logs.reduce((sum, log) => sum + bytesOfLog(log), 0),
  };
  const found: Verification[] = [];
  for (const log of layout.logs) {
    const before = progress.bytesDone;
    const onProgress = ({ bytesDone }: Progress) => {
      progress.bytesDone = before + bytesDone;
      progress.bytesTotal = Math.max(progress.bytesTotal, progress.bytesDone);
      options.onProgress?.(progress);
    };
    found.push(await verifyLog(log, { ...options, onProgress }));
  }
  return joinVerifications(layout.id, found as [Verification, ...Verification[]]);
}

/** The same for one log of a directory. */
export async function verifyLog(
  directory: WorkerLog,
  options: VerifyOptions = {},
): Promise<Verification> {
  if (options.isHeld === true) {
    return { ...(await verifyOnce(directory, false, options)), openIn: undefined };
  }
  for (let attempt = 1; ; attempt++) {
    const openBefore = lockedBy(directory.path);
    const newest = newestSnapshot(directory);
    const isLastAttempt = attempt === LOG_ATTEMPTS_MAX;
    try {
      const found = await verifyOnce(directory, openBefore !== undefined, options);
      const openIn = lockedBy(directory.path) ?? openBefore;
      const isMoved = openIn !== undefined && newestSnapshot(directory) !== newest;
      if (found.damage.length === 0 || !isMoved || isLastAttempt) return { ...found, openIn };
    } catch (error) {
      if (!(error instanceof LogError) || error.code !== 'DATA_UNREADABLE') throw error;
      const isOpen = openBefore !== undefined || lockedBy(directory.path) !== undefined;
      if (!isOpen || isLastAttempt) throw error;
    }
  }
}

type Found = Omit<Verification, 'openIn'>;

async function verifyOnce(
  directory: Directory,
  isOpen: boolean,
  { onProgress, gather }: VerifyOptions,
): Promise<Found> {
  const fold = new FoldCheck(directory.partitions);
  const segments: FileReport[] = [];
  const snapshots: FileReport[] = [];
  let newestBatch = 0;
  let records = 0;
  let snapshotTime = 0;
  const onSnapshot = ({ path, bytes, header, batches }: SnapshotReader) => {
    newestBatch = header.lastBatch;
    records = fold.records;
    snapshotTime = header.time;
    const file = { number: header.lastSegment, path, bytes };
    const to = newestBatch;
    const rest = { batches, records, from: Math.min(1, to), to };
    snapshots.push(fileReport('snapshot', file, 'whole', rest));
  };
  const onSegment = ({ file, end, sealed, hasBatches }: ReadSegment) => {
    const rest = {
      batches: sealed.lastBatch - newestBatch,
      records: fold.records - records,
      from: hasBatches ? newestBatch + 1 : 0,
      to: hasBatches ? sealed.lastBatch : 0,
      tornAt: end.kind === 'torn' ? end.offset : undefined,
    };
    newestBatch = sealed.lastBatch;
    records = fold.records;
    const state = end.kind === 'torn' ? 'torn' : hasBatches ? 'whole' : 'unused';
    segments.push(fileReport('segment', file, state, rest));
  };
  const { path, worker, logId, partitions } = directory;
  const found = (files: FileReport[], undecided?: Undecided): Found => ({
    path,
    worker,
    logId,
    partitions,
    files: sortReports(files),
    damage: files.flatMap(({ damage }) => damage),
    undecided,
    newestBatch,
    time: Math.max(snapshotTime, fold.time),
  });
  try {
    const options = { isReadOnly: true, gather, onProgress, onSnapshot, onSegment };
    const recovered = await recover(directory, fold, options);
    for (const damage of recovered.damagedSnapshots) {
      const file = fileOf(directory, damage.file);
      snapshots.push(fileReport('snapshot', file, 'damaged', { damage: [damage] }));
    }
    const covered = [
      ...recovered.olderSnapshots.map((file) => fileReport('snapshot', file, 'covered')),
      ...recovered.covered.map((file) => fileReport('segment', file, 'covered')),
    ];
    const read = withCut(segments, recovered.cut);
    const files = [...snapshots, ...covered, ...(isOpen ? withActive(read) : read)];
    return found(files, recovered.undecided);
  } catch (error) {
    if (!(error instanceof DataDamage)) throw error;
    if (isOpen && (await hasMovedOn(directory, error, newestBatch + 1))) {
      return found([...snapshots, ...withActive(segments)]);
    }
    const survey = await surveyDamage(directory);
    newestBatch = Math.max(0, ...survey.reports.map(({ to }) => to));
    const isKnown = survey.reports.some(({ damage }) => damage.length > 0);
    return found(isKnown ? [...survey.reports] : withDamage(survey.reports, error));
  }
}

/** Says of the segment in which the last writes are cut that it is torn, also where nothing of the first is left. */
function withCut(segments: readonly FileReport[], cut: Cut | undefined): FileReport[] {
  return segments.map((report) =>
    report.file.path === cut?.file ? { ...report, state: 'torn', tornAt: cut.offset } : report,
  );
}

/** Of a directory in which a node runs: the newest segment with batches is being written. */
function withActive(segments: readonly FileReport[]): FileReport[] {
  const last = segments.findLastIndex(({ batches }) => batches > 0);
  return segments.map((report, index) =>
    index === last || (index > last && report.state === 'torn')
      ? { ...report, state: 'active' }
      : report,
  );
}

/** Gives recovery's damage to the report of its file. */
function withDamage(reports: readonly FileReport[], error: DataDamage): FileReport[] {
  return reports.map((report) =>
    report.file.path === error.file ? { ...report, state: 'damaged', damage: [error] } : report,
  );
}

/** Whether batch `number` stands whole by now where it was said to be missing, or begins a segment. */
async function hasMovedOn(
  directory: Directory,
  { file, offset }: DataDamage,
  number: number,
): Promise<boolean> {
  if (await isBatchAt(file, offset, number, directory.logId)) return true;
  for (const { path } of listLogFiles(directory).segments) {
    if (await isBatchAt(path, FILE_HEADER_BYTES, number, directory.logId)) return true;
  }
  return false;
}

async function isBatchAt(
  path: string,
  offset: number,
  number: number,
  logId: bigint,
): Promise<boolean> {
  const reader = await SegmentReader.open(path);
  try {
    const start = await reader.bytesAt(offset, BATCH_HEADER_BYTES);
    if (start.length < BATCH_HEADER_BYTES) return false;
    const header = readBatchHeader(new DataView(start.buffer), 0);
    if (header.number !== number || header.bodyLength > BATCH_BODY_BYTES_MAX) return false;
    const length = BATCH_HEADER_BYTES + header.bodyLength;
    const batch = await reader.bytesAt(offset, length);
    return batch.length === length && isWhole(new DataView(batch.buffer), 0, length, logId);
  } finally {
    await reader.close();
  }
}

function newestSnapshot(directory: Directory): number | undefined {
  return listLogFiles(directory).snapshots[0]?.number;
}

function fileOf(directory: Directory, path: string) {
  const file = listLogFiles(directory).snapshots.find((one) => one.path === path);
  return file ?? { number: 0, path, bytes: 0 };
}
