// The segments that hold a log's durable batches: those that are sealed, oldest first, and the one that is
// written to. Reads them back and lets go of them in whole.

import { type LogBatch, LogError } from '../log.js';
import type { Chain } from './batch.js';
import { batchesOf, damaged, firstOf, type SegmentFile } from './durable-batches.js';
import type { Files } from './files.js';

/** A segment that is not written to any more. */
export interface SealedSegment extends SegmentFile {
  /** Up to the end of its last batch, or as recovery found it. */
  readonly bytes: number;
  readonly lastBatch: number;
  readonly lastChecksum: bigint;
}

/** As recovery found it; which batches it has shows when they are asked for. */
type ListedSegment = SegmentFile & { readonly bytes: number; lastBatch?: number };

export class SegmentList {
  readonly sealed: ListedSegment[];
  private active: SegmentFile | undefined;
  private learned: Promise<void> | undefined;
  /** Batches up to here are gone. */
  private trimmed = 0;

  constructor(
    private readonly files: Files,
    /** As the log was opened. */
    private readonly chain: Readonly<Chain>,
    recovered: readonly (SegmentFile & { readonly bytes: number })[],
  ) {
    this.sealed = recovered.map((segment) => ({ ...segment }));
  }

  begun(segment: SegmentFile): void {
    this.active = segment;
  }

  wasSealed(segment: SealedSegment): void {
    if (this.active?.number === segment.number) this.active = undefined;
    this.sealed.push(segment);
  }

  /** As `Log.read`, up to the durable batch `last`. */
  async *read(after: number, last: number): AsyncGenerator<LogBatch, void, undefined> {
    await this.learn();
    let next = after + 1;
    let chain: Chain | undefined;
    while (next <= last) {
      if (next <= this.trimmed) throw trimmedTo(this.trimmed, after);
      const segment = this.holderOf(next);
      if (segment === undefined) throw damaged('a segment that is missing', next);
      try {
        chain ??= await firstOf(this.files, segment, this.chain.logId);
        if (chain === undefined) throw damaged(segment.path, next);
        for await (const batch of batchesOf(this.files, segment, chain, next - 1, last)) {
          yield batch;
          next = batch.number + 1;
        }
        const end = (segment as ListedSegment).lastBatch ?? last;
        if (next <= Math.min(end, last)) throw damaged(segment.path, next);
      } catch (error) {
        // Let go of meanwhile: the file is gone, or has become another segment.
        throw next <= this.trimmed ? trimmedTo(this.trimmed, after) : error;
      }
    }
  }

  /** Forgets the segments whose batches all have numbers up to `batch`, and returns their files. */
  async trim(batch: number): Promise<string[]> {
    await this.learn();
    const gone: string[] = [];
    for (let first = this.sealed[0]; first !== undefined; first = this.sealed[0]) {
      const last = first.lastBatch ?? 0;
      if (last > batch) break;
      this.sealed.shift();
      this.trimmed = Math.max(this.trimmed, last);
      gone.push(first.path);
    }
    return gone;
  }

  private holderOf(batch: number): SegmentFile | undefined {
    return this.sealed.find((segment) => (segment.lastBatch ?? 0) >= batch) ?? this.active;
  }

  /** Finds out, once, which batches the recovered segments have. */
  private learn(): Promise<void> {
    this.learned ??= this.learnRecovered();
    return this.learned;
  }

  private async learnRecovered(): Promise<void> {
    const unknown = this.sealed.filter((segment) => segment.lastBatch === undefined);
    let last = this.chain.next - 1;
    let oldest = this.chain.next;
    for (const segment of unknown.reverse()) {
      const first = await firstOf(this.files, segment, this.chain.logId);
      // A segment that was prepared and never begun may hold a batch of its earlier life.
      const isBegun = first !== undefined && first.next <= last;
      segment.lastBatch = last;
      if (!isBegun) continue;
      oldest = first.next;
      last = first.next - 1;
    }
    this.trimmed = Math.max(this.trimmed, oldest - 1);
  }
}

function trimmedTo(trimmed: number, after: number): LogError {
  const message = `Batches up to ${trimmed} are trimmed, and those after ${after} were asked for: a snapshot stands for them.`;
  return new LogError('LOG_TRIMMED', message);
}
