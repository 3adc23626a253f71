// Copies a log: its newest snapshot and, behind it, the whole batches of the chain up to its end. A node
// may be writing to it, and compacting it, meanwhile. So every batch is checked on the way; and what was
// read is taken for the log's end only where nothing goes on behind it. That is asked first, and the
// rest of the segment read after: a batch that was added in between is found then.
//
// All files are opened at the beginning: what is removed meanwhile stays readable. Only a segment that is
// used again is lost; its header, which is changed first, tells. Where the chain breaks for another
// reason, the log is damaged.

import { LOG_PIECE_BYTES, LOG_PINNED_MAX } from '../../limits.js';
import { type Chain, firstChain } from './batch.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { FileCopy } from './file-copy.js';
import { decodeSegmentHeader, encodeSegmentHeader, FILE_HEADER_BYTES } from './format.js';
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
  /** The newest snapshot is damaged: goes from what stands in for it, as recovery does. */
  readonly isStandIn?: boolean;
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
  /** Segments that were opened at the beginning. */
  private readonly pinned = new Map<number, SegmentReader>();

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
    let snapshot: SnapshotReader | undefined;
    try {
      const chosen = this.options.isStandIn
        ? (await chooseSnapshot(snapshots, segments, this.source)).chosen
        : snapshots[0];
      const covered = chosen?.number ?? 0;
      snapshot = chosen && (await SnapshotReader.open(chosen.path, this.source));
      await this.pin(segments.filter(({ number }) => number > covered));
      if (snapshot !== undefined) {
        this.chain.before = snapshot.header.lastChecksum;
        this.chain.next = snapshot.header.lastBatch + 1;
      }
      await this.copySegments(covered);
      await this.writer?.close();
      if (snapshot !== undefined) await this.copySnapshot(snapshot);
    } catch (error) {
      await this.writer?.abandon();
      throw error;
    } finally {
      await snapshot?.close();
      for (const reader of this.pinned.values()) await reader.close();
    }
  }

  /** Whether the node has compacted since the beginning: segments may be gone, or used again. */
  isOvertaken(): boolean {
    return (listLogFiles(this.source).snapshots[0]?.number ?? 0) > this.snapshot;
  }

  private async pin(segments: readonly NumberedFile[]): Promise<void> {
    for (const { number, path } of segments.slice(0, LOG_PINNED_MAX)) {
      this.pinned.set(number, await SegmentReader.open(path));
    }
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
    if (next === undefined && this.segment > 0) await this.checkStillOwn();
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
    for (const number of this.later(segment)) {
      const isJoining = await this.use(number, async (reader) => {
        if (!this.hasOwnHeader(reader.header, number)) return false;
        const stream = reader.batches({ ...this.chain }, FILE_HEADER_BYTES, FIRST_PIECE_BYTES);
        return (await stream.nextBatch()) !== undefined;
      });
      if (isJoining) return number;
    }
    return undefined;
  }

  /** A whole batch that is newer than what was copied, in the rest of `segment` or behind it. */
  private async evidence(segment: number): Promise<Evidence | undefined> {
    let unproven: Evidence | undefined;
    const here = segment === this.segment && segment > 0 ? [segment] : [];
    for (const number of [...here, ...this.later(segment)]) {
      const from = number === this.segment ? this.offset : FILE_HEADER_BYTES;
      const found = await this.use(number, async (reader): Promise<Evidence | undefined> => {
        const { proof, unproven } = await reader.findBehind(from, this.chain);
        const first = proof ?? unproven[0];
        return first && { path: reader.path, number: first.number, isProof: first === proof };
      });
      if (found?.isProof) return found;
      unproven ??= found;
    }
    return unproven;
  }

  /** Numbers of the segments behind `segment`, ascending. */
  private later(segment: number): number[] {
    const listed = listLogFiles(this.source).segments.map(({ number }) => number);
    const all = new Set([...this.pinned.keys(), ...listed]);
    return [...all].filter((number) => number > segment).sort((a, b) => a - b);
  }

  private async begin(segment: number): Promise<void> {
    await this.writer?.close();
    this.writer = undefined;
    this.segment = segment;
    this.offset = FILE_HEADER_BYTES;
    const header = await this.use(segment, async (reader) => reader.header);
    if (typeof header === 'string' || !this.hasOwnHeader(header, segment)) {
      throw this.broken(segment);
    }
    const { path } = absentFile(this.target, 'segment', segment);
    this.writer = await FileCopy.create(path, encodeSegmentHeader(header));
  }

  /** Copies on from where the segment was left; whether there was more. */
  private async copyBatches(): Promise<boolean> {
    const { chain, options, writer } = this;
    const before = this.offset;
    await this.use(this.segment, async (reader) => {
      const pieceBytes = options.pieceBytes ?? LOG_PIECE_BYTES;
      const stream = reader.batches(chain, this.offset, pieceBytes);
      for (let batch = await stream.nextBatch(); batch; batch = await stream.nextBatch()) {
        await writer?.append(batch);
        options.onBytes?.(stream.offset - this.offset);
        this.offset = stream.offset;
      }
    });
    return this.offset > before;
  }

  /** Throws where the last segment is of another use by now: what it had may be cut short. */
  private async checkStillOwn(): Promise<void> {
    const bytes = await this.use(this.segment, (reader) => reader.bytesAt(0, FILE_HEADER_BYTES));
    if (!this.hasOwnHeader(decodeSegmentHeader(bytes), this.segment)) {
      throw this.broken(this.segment);
    }
  }

  private async use<T>(segment: number, action: (reader: SegmentReader) => Promise<T>): Promise<T> {
    const pinned = this.pinned.get(segment);
    if (pinned !== undefined) {
      await pinned.refresh();
      return action(pinned);
    }
    const reader = await SegmentReader.open(absentFile(this.source, 'segment', segment).path);
    try {
      return await action(reader);
    } finally {
      await reader.close();
    }
  }

  private hasOwnHeader(header: SegmentReader['header'], segment: number): boolean {
    if (typeof header === 'string' || header.segment !== segment) return false;
    return header.logId === this.source.logId && header.partitions === this.source.partitions;
  }

  private broken(segment: number, evidence?: Evidence): DataDamage {
    const { path } = absentFile(this.source, 'segment', segment);
    const found =
      evidence === undefined
        ? 'a segment that is used again'
        : `other bytes, although batch ${evidence.number} stands whole in ${evidence.path}`;
    return new DataDamage(path, this.offset, `batch ${this.chain.next}`, found);
  }
}
