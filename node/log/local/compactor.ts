// When to compact: once sealed segments hold as many bytes as the snapshot, so that each byte is written
// about as often as the state doubles, and at least enough to be worth a pass. One at a time. A failure
// costs nothing but disk: it is logged and tried again, later each time. Damage is different: what is on
// disk may be all there is of it after a restart, so that is reported for someone to act on, once.

import type { Logger } from 'pino';
import type { Clock } from '../../clock.js';
import { messageOf } from '../../errors.js';
import {
  COMPACTION_BYTES_MIN,
  COMPACTION_RATIO,
  COMPACTION_RETRY_MS,
  COMPACTION_RETRY_MS_MAX,
  COMPACTION_RUN_BYTES,
  COMPACTION_RUNS_MAX,
  COMPACTION_SEGMENTS_MIN,
} from '../../limits.js';
import { type Compact, type CompactedSnapshot, CompactionCancelled } from './compaction.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { type NumberedFile, removeFiles } from './log-files.js';
import type { SealedSegment } from './segment-list.js';

export interface CompactorOptions {
  readonly directory: Pick<DataPaths, 'snapshot'> & DataFormat;
  readonly compact: Compact;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Length of a segment of the log. */
  readonly segmentBytes: number;
  /** As recovery found them. */
  readonly snapshot: NumberedFile | undefined;
  readonly sealed: readonly SealedSegment[];
  /** Lets go of the segments up to this batch: `Log.trim`. */
  trim(lastBatch: number): Promise<void>;
  /** Called once, when bytes that were durable are missing or changed; no compaction follows. */
  onDamage(error: DataDamage): void;
}

export class Compactor {
  /** The newest snapshot. */
  snapshot: NumberedFile | undefined;
  /** Compactions that ended well, and those that did not. */
  done = 0;
  failed = 0;
  /** Undefined where none runs. */
  private running: Promise<void> | undefined;
  private sealed: SealedSegment[];
  private readonly stopping = new AbortController();
  private retryMs = COMPACTION_RETRY_MS;
  private retry: { cancel(): void } | undefined;
  private isDamaged = false;

  constructor(private readonly options: CompactorOptions) {
    this.snapshot = options.snapshot;
    this.sealed = [...options.sealed];
    this.consider();
  }

  /** The log has ended a segment; they come in order. */
  segmentSealed(segment: SealedSegment): void {
    this.sealed.push(segment);
    this.consider();
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  /** Bytes of sealed segments that the snapshot does not cover. */
  get sealedBytes(): number {
    return this.sealed.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Stops a compaction that runs; its temporary files go at the next start, if not before. */
  async close(): Promise<void> {
    this.stopping.abort();
    this.retry?.cancel();
    await this.running;
  }

  private consider(): void {
    const isIdle = this.running === undefined && this.retry === undefined;
    if (!isIdle || this.isDamaged || this.stopping.signal.aborted) return;
    if (this.sealed.length === 0 || this.sealedBytes < this.threshold) return;
    this.running = this.run().finally(() => {
      this.running = undefined;
      this.consider();
    });
  }

  private get threshold(): number {
    const least = Math.min(
      COMPACTION_BYTES_MIN,
      COMPACTION_SEGMENTS_MIN * this.options.segmentBytes,
    );
    return Math.max(least, (this.snapshot?.bytes ?? 0) * COMPACTION_RATIO);
  }

  private async run(): Promise<void> {
    const { options, snapshot } = this;
    const { directory, logger, clock } = options;
    const segments = [...this.sealed];
    const last = segments.at(-1) as SealedSegment;
    const start = clock.monotonic();
    try {
      const made = await options.compact(
        {
          folder: directory.snapshot,
          logId: directory.logId,
          partitions: directory.partitions,
          snapshot: snapshot?.path,
          segments,
          isBackground: true,
          runBytes: COMPACTION_RUN_BYTES,
          runsMax: COMPACTION_RUNS_MAX,
        },
        this.stopping.signal,
      );
      await this.replace(made, segments.length, last.lastBatch);
      const { path, bytes, records } = made;
      const ms = Math.round(clock.monotonic() - start);
      logger.info({ path, bytes, records, segments: segments.length, ms }, 'compacted the log');
      this.done++;
      this.retryMs = COMPACTION_RETRY_MS;
    } catch (error) {
      this.fail(error);
    }
  }

  /** The new snapshot is durable: what it stands for may go, the older snapshot first. */
  private async replace(made: CompactedSnapshot, count: number, lastBatch: number): Promise<void> {
    const old = this.snapshot;
    this.snapshot = made;
    this.sealed.splice(0, count);
    if (old !== undefined && old.path !== made.path) removeFiles([old.path]);
    await this.options.trim(lastBatch);
  }

  private fail(error: unknown): void {
    if (error instanceof CompactionCancelled) return;
    this.failed++;
    const { logger, clock } = this.options;
    if (error instanceof DataDamage) {
      this.isDamaged = true;
      logger.error({ err: error }, 'the log on disk is damaged; serving goes on from memory');
      this.options.onDamage(error);
      return;
    }
    const reason = messageOf(error);
    logger.warn({ reason, retryMs: this.retryMs }, 'could not compact the log');
    this.retry = clock.after(this.retryMs, () => {
      this.retry = undefined;
      this.consider();
    });
    this.retryMs = Math.min(this.retryMs * 2, COMPACTION_RETRY_MS_MAX);
  }
}
