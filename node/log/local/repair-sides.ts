// What is whole in a data directory, be it damaged or a backup: its snapshots, and the runs of batches in
// all of its segments. Out of two such sides a repair puts a log together.

import { LOG_PIECE_BYTES } from '../../limits.js';
import { firstChain } from './batch.js';
import { readSnapshot, type WholeSnapshot } from './damage-survey.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { FoldCheck } from './fold-check.js';
import { listLogFiles, type NumberedFile } from './log-files.js';
import { SegmentReader } from './segment-reader.js';
import { type BatchRun, type SegmentFinding, SegmentWalk } from './segment-walk.js';

export interface RepairSide {
  readonly directory: DataPaths & DataFormat;
  /** All of them, ascending. */
  readonly segments: readonly SegmentFinding[];
  /** The newest first. */
  readonly snapshots: readonly WholeSnapshot[];
  readonly damagedSnapshots: readonly NumberedFile[];
}

/** Throws `DATA_UNREADABLE`, and `DATA_FORMAT` where a file is of a later version. */
export async function lookAtSide(
  directory: DataPaths & DataFormat,
  onBytes: (bytes: number) => void = () => {},
): Promise<RepairSide> {
  const files = listLogFiles(directory);
  const snapshots: WholeSnapshot[] = [];
  const damagedSnapshots: NumberedFile[] = [];
  for (const file of files.snapshots) {
    const read = await readSnapshot(directory, file, onBytes);
    if (read instanceof DataDamage) damagedSnapshots.push(file);
    else snapshots.push(read);
  }
  const fold = new FoldCheck(directory.partitions);
  fold.skip();
  const walk = new SegmentWalk(directory, firstChain(directory.logId), fold, onBytes);
  for (const file of files.segments) await walk.take(file, true);
  return { directory, segments: walk.findings, snapshots, damagedSnapshots };
}

/** The batches `from` to `to` of a run that has them. */
export async function partOf(
  run: BatchRun,
  from: number,
  to: number,
  logId: bigint,
): Promise<BatchRun> {
  if (from === run.from && to === run.to) return run;
  let { offset, before, checksum, end } = run;
  let [records, time] = [0, 0];
  const reader = await SegmentReader.open(run.file.path);
  try {
    const chain = { logId, before: run.before, next: run.from };
    const stream = reader.batches(chain, run.offset, Math.min(LOG_PIECE_BYTES, run.end));
    for (let next = await stream.nextBatch(); next; next = await stream.nextBatch()) {
      const { header } = next;
      if (header.number === from) {
        offset = next.offset;
        before = header.before;
      }
      if (header.number >= from) {
        records += header.records;
        time = header.time;
      }
      if (header.number === to) {
        end = stream.offset;
        checksum = header.checksum;
        break;
      }
    }
  } finally {
    await reader.close();
  }
  return { file: run.file, offset, end, from, to, before, checksum, records, time };
}
