// The log of one worker in segment files. A writer brings appends to the disk, a pool makes segments
// ahead of it, a list knows those that are written; what is decided here is when the log refuses.

import type { Timer } from '../../clock.js';
import { type Log, type LogBatch, LogError, type LogRefusal } from '../log.js';
import { staleEpoch } from '../record-check.js';
import { Settlement } from '../settlement.js';
import { Admission } from './admission.js';
import { isFull, realFiles } from './files.js';
import { BOUNDS_DEFAULT, type LocalLogBounds, type LocalLogOptions } from './local-options.js';
import { NativeWriter } from './native-writer.js';
import { SegmentList } from './segment-list.js';
import { SegmentPool } from './segment-pool.js';
import type {
  SegmentWriter,
  WriterEvents,
  WriterFailure,
  WriterOptions,
  WrittenSegment,
} from './segment-writer.js';
import { TsWriter } from './ts-writer.js';

export type { LocalLogBounds, LocalLogEvents, LocalLogOptions } from './local-options.js';

export class LocalLog implements Log {
  readonly epoch: number;
  readonly writerKind: 'native' | 'ts';
  refusal: LogRefusal = 'none';
  private fence: number;
  private appendedCount = 0;
  private appendedBytes = 0;
  private readonly bounds: LocalLogBounds;
  private readonly revisions: Float64Array;
  private readonly settlement: Settlement;
  private readonly pool: SegmentPool;
  private readonly segments: SegmentList;
  private readonly writer: SegmentWriter;
  private readonly admission: Admission;
  /** Set for good: appends throw it. */
  private ended: LogError | undefined;
  private isPublishing = false;
  private isIdleArmed = false;
  /** The segment that was last seen to be written to. */
  private begun = 0;
  /** The durable append that the owner was last told of. */
  private published = 0;
  private closing: Promise<void> | undefined;
  private onWriterEnded: () => void = () => undefined;
  private readonly writerEnded = new Promise<void>((resolve) => {
    this.onWriterEnded = resolve;
  });

  /** Opens the log and makes its first segment. Rejects with `LogError` (`DATA_UNREADABLE`). */
  static async open(options: LocalLogOptions): Promise<LocalLog> {
    const log = new LocalLog(options);
    try {
      await log.pool.open(options.spare ?? []);
    } catch (cause) {
      await log.close();
      const remedy = isFull(cause) ? 'Free some space' : 'See that it is there and can be written';
      throw new LogError(
        'DATA_UNREADABLE',
        `No segment of the log could be made in ${options.folder}: ${String(cause)}. ${remedy}, then start again.`,
        { cause },
      );
    }
    // An earlier opening may have ended without a mark.
    if (options.recovered.chain.next > 1) log.armIdle();
    return log;
  }

  private constructor(private readonly options: LocalLogOptions) {
    const { recovered, folder, partitions, clock, files = realFiles } = options;
    this.bounds = { ...BOUNDS_DEFAULT, ...options.bounds };
    this.admission = new Admission(this.bounds);
    this.epoch = recovered.epoch + 1;
    this.fence = this.epoch;
    this.revisions = recovered.revisions.slice();
    this.settlement = new Settlement(clock);
    this.pool = new SegmentPool({
      files,
      folder,
      partitions,
      logId: recovered.chain.logId,
      epoch: this.epoch,
      segmentBytes: this.bounds.segmentBytes,
      nextSegment: recovered.nextSegment,
      retryMs: this.bounds.spaceRetryMs,
      clock,
      onReady: (segment) => {
        this.writer.give(segment);
        this.publish();
      },
      onChange: () => this.publish(),
      onFailure: (error) => {
        this.writer.abort();
        this.fail(error);
      },
    });
    const found = recovered.sealed.map(({ number, bytes }) => ({
      number,
      bytes,
      path: this.pool.pathOf(number),
    }));
    this.segments = new SegmentList(files, recovered.chain, found);
    const writerOptions: WriterOptions = {
      chain: recovered.chain,
      revisions: this.revisions,
      batchBytesMax: this.bounds.batchBytesMax,
      syncIntervalMs: options.durability.mode === 'sync' ? 0 : options.durability.everyMs,
      spaceRetryMs: this.bounds.spaceRetryMs,
      clock,
      files,
      events: this.writerEvents(),
    };
    const { addon } = options;
    // Descriptors of Node are not those of the system on Windows.
    const isNative = addon !== undefined && process.platform !== 'win32';
    this.writerKind = isNative ? 'native' : 'ts';
    this.writer = isNative
      ? new NativeWriter(addon, writerOptions, options.nativeFaults)
      : new TsWriter(writerOptions);
  }

  get appended(): number {
    return this.appendedCount;
  }

  get durable(): number {
    return this.writer.durable;
  }

  get pendingBytes(): number {
    return this.appendedBytes - this.writer.durableBytes;
  }

  get newestBatch(): number {
    return this.writer.newestBatch;
  }

  /** Segments that are not written to any more, oldest first. */
  get sealed(): readonly { number: number; path: string; bytes: number }[] {
    return this.segments.sealed;
  }

  revisionOf(partition: number): number {
    return this.revisions[partition] ?? 0;
  }

  append(epoch: number, records: Uint8Array, length: number): number {
    if (this.ended !== undefined) throw this.ended;
    if (epoch < this.fence) throw staleEpoch(epoch, this.fence);
    this.appendedCount = this.writer.append(records, length);
    this.appendedBytes += length;
    // The owner may be in the middle of something: it learns of a refusal behind it.
    if (this.judge() !== this.refusal && !this.isPublishing) {
      this.isPublishing = true;
      queueMicrotask(() => this.publish());
    }
    return this.appendedCount;
  }

  flush(): void {
    this.writer.flush();
  }

  settled(append: number, timeoutMs: number): Promise<void> {
    return this.settlement.wait(append, timeoutMs);
  }

  read(after: number): AsyncIterable<LogBatch> {
    return this.segments.read(after, this.newestBatch);
  }

  async trim(batch: number): Promise<void> {
    // Their files become future segments, or are removed.
    await this.pool.recycle(await this.segments.trim(batch));
  }

  async seal(epoch: number): Promise<Float64Array> {
    this.fence = Math.max(this.fence, epoch);
    const revisions = this.revisions.slice();
    this.flush();
    await this.settled(this.appended, Infinity);
    return revisions;
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.ended ??= new LogError('LOG_CLOSED', 'The log was closed.');
    this.writer.end(this.options.clock.now());
    const deadline = this.armCloseDeadline();
    await this.writerEnded;
    deadline.cancel();
    await this.pool.close(this.refusal === 'failed' ? 'keep' : 'remove');
    this.settlement.end(this.ended);
  }

  /** Gives up where nothing has become durable for a while: the disk may stay full for good. */
  private armCloseDeadline(): Timer {
    const { clock, folder } = this.options;
    const { closeDeadlineMs } = this.bounds;
    let durable = this.newestBatch;
    let timer: Timer;
    const arm = () => {
      timer = clock.after(closeDeadlineMs, () => {
        if (this.newestBatch !== durable) {
          durable = this.newestBatch;
          arm();
          return;
        }
        const why = this.writer.isFull || this.pool.isFull ? ': the disk is full' : '';
        const message = `The log in ${folder} could not write its end within ${closeDeadlineMs} ms${why}. What was not acknowledged is unknown. See that the disk has room and works, then start again.`;
        this.writer.abort();
        // A mark that has no room is no loss.
        if (this.durable < this.appended) this.fail(new LogError('LOG_FAILED', message));
      });
    };
    arm();
    return { cancel: () => timer.cancel() };
  }

  private writerEvents(): WriterEvents {
    return {
      onSealed: (segment) => this.onSealed(segment),
      onProgress: () => this.onProgress(),
      onFailure: (failure) => this.fail(this.writerFailure(failure)),
      onEnded: () => this.onWriterEnded(),
    };
  }

  private onProgress(): void {
    const { segment, durable } = this.writer;
    if (segment !== this.begun) {
      this.begun = segment;
      this.segments.begun({ number: segment, path: this.pool.pathOf(segment) });
      this.pool.begun(segment);
    }
    if (durable !== this.published) {
      this.settlement.advance(durable);
      if (!this.isIdleArmed) this.armIdle();
    }
    this.publish();
  }

  private onSealed(written: WrittenSegment): void {
    const segment = { ...written, path: this.pool.pathOf(written.number) };
    this.segments.wasSealed(segment);
    this.options.events.onSealed(segment);
  }

  /** Tells the owner where something has changed. */
  private publish(): void {
    this.isPublishing = false;
    const refusal = this.judge();
    const { durable } = this.writer;
    if (refusal === this.refusal && durable === this.published) return;
    this.refusal = refusal;
    this.published = durable;
    this.options.events.onProgress();
  }

  private judge(): LogRefusal {
    if (this.refusal === 'failed') return 'failed';
    return this.admission.judge(this.pendingBytes, this.writer, this.pool);
  }

  /** Leaves a mark when nothing was written for a while. One timer serves all batches meanwhile. */
  private armIdle(): void {
    const batch = this.newestBatch;
    this.isIdleArmed = true;
    this.options.clock.after(this.bounds.markIdleMs, () => {
      this.isIdleArmed = false;
      if (this.ended !== undefined) return;
      if (this.newestBatch === batch && this.durable === this.appended) {
        this.writer.mark(this.options.clock.now());
      } else this.armIdle();
    });
  }

  private writerFailure({ call, errno, segment, offset, cause }: WriterFailure): LogError {
    const file = segment === 0 ? this.options.folder : this.pool.pathOf(segment);
    const message = `The log's ${call} failed with ${errno} in ${file} at byte ${offset}. What was not acknowledged is unknown. See what is wrong with the disk, then start again.`;
    return new LogError('LOG_FAILED', message, { cause });
  }

  private fail(error: LogError): void {
    if (this.refusal === 'failed') return;
    this.refusal = 'failed';
    this.ended = error;
    this.pool.stop();
    this.settlement.end(error);
    this.options.events.onProgress();
    this.options.events.onFailure(error);
  }
}
