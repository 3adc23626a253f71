// Makes segments ahead of the writer, so that it never waits for one. A segment has its full length in
// real zeros before it is used: a sync into blocks that were only reserved has to change the file
// system's metadata too, and costs up to 1.7 times as much. Files of segments that were let go are used
// again, which saves writing the zeros; what old batches they hold does not fit the chain.
//
// A file gets its name `<n>.seg` only when it is whole and durable, and the name is made durable before
// the writer gets it: a batch must not be acknowledged in a file whose name a loss of power takes away.

import { join } from 'node:path';
import type { Clock, Timer } from '../../clock.js';
import { LOG_SEGMENTS_SPARE_MAX, LOG_ZERO_PIECE_BYTES } from '../../limits.js';
import { LogError } from '../log.js';
import { errnoOf, type Files, isFull, sync, writeAll } from './files.js';
import { encodeSegmentHeader, segmentName } from './format.js';
import type { ReadySegment } from './segment-writer.js';

/** What may well work a little later: too many open files, no memory, an interrupted call. */
const TRANSIENT = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR', 'EBUSY']);

export interface PoolOptions {
  readonly files: Files;
  /** Of the segments. */
  readonly folder: string;
  readonly partitions: number;
  readonly logId: bigint;
  readonly epoch: number;
  readonly segmentBytes: number;
  readonly nextSegment: number;
  readonly retryMs: number;
  readonly clock: Clock;
  /** The segment is the receiver's from here on. */
  onReady(segment: ReadySegment): void;
  /** `isFull` has changed. */
  onChange(): void;
  onFailure(error: LogError): void;
}

export class SegmentPool {
  /** The disk had no room for the next segment; making it is tried again. */
  isFull = false;
  private next: number;
  /** Handed over and not begun, oldest first. */
  private ready: ReadySegment[] = [];
  /** One file at a time, so that numbers ascend in the order in which segments are handed over. */
  private work: Promise<void> = Promise.resolve();
  private isMaking = false;
  private isClosed = false;
  private retry: Timer | undefined;

  constructor(private readonly options: PoolOptions) {
    this.next = options.nextSegment;
  }

  pathOf(segment: number): string {
    return join(this.options.folder, segmentName(segment));
  }

  /** Makes the first segment, of a file of `spare` where one fits; rejects with the first failure. */
  open(spare: readonly string[]): Promise<void> {
    const opened = this.work.then(async () => {
      for (const path of spare) {
        const file = await this.takeSpare(path);
        if (file !== undefined) await this.handOver(file.fd, file.path);
      }
      if (this.next === this.options.nextSegment) await this.make();
    });
    // The writer may begin the first one while others are made of `spare`: what it asks for then waits.
    this.work = opened.catch(() => undefined);
    return opened;
  }

  /** The writer has begun the segment `number`: another one has to be ready behind it. */
  begun(number: number): void {
    this.ready = this.ready.filter((segment) => segment.number > number);
    this.ensure();
  }

  /**
   * Turns files that are not needed any more into future segments, or removes them. Rejects with
   * `LogError` (`DATA_UNREADABLE`) where that fails; the log goes on, and the files lie there.
   */
  async recycle(paths: readonly string[]): Promise<void> {
    const steps = paths.map((path) => {
      const step = this.work.then(() => this.recycleOne(path));
      this.work = step.catch(() => undefined);
      return step;
    });
    await this.work;
    for (const step of steps) await step;
  }

  /** Makes nothing more. */
  stop(): void {
    this.isClosed = true;
    this.retry?.cancel();
  }

  /** Stops, and removes what was handed over and not begun; called when the writer has ended. */
  async close(keep: 'keep' | 'remove'): Promise<void> {
    this.stop();
    await this.work;
    if (keep === 'keep') return;
    const { files } = this.options;
    for (const { path } of this.ready) await files.unlink(path).catch(() => undefined);
    this.ready = [];
  }

  private ensure(): void {
    if (this.isMaking || this.ready.length > 0) return;
    this.isMaking = true;
    this.tryToMake();
  }

  /** Between two tries the files that are let go of get their turn: they may be the only way to space. */
  private tryToMake(): void {
    this.work = this.work.then(() => this.makeNext()).catch((error) => this.fail(error));
  }

  private async makeNext(): Promise<void> {
    try {
      // One that was let go of may have taken its place.
      while (!this.isClosed && this.ready.length === 0) await this.make();
      this.isMaking = false;
    } catch (error) {
      if (!isFull(error) && !TRANSIENT.has(errnoOf(error))) throw error;
      if (this.isClosed) return;
      this.setFull(isFull(error));
      this.retry = this.options.clock.after(this.options.retryMs, () => this.tryToMake());
    }
  }

  private setFull(isNow: boolean): void {
    if (this.isFull === isNow) return;
    this.isFull = isNow;
    this.options.onChange();
  }

  private async make(): Promise<void> {
    const { files, segmentBytes } = this.options;
    const path = `${this.pathOf(this.next)}.tmp`;
    const fd = await files.open(path, 'create');
    try {
      const zeros = new Uint8Array(Math.min(LOG_ZERO_PIECE_BYTES, segmentBytes));
      for (let at = 0; at < segmentBytes && !this.isClosed; at += zeros.length) {
        const piece = zeros.subarray(0, segmentBytes - at);
        await writeAll(files, fd, piece, at);
        // Piece by piece: a sync of all at once would keep the log's own syncs waiting behind it.
        if (at + piece.length < segmentBytes) await sync(files, fd);
      }
      await this.handOver(fd, path);
    } catch (error) {
      await this.discard(fd, path);
      throw error;
    }
  }

  private async recycleOne(path: string): Promise<void> {
    if (this.isClosed) return;
    let spare: { fd: number; path: string } | undefined;
    try {
      spare = await this.takeSpare(path);
    } catch (cause) {
      const message = `A segment that is not needed any more, ${path}, could not be used again or removed (${errnoOf(cause)}). Remove it by hand.`;
      throw new LogError('DATA_UNREADABLE', message, { cause });
    }
    if (spare === undefined) return;
    try {
      await this.handOver(spare.fd, spare.path);
    } catch (error) {
      await this.discard(spare.fd, spare.path);
      if (!isFull(error) && !TRANSIENT.has(errnoOf(error))) this.fail(error);
    }
  }

  /** Opens a file for its new life; removes it where there are enough, or where its length is another. */
  private async takeSpare(path: string): Promise<{ fd: number; path: string } | undefined> {
    const { files, folder, segmentBytes } = this.options;
    const isWanted = this.ready.length < LOG_SEGMENTS_SPARE_MAX;
    if (!isWanted || (await files.size(path)) !== segmentBytes) {
      await files.unlink(path);
      return undefined;
    }
    const aside = `${this.pathOf(this.next)}.tmp`;
    await files.rename(path, aside);
    try {
      // A segment must not be found under its old name with its new header.
      await files.syncFolder(folder);
      return { fd: await files.open(aside, 'write'), path: aside };
    } catch (error) {
      await files.unlink(aside).catch(() => undefined);
      throw error;
    }
  }

  /** Gives the file its header and its name, both durable, and hands it over. */
  private async handOver(fd: number, path: string): Promise<void> {
    const { files, folder, partitions, logId, epoch, segmentBytes } = this.options;
    const number = this.next;
    const header = encodeSegmentHeader({ partitions, logId, segment: number, epoch });
    await writeAll(files, fd, header, 0);
    await sync(files, fd);
    if (this.isClosed) return this.discard(fd, path);
    const named = this.pathOf(number);
    await files.rename(path, named);
    // The number is used, whatever comes: the file may be found under it.
    this.next++;
    try {
      await files.syncFolder(folder);
    } catch (error) {
      await this.discard(fd, named);
      throw error;
    }
    const segment = { number, path: named, fd, bytes: segmentBytes };
    if (this.isClosed) return this.discard(fd, named);
    this.ready.push(segment);
    this.setFull(false);
    this.options.onReady(segment);
  }

  /** A file that cannot be removed is found at the next start: `.tmp`, or a segment without batches. */
  private async discard(fd: number, path: string): Promise<void> {
    const { files } = this.options;
    await files.close(fd).catch(() => undefined);
    await files.unlink(path).catch(() => undefined);
  }

  private fail(error: unknown): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.options.onFailure(poolFailure(error, this.options.folder));
  }
}

function poolFailure(error: unknown, folder: string): LogError {
  const message = `A segment of the log in ${folder} could not be prepared (${errnoOf(error)}). See what is wrong with the disk, then start again.`;
  return new LogError('LOG_FAILED', message, { cause: error });
}
