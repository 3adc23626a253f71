// Compaction: an old snapshot and the sealed segments behind it become a new snapshot. Never from the live
// state, so that serving does not wait for it. The Rust twin, `core-native/src/log/compaction.rs`, writes
// the same bytes.
//
// Memory is bounded: segments are folded into sorted runs, which are merged with the old snapshot as
// streams. The result does not depend on where a run ends. It is the state as the fold gives it: nothing
// is decided here, so that a key whose expiry has passed stays until a record says that it expired.

import { rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { RecordReader } from '../../../ts/engine/records.js';
import {
  COMPACTION_RUN_BATCH_BYTES,
  COMPACTION_RUN_KEYS,
  COMPACTION_RUN_PIECE_BYTES,
} from '../../limits.js';
import { type Chain, firstChain } from './batch.js';
import { BatchStream } from './batch-stream.js';
import { BatchWriter } from './batch-writer.js';
import { DataDamage, reading } from './data-errors.js';
import { mergeRecords, type SortedRecords } from './record-merge.js';
import type { SealedSegment } from './segment-list.js';
import { SegmentReader } from './segment-reader.js';
import { SnapshotReader } from './snapshot-reader.js';
import { SnapshotWriter, snapshotAside } from './snapshot-writer.js';
import { RunFold, recordLengthAt } from './sorted-run.js';

/** Plain data, so that it can be passed to another thread. */
export interface CompactionJob {
  /** The folder of snapshots; runs lie there too, as temporary files. */
  readonly folder: string;
  readonly logId: bigint;
  readonly partitions: number;
  /** Path of the old snapshot. */
  readonly snapshot: string | undefined;
  /** All behind the old snapshot, oldest first; one at least. */
  readonly segments: readonly Omit<SealedSegment, 'bytes'>[];
  /** COMPACTION_RUN_BYTES and COMPACTION_RUNS_MAX; less in tests. */
  readonly runBytes: number;
  readonly runsMax: number;
  /** Whether the thread of a compaction yields to all others, which on a busy machine can be for long. */
  readonly isBackground: boolean;
}

/** Compacts, on whatever thread. Throws as `compact` does. */
export type Compact = (job: CompactionJob, signal: AbortSignal) => Promise<CompactedSnapshot>;

export interface CompactedSnapshot {
  readonly number: number;
  readonly path: string;
  readonly bytes: number;
  readonly records: number;
}

/** Thrown where a compaction was told to stop. */
export class CompactionCancelled extends Error {
  override readonly name = 'CompactionCancelled';
}

/**
 * Makes the new snapshot durable and returns it; removes nothing but its own temporary files. Throws
 * `DATA_DAMAGED`, `DATA_UNREADABLE` and `CompactionCancelled`; then there is no new snapshot.
 */
export async function compact(
  job: CompactionJob,
  isCancelled: () => boolean,
): Promise<CompactedSnapshot> {
  return new Compaction(job, isCancelled).run();
}

class Compaction {
  private readonly chain: Chain;
  private readonly fold: RunFold;
  /** Runs by how often they were merged; newest last. */
  private readonly levels: string[][] = [[]];
  private readonly temporary: string[] = [];
  private revisions: Float64Array;
  private time = 0;

  constructor(
    private readonly job: CompactionJob,
    private readonly isCancelled: () => boolean,
  ) {
    this.chain = firstChain(job.logId);
    this.revisions = new Float64Array(job.partitions);
    this.fold = new RunFold(job.runBytes, COMPACTION_RUN_KEYS);
  }

  async run(): Promise<CompactedSnapshot> {
    try {
      const { snapshot, logId, partitions } = this.job;
      const old =
        snapshot === undefined
          ? undefined
          : await SnapshotReader.open(snapshot, { logId, partitions });
      try {
        if (old !== undefined) this.startFrom(old);
        for (const segment of this.job.segments) await this.readSegment(segment);
        if (!this.fold.isEmpty) await this.endRun();
        return await this.writeSnapshot(old);
      } finally {
        await old?.close();
      }
    } finally {
      for (const path of this.temporary) rmSync(path, { force: true });
    }
  }

  private readonly checkCancelled = (): void => {
    if (this.isCancelled()) throw new CompactionCancelled('the compaction was told to stop');
  };

  private startFrom({ header, revisions }: SnapshotReader): void {
    this.revisions = revisions.slice();
    this.time = header.time;
    this.chain.before = header.lastChecksum;
    this.chain.next = header.lastBatch + 1;
  }

  private async readSegment(segment: Omit<SealedSegment, 'bytes'>): Promise<void> {
    const { chain, job } = this;
    const reader = await SegmentReader.open(segment.path);
    try {
      const { header } = reader;
      if (
        typeof header === 'string' ||
        header.segment !== segment.number ||
        header.logId !== job.logId
      ) {
        const expected = `the header of segment ${segment.number}`;
        throw new DataDamage(segment.path, 0, expected, 'another, or one with a fault');
      }
      const stream = reader.batches(chain);
      let at = stream.offset;
      for (let piece = await stream.next(); piece !== undefined; piece = await stream.next()) {
        this.checkCancelled();
        await this.foldPiece(piece.bodies, segment.path, at);
        at = stream.offset;
      }
      if (chain.next - 1 !== segment.lastBatch || chain.before !== segment.lastChecksum) {
        const expected = `batches up to ${segment.lastBatch}`;
        const found = `the chain to end with ${chain.next - 1}`;
        throw new DataDamage(segment.path, stream.offset, expected, found);
      }
    } finally {
      await reader.close();
    }
  }

  private async foldPiece(bodies: Uint8Array, path: string, offset: number): Promise<void> {
    const bytes = Buffer.from(bodies.buffer, bodies.byteOffset, bodies.length);
    const reader = new RecordReader(bytes);
    for (let start = 0; !reader.done; ) {
      const isValid = reader.next();
      const { partition, revision, time } = reader;
      if (!isValid || revision !== (this.revisions[partition] ?? -1) + 1) {
        const expected = 'records that go on from those before';
        throw new DataDamage(path, offset, expected, 'others, in batches from there on');
      }
      this.revisions[partition] = revision;
      if (time > this.time) this.time = time;
      const end = start + recordLengthAt(bytes, start);
      if (!this.fold.add(bytes, start, end)) {
        await this.endRun();
        this.fold.add(bytes, start, end);
      }
      start = end;
    }
  }

  /** Writes what is folded so far to a run; merges runs of a level that is full. */
  private async endRun(): Promise<void> {
    const { levels } = this;
    const run = this.newRun();
    try {
      this.fold.writeTo(run);
      run.closeBatch();
    } finally {
      run.close();
    }
    levels[0]?.push(run.path);
    for (let level = 0; (levels[level]?.length ?? 0) >= this.job.runsMax; level++) {
      const full = levels[level] ?? [];
      levels[level] = [];
      const merged = this.newRun();
      try {
        await this.merge([...full].reverse(), undefined, false, (bytes, start, end) =>
          merged.append(bytes, start, end, 0),
        );
        merged.closeBatch();
      } finally {
        merged.close();
      }
      for (const path of full) rmSync(path, { force: true });
      levels[level + 1] ??= [];
      levels[level + 1]?.push(merged.path);
    }
  }

  private newRun(): BatchWriter {
    const path = join(this.job.folder, `run-${this.temporary.length}.tmp`);
    this.temporary.push(path);
    return new BatchWriter(path, firstChain(this.job.logId), COMPACTION_RUN_BATCH_BYTES);
  }

  private async writeSnapshot(old: SnapshotReader | undefined): Promise<CompactedSnapshot> {
    const { job, chain, time } = this;
    const number = job.segments.at(-1)?.number ?? 0;
    const header = {
      partitions: job.partitions,
      logId: job.logId,
      lastSegment: number,
      lastBatch: chain.next - 1,
      lastChecksum: chain.before,
      time,
    };
    this.temporary.push(snapshotAside(job.folder, number));
    const writer = new SnapshotWriter(job.folder, header, this.revisions);
    try {
      // A level is newer than those above it.
      const runs = this.levels.flatMap((level) => [...level].reverse());
      await this.merge(runs, old, true, (bytes, start, end, recordTime) =>
        writer.append(bytes, start, end, recordTime),
      );
      this.checkCancelled();
      return { number, ...writer.finish() };
    } finally {
      writer.close();
    }
  }

  /** `runs` newest first. */
  private async merge(
    runs: readonly string[],
    old: SnapshotReader | undefined,
    isWhole: boolean,
    emit: (bytes: Uint8Array, start: number, end: number, time: number) => void,
  ): Promise<void> {
    const opened: Run[] = [];
    try {
      for (const path of runs) opened.push(await Run.open(path, this.job.logId));
      const sources: SortedRecords[] = [...opened];
      if (old !== undefined) sources.push(snapshotRecords(old));
      await mergeRecords(sources, isWhole, emit, this.checkCancelled);
    } finally {
      for (const run of opened) await run.close();
    }
  }
}

/** The records of a sorted run. */
class Run implements SortedRecords {
  private constructor(
    private readonly path: string,
    private readonly file: Awaited<ReturnType<typeof open>>,
    private readonly stream: BatchStream,
  ) {}

  static async open(path: string, logId: bigint): Promise<Run> {
    const file = await reading(path, 'open', open(path, 'r'));
    const { size } = await file.stat();
    const chain = firstChain(logId);
    return new Run(
      path,
      file,
      new BatchStream(file, path, 0, size, chain, COMPACTION_RUN_PIECE_BYTES),
    );
  }

  async next() {
    const piece = await this.stream.next();
    if (piece === undefined && this.stream.ended !== 'end') this.onMalformed();
    return piece;
  }

  onMalformed(): never {
    throw new DataDamage(this.path, this.stream.offset, 'what was just written', 'other bytes');
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

function snapshotRecords(snapshot: SnapshotReader): SortedRecords {
  return {
    next: () => snapshot.next(),
    onMalformed() {
      throw new DataDamage(
        snapshot.path,
        snapshot.offset,
        'records',
        'others in batches up to there',
      );
    },
  };
}
