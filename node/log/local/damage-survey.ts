// All of the damage of a data directory, where recovery stops at the first: reads every snapshot, and
// the segments behind the newest whole one past each place at which the chain breaks.

import { EngineError } from '../../../ts/engine/engine.js';
import { type Chain, firstChain } from './batch.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { FoldCheck } from './fold-check.js';
import { FILE_HEADER_BYTES, type SnapshotHeader } from './format.js';
import { listLogFiles, type NumberedFile } from './log-files.js';
import { restoreSnapshot } from './recovery-snapshot.js';
import { type SegmentFinding, SegmentWalk } from './segment-walk.js';
import { absentFile, type FileReport, fileReport } from './verification.js';

export interface WholeSnapshot {
  readonly file: NumberedFile;
  readonly header: SnapshotHeader;
  readonly batches: number;
  readonly records: number;
  /** Stands where the segments behind it go on. */
  readonly fold: FoldCheck;
}

export interface DamageSurvey {
  readonly reports: readonly FileReport[];
  /** Behind the snapshot that was chosen, ascending. */
  readonly segments: readonly SegmentFinding[];
  /** The newest one without damage. */
  readonly snapshot: WholeSnapshot | undefined;
}

type Directory = DataPaths & DataFormat;

/** Throws `DATA_UNREADABLE`, and `DATA_FORMAT` where a file is of a later version. */
export async function surveyDamage(
  directory: Directory,
  onBytes: (bytes: number) => void = () => {},
): Promise<DamageSurvey> {
  const files = listLogFiles(directory);
  const reports: FileReport[] = [];
  let snapshot: WholeSnapshot | undefined;
  for (const file of files.snapshots) {
    if (snapshot !== undefined) {
      reports.push(fileReport('snapshot', file, 'covered'));
      continue;
    }
    const read = await readSnapshot(directory, file, onBytes);
    if (read instanceof DataDamage) {
      reports.push(fileReport('snapshot', file, 'damaged', { damage: [read] }));
      continue;
    }
    snapshot = read;
    const { header, batches, records } = read;
    const to = header.lastBatch;
    reports.push(
      fileReport('snapshot', file, 'whole', { batches, records, from: Math.min(1, to), to }),
    );
  }

  // Where no snapshot can be read, the log starts with segment 1, or with what there is.
  const newest = files.snapshots[0]?.number ?? 0;
  const hasFirst = files.segments[0]?.number === 1;
  const covered = snapshot?.file.number ?? (hasFirst ? 0 : newest);
  const isStartKnown = snapshot !== undefined || covered === 0;
  for (const file of files.segments) {
    if (file.number <= covered) reports.push(fileReport('segment', file, 'covered'));
  }
  const chain: Chain = firstChain(directory.logId);
  if (snapshot !== undefined) {
    chain.before = snapshot.header.lastChecksum;
    chain.next = snapshot.header.lastBatch + 1;
  }
  const fold = snapshot?.fold ?? new FoldCheck(directory.partitions);
  if (!isStartKnown) fold.skip();
  const walk = new SegmentWalk(directory, chain, fold, onBytes);
  let expected = covered + 1;
  // Numbers that no segment has; whether anything is missing, the next batch tells.
  let gap: FileReport[] = [];
  for (const file of files.segments.filter(({ number }) => number > covered)) {
    for (; expected < file.number; expected++) gap.push(missing(directory, expected));
    const isStart = walk.findings.every(({ runs }) => runs.length === 0);
    await walk.take(file, gap.length > 0 || (isStart && !isStartKnown));
    const taken = walk.findings.at(-1);
    if (taken?.isSkipped === true) reports.push(...gap);
    if (taken?.runs.length !== 0) gap = [];
    expected = file.number + 1;
  }
  return { reports: [...reports, ...walk.findings.map(report)], segments: walk.findings, snapshot };
}

/** Reads all of a snapshot; its damage is answered, not thrown. */
export async function readSnapshot(
  directory: Directory,
  file: NumberedFile,
  onBytes: (bytes: number) => void,
): Promise<WholeSnapshot | DataDamage> {
  const fold = new FoldCheck(directory.partitions);
  let offset = FILE_HEADER_BYTES;
  try {
    const reader = await restoreSnapshot(file, directory, (bodies, { offset: end }) => {
      fold.restore(bodies);
      onBytes(end - offset);
      offset = end;
    });
    fold.restoreRevisions(reader.revisions);
    const { header, batches, records } = reader;
    return { file, header, batches, records, fold };
  } catch (error) {
    if (error instanceof DataDamage) return error;
    if (!(error instanceof EngineError)) throw error;
    return new DataDamage(file.path, offset, 'records in the order of their keys', 'others');
  }
}

function missing(directory: Directory, number: number): FileReport {
  const file = absentFile(directory, 'segment', number);
  const damage = [new DataDamage(file.path, 0, `segment ${number}`, 'no such file')];
  return fileReport('segment', file, 'missing', { damage });
}

function report({ file, runs, damage, tornAt }: SegmentFinding): FileReport {
  const [first, last] = [runs[0], runs.at(-1)];
  const state =
    damage.length > 0
      ? 'damaged'
      : tornAt !== undefined
        ? 'torn'
        : first === undefined
          ? 'unused'
          : 'whole';
  return fileReport('segment', file, state, {
    batches: runs.reduce((sum, { from, to }) => sum + to - from + 1, 0),
    records: runs.reduce((sum, { records }) => sum + records, 0),
    from: first?.from ?? 0,
    to: last?.to ?? 0,
    tornAt,
    damage,
  });
}
