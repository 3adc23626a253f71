// Copies a log: its newest snapshot and, behind it, the whole batches of the chain up to its end. A node
// may be writing to it, and compacting it, meanwhile. So every batch is checked on the way; and what was
// read is taken for the log's end only where nothing goes on behind it. That is asked first, and the
// rest of the segment is read after: a batch that was added in between is found then. Where the chain
// breaks for another reason, a newer snapshot tells whether the node has taken the segment away, to be
// used again, or the log is damaged.
//
// Segments come first, because they may be taken away. The snapshot may only be removed, and stays
// readable as long as it is open.

import { LOG_PIECE_BYTES } from '../../limits.js';
import { type Chain, firstChain } from './batch.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { FileCopy } from './file-copy.js';
import { encodeSegmentHeader, FILE_HEADER_BYTES } from './format.js';
import { listLogFiles, type NumberedFile } from './log-files.js';
import { chooseSnapshot } from './recovery-snapshot.js';
import { SegmentReader } from './segment-reader.js';
import { SnapshotReader } from './snapshot-reader.js';
import { absentFile } from './verification.js';

/** Bytes that are read to see the first batch of a segment; a larger one is read whole. */
const FIRST_PIECE_BYTES = 4096;

export interface CopyOptions {
  /** Called with bytes that were copied. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  /** Bytes of a segment that are read at a time. */
  readonly pieceBytes?: number | undefined;
}

/** Whole batch that shows that the log goes on. */
interface Evidence {
  readonly path: string;
  readonly number: number;
  /** What is missing before it was synced; otherwise a loss of power may have taken that. */
  readonly isProof: boolean;
}

export class ChainCopy {
  /** What the next batch behind those copied must carry. */
  readonly chain: Chain;
  /** The newest snapshot at the beginning; 0 for none. */
  private snapshot = 0;
  /** Segment that is being copied, 0 before the first, and the byte up to which it is. */
  private segment = 0;
  private offset = FILE_HEADER_BYTES;
  private writer: FileCopy | undefined;
  /** The newest segment that was there at the beginning: the copy ends with it at the latest. */
  private lastSegment = 0;

  constructor(
    private readonly source: DataPaths & DataFormat,
    private readonly target: DataPaths,
    private readonly options: CopyOptions = {},
  ) {
    this.chain = firstChain(source.logId);
  }

  /**
   * Resolves when all that was in the files at the beginning is copied and synced. Throws `DATA_DAMAGED`
   * and `DATA_UNREADABLE`, also where a node took files away: `isOvertaken` tells.
   */
  async run(): Promise<void> {
    const { snapshots, segments } = listLogFiles(this.source);
    this.lastSegment = segments.at(-1)?.number ?? 0;
    this.snapshot = snapshots[0]?.number ?? 0;
    const { chosen } = await chooseSnapshot(snapshots, segments, this.source);
    const snapshot = chosen && (await SnapshotReader.open(chosen.path, this.source));
    if (snapshot !== undefined) {
      this.chain.before = snapshot.header.lastChecksum;
      this.chain.next = snapshot.header.lastBatch + 1;
    }
    try {
      await this.copySegments(chosen?.number ?? 0);
      await this.writer?.close();
      if (snapshot !== undefined) await this.copySnapshot(snapshot);
    } catch (error) {
      await this.writer?.abandon();
      throw error;
    } finally {
      await snapshot?.close();
    }
  }

  /** Whether a newer snapshot stands for the segment that was to be copied: it may be used again. */
  isOvertaken(): boolean {
    const newest = listLogFiles(this.source).snapshots[0]?.number ?? 0;
    return newest > this.snapshot && newest >= this.segment;
  }

  private async copySnapshot(reader: SnapshotReader): Promise<void> {
    const { path } = absentFile(this.target, 'snapshot', reader.header.lastSegment);
    let offset = reader.offset;
    this.writer = await FileCopy.create(path, await reader.bytesAt(0, offset));
    for (let isMore = true; isMore; ) {
      isMore = (await reader.next()) !== undefined;
      await this.writer.write(await reader.bytesAt(offset, reader.offset - offset));
      this.options.onBytes?.(reader.offset - offset);
      offset = reader.offset;
    }
    await this.writer.close();
  }

  private async copySegments(covered: number): Promise<void> {
    let next = await this.joining(covered);
    if (next === undefined) {
      const evidence = await this.evidence(covered);
      next = evidence && (await this.joining(covered));
      if (evidence?.isProof && next === undefined) throw this.broken(covered + 1, evidence);
    }
    while (next !== undefined && next <= this.lastSegment) {
      await this.begin(next);
      await this.copyBatches();
      next = await this.following();
    }
    // The log ends here, unless what was read of its last segment is of a later use.
    if (next === undefined && this.isOvertaken()) throw this.broken(this.segment || covered + 1);
  }

  /** The segment in which the log goes on; undefined at its end. */
  private async following(): Promise<number | undefined> {
    while (true) {
      const joining = await this.joining(this.segment);
      if (joining !== undefined) return joining;
      const evidence = await this.evidence(this.segment);
      if (evidence === undefined) return undefined;
      if (await this.copyBatches()) continue;
      const joiningNow = await this.joining(this.segment);
      if (joiningNow !== undefined) return joiningNow;
      if (!evidence.isProof) return undefined;
      throw this.broken(this.segment, evidence);
    }
  }

  /** The segment behind `segment` whose first batch goes on from what was copied. */
  private async joining(segment: number): Promise<number | undefined> {
    for (const file of this.later(segment)) {
      const reader = await this.open(file.number);
      try {
        if (!this.hasOwnHeader(reader, file.number)) continue;
        const first = await reader
          .batches({ ...this.chain }, FILE_HEADER_BYTES, FIRST_PIECE_BYTES)
          .nextBatch();
        if (first !== undefined) return file.number;
      } finally {
        await reader.close();
      }
    }
    return undefined;
  }

  /** A whole batch that is newer than what was copied, in the rest of `segment` or behind it. */
  private async evidence(segment: number): Promise<Evidence | undefined> {
    let unproven: Evidence | undefined;
    const here = segment === this.segment && segment > 0 ? [segment] : [];
    for (const number of [...here, ...this.later(segment).map((file) => file.number)]) {
      const reader = await this.open(number);
      try {
        const from = number === this.segment ? this.offset : FILE_HEADER_BYTES;
        const behind = await reader.findBehind(from, this.chain);
        const { path } = reader;
        if (behind.proof !== undefined) {
          return { path, number: behind.proof.number, isProof: true };
        }
        const [first] = behind.unproven;
        if (first !== undefined) unproven ??= { path, number: first.number, isProof: false };
      } finally {
        await reader.close();
      }
    }
    return unproven;
  }

  private later(segment: number): readonly NumberedFile[] {
    return listLogFiles(this.source).segments.filter(({ number }) => number > segment);
  }

  private async begin(segment: number): Promise<void> {
    await this.writer?.close();
    this.writer = undefined;
    const reader = await this.open(segment);
    try {
      const { header } = reader;
      this.segment = segment;
      this.offset = FILE_HEADER_BYTES;
      if (!this.hasOwnHeader(reader, segment) || typeof header === 'string') {
        throw new DataDamage(reader.path, 0, `the header of segment ${segment}`, 'another');
      }
      const { path } = absentFile(this.target, 'segment', segment);
      this.writer = await FileCopy.create(path, encodeSegmentHeader(header));
    } finally {
      await reader.close();
    }
  }

  /** Copies on from where the segment was left; whether there was more. */
  private async copyBatches(): Promise<boolean> {
    const { chain, options, writer } = this;
    const before = this.offset;
    const reader = await this.open(this.segment);
    try {
      const pieceBytes = options.pieceBytes ?? LOG_PIECE_BYTES;
      const stream = reader.batches(chain, this.offset, pieceBytes);
      for (let batch = await stream.nextBatch(); batch; batch = await stream.nextBatch()) {
        await writer?.append(batch);
        options.onBytes?.(stream.offset - this.offset);
        this.offset = stream.offset;
      }
    } finally {
      await reader.close();
    }
    return this.offset > before;
  }

  private open(segment: number): Promise<SegmentReader> {
    return SegmentReader.open(absentFile(this.source, 'segment', segment).path);
  }

  private hasOwnHeader({ header }: SegmentReader, segment: number): boolean {
    if (typeof header === 'string' || header.segment !== segment) return false;
    return header.logId === this.source.logId && header.partitions === this.source.partitions;
  }

  private broken(segment: number, evidence?: Evidence): DataDamage {
    const { path } = absentFile(this.source, 'segment', segment);
    const found =
      evidence === undefined
        ? 'that the node has taken it away'
        : `other bytes, although batch ${evidence.number} stands whole in ${evidence.path}`;
    return new DataDamage(path, this.offset, `batch ${this.chain.next}`, found);
  }
}
