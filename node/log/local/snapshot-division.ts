// Divides the state of some logs among others: snapshots that each hold all of a log become one snapshot for each
// of the new logs, in one pass over sorted streams. Memory is a piece for each log, whatever they hold.
//
// The logs that are made have the number 1 for their snapshot and for the batch that it covers, and go on with 2:
// without its snapshot such a log shows that something is missing, as one that begins with batch 1 would not.

import { COMPACTION_RUN_PIECE_BYTES } from '../../limits.js';
import type { Gather } from './batch-stream.js';
import { DataDamage } from './data-errors.js';
import { FIRST_NUMBER } from './format.js';
import { mergeRecords, type SortedRecords } from './record-merge.js';
import { SnapshotReader } from './snapshot-reader.js';
import { SnapshotWriter } from './snapshot-writer.js';
import type { WorkerLog } from './worker-logs.js';

const PARTITION_AT = 8;

/** A snapshot that holds all of its log. */
export interface WholeLog {
  readonly path: string;
  /** Length of the file. */
  readonly bytes: number;
  readonly log: WorkerLog;
}

export interface DivisionOptions {
  readonly partitions: number;
  /** Which of the new logs has each partition. */
  readonly owners: Uint16Array;
  /** The native one where there is an addon. */
  readonly gather?: Gather | undefined;
  /** Called with bytes of the sources that were read; what it throws ends the division. */
  readonly onBytes: (bytes: number) => void;
}

/** How much was divided. */
export interface Division {
  readonly records: number;
  readonly bytes: number;
}

/**
 * Makes the snapshots durable. Of each thing one source at most has a record. Throws `DATA_DAMAGED`,
 * `DATA_UNREADABLE`; what was made until then is to be removed.
 */
export async function divideSnapshots(
  sources: readonly WholeLog[],
  targets: readonly WorkerLog[],
  options: DivisionOptions,
): Promise<Division> {
  const { partitions, owners, gather } = options;
  const opened: SnapshotReader[] = [];
  const writers: SnapshotWriter[] = [];
  try {
    const revisions = new Float64Array(partitions);
    let time = 0;
    for (const { path, log } of sources) {
      const readerOptions = { ...log, gather, pieceBytes: COMPACTION_RUN_PIECE_BYTES };
      const reader = await SnapshotReader.open(path, readerOptions);
      opened.push(reader);
      time = Math.max(time, reader.header.time);
      for (const [at, revision] of reader.revisions.entries()) {
        revisions[at] = Math.max(revisions[at] as number, revision);
      }
    }
    for (const { snapshot, logId, worker } of targets) {
      const header = {
        partitions,
        logId,
        lastSegment: FIRST_NUMBER,
        lastBatch: FIRST_NUMBER,
        lastChecksum: logId,
        time,
      };
      const own = revisions.map((revision, at) => (owners[at] === worker ? revision : 0));
      writers.push(new SnapshotWriter(snapshot, header, own));
    }
    let taken = 0;
    const streams = opened.map((reader) => recordsOf(reader, options.onBytes));
    await mergeRecords(
      streams,
      true,
      (bytes, start, end, recordTime) => {
        const partition = (bytes as Buffer).readUInt32LE(start + PARTITION_AT);
        writers[owners[partition] as number]?.append(bytes, start, end, recordTime);
        taken++;
      },
      () => {},
    );
    const read = opened.reduce((sum, { records }) => sum + records, 0);
    const made = writers.map((writer) => writer.finish());
    const records = made.reduce((sum, one) => sum + one.records, 0);
    if (taken !== read || records !== read) {
      const expected = `${read} records of different things`;
      throw new DataDamage(opened[0]?.path ?? '', 0, expected, `${records} to be taken over`);
    }
    return { records, bytes: made.reduce((sum, { bytes }) => sum + bytes, 0) };
  } finally {
    for (const writer of writers) writer.close();
    for (const reader of opened) await reader.close();
  }
}

function recordsOf(reader: SnapshotReader, onBytes: (bytes: number) => void): SortedRecords {
  return {
    async next() {
      const before = reader.offset;
      const piece = await reader.next();
      onBytes(reader.offset - before);
      return piece;
    },
    onMalformed() {
      throw new DataDamage(reader.path, reader.offset, 'records', 'others in batches up to there');
    },
  };
}
