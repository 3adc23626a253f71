// The writer in plain TypeScript, on libuv's threads. The rules stand in `segment-writer.ts`; the twin is
// `core-native/src/log/writer.rs`.

import type { Timer } from '../../clock.js';
import { takeRecords } from '../record-check.js';
import { type Chain, sealBatch } from './batch.js';
import { errnoOf, isFull } from './files.js';
import { BATCH_HEADER_BYTES, FILE_HEADER_BYTES } from './format.js';
import { type Group, GroupQueue } from './group.js';
import type {
  ReadySegment,
  SegmentWriter,
  WriterFailure,
  WriterOptions,
  WrittenSegment,
} from './segment-writer.js';

/** Full batches written after which an interval is not waited for: what is pending has a bound. */
const UNSYNCED_BATCHES_MAX = 2;

type Then = () => void;
type Task = (then: Then) => void;

export class TsWriter implements SegmentWriter {
  durable = 0;
  durableBytes = 0;
  newestBatch: number;
  segment = 0;
  isFull = false;
  private readonly chain: Chain;
  private readonly groups: GroupQueue;
  private readonly segments: ReadySegment[] = [];
  private readonly markBytes = new Uint8Array(BATCH_HEADER_BYTES);
  private readonly markView = new DataView(this.markBytes.buffer);
  private appended = 0;
  private active: ReadySegment | undefined;
  /** Where the next batch goes in the active segment. */
  private at = 0;
  /** Number of the newest batch that was written whole. */
  private writtenBatch: number;
  /** Newest append and bytes of records that were written, durable or not. */
  private written = 0;
  private writtenBytes = 0;
  /** The newest batch is no mark. The last one that an earlier opening left may be without. */
  private isUnmarked: boolean;
  /** Something was written since the last sync. */
  private isUnsynced = false;
  /** A call is on its way. */
  private isRunning = false;
  /** A batch has just been written: the next one starts without a flush. */
  private isBusy = false;
  private isFlushed = false;
  private markTime: number | undefined;
  private endTime: number | undefined;
  private isAborted = false;
  private isStopped = false;
  private syncTimer: Timer | undefined;
  private isSyncDue = false;
  /** Goes on when there is a segment. */
  private starved: Then | undefined;

  constructor(private readonly options: WriterOptions) {
    this.chain = { ...options.chain };
    this.newestBatch = this.chain.next - 1;
    this.writtenBatch = this.newestBatch;
    this.isUnmarked = this.chain.next > 1;
    this.groups = new GroupQueue(options.batchBytesMax);
  }

  get rest(): number {
    return this.active === undefined ? 0 : Math.max(0, this.active.bytes - this.at);
  }

  append(records: Uint8Array, length: number): number {
    const taken = takeRecords(records, length, this.options.revisions);
    this.appended++;
    this.groups.append(records, length, taken.records, taken.time, this.appended);
    return this.appended;
  }

  flush(): void {
    if (this.groups.isEmpty) return;
    this.isFlushed = true;
    this.next();
  }

  give(segment: ReadySegment): void {
    if (this.isStopped) {
      this.options.files.close(segment.fd).catch(() => undefined);
      return;
    }
    this.segments.push(segment);
    const starved = this.starved;
    this.starved = undefined;
    starved?.();
  }

  mark(time: number): void {
    this.markTime = time;
    this.next();
  }

  end(time: number): void {
    this.endTime = time;
    this.next();
  }

  abort(): void {
    this.isAborted = true;
    // A descriptor must not be closed under a call that uses it: that call's end stops the writer.
    if (!this.isRunning || this.starved !== undefined) this.stop();
  }

  /** Begins what is to be done, unless something is on its way. */
  private next(): void {
    if (this.isRunning || this.isStopped) return;
    const task = this.nextTask();
    if (task === undefined) return;
    this.isRunning = true;
    task(() => {
      this.isRunning = false;
      if (this.isAborted) this.stop();
      else this.next();
      this.options.events.onProgress();
    });
  }

  private nextTask(): Task | undefined {
    if (this.isSyncDue) return (then) => this.sync(then);
    if (this.isBusy || this.isFlushed || this.endTime !== undefined) {
      const group = this.groups.take();
      if (group !== undefined) {
        this.isBusy = true;
        return (then) => this.writeGroup(group, then);
      }
      this.isBusy = false;
      this.isFlushed = false;
    }
    const markTime = this.markTime ?? this.endTime;
    this.markTime = undefined;
    if (markTime !== undefined && this.groups.isEmpty && this.canMark()) {
      return (then) => this.writeMark(markTime, then);
    }
    if (this.endTime === undefined) return undefined;
    if (this.isUnsynced) return (then) => this.sync(then);
    this.stop();
    return undefined;
  }

  private writeGroup(group: Group, then: Then): void {
    this.makeRoom(group.length, () => {
      sealBatch(
        group.view,
        0,
        group.bodyBytes,
        group.records,
        group.time,
        this.newestBatch,
        this.chain,
      );
      this.write(group.bytes, group.length, () => {
        this.isUnmarked = true;
        this.written = group.lastAppend;
        this.writtenBytes += group.bodyBytes;
        this.groups.reuse(group);
        if (this.mustSync()) this.sync(then);
        else {
          this.armSync();
          then();
        }
      });
    });
  }

  private mustSync(): boolean {
    const { syncIntervalMs, batchBytesMax } = this.options;
    const unsynced = this.writtenBytes - this.durableBytes;
    return syncIntervalMs === 0 || unsynced >= UNSYNCED_BATCHES_MAX * batchBytesMax;
  }

  private armSync(): void {
    this.syncTimer ??= this.options.clock.after(this.options.syncIntervalMs, () => {
      this.isSyncDue = true;
      this.next();
    });
  }

  private canMark(): boolean {
    return this.isUnmarked && (this.active !== undefined || this.segments.length > 0);
  }

  /** The batch before is synced first: the mark says so. */
  private writeMark(time: number, then: Then): void {
    if (this.isUnsynced) {
      this.sync(() => this.writeMark(time, then));
      return;
    }
    const write = () => {
      sealBatch(this.markView, 0, 0, 0, time, this.newestBatch, this.chain);
      this.write(this.markBytes, BATCH_HEADER_BYTES, () => {
        this.isUnmarked = false;
        // Otherwise a loss of power could take it and leave the batch behind it.
        this.sync(then);
      });
    };
    // There is room for it behind every batch.
    if (this.active === undefined) this.makeRoom(BATCH_HEADER_BYTES, write);
    else write();
  }

  /** Goes on to the next segment where a batch, with a mark behind it, does not fit into this one. */
  private makeRoom(length: number, then: Then): void {
    const { active } = this;
    const hasRoom =
      active !== undefined &&
      (this.at === FILE_HEADER_BYTES || this.at + length + BATCH_HEADER_BYTES <= active.bytes);
    if (hasRoom) then();
    else if (this.isUnsynced) this.sync(() => this.makeRoom(length, then));
    else this.begin(then);
  }

  private begin(then: Then): void {
    if (this.active !== undefined) this.leave(this.active);
    const next = this.segments.shift();
    if (next === undefined) {
      this.starved = () => this.begin(then);
      return;
    }
    this.active = next;
    this.at = FILE_HEADER_BYTES;
    this.segment = next.number;
    this.options.events.onProgress();
    then();
  }

  private leave(active: ReadySegment): void {
    const sealed: WrittenSegment = {
      number: active.number,
      bytes: this.at,
      lastBatch: this.writtenBatch,
      lastChecksum: this.chain.before,
    };
    this.active = undefined;
    // All that counts was synced.
    this.options.files.close(active.fd).catch(() => undefined);
    this.options.events.onSealed(sealed);
    this.options.events.onProgress();
  }

  /** Writes the batch that was sealed last. */
  private write(batch: Uint8Array, length: number, then: Then, done = 0): void {
    const active = this.active as ReadySegment;
    const { clock, events, files, spaceRetryMs } = this.options;
    const position = this.at + done;
    if (this.isAborted) {
      this.stop();
      return;
    }
    files.write(active.fd, batch, done, length - done, position, (error, taken) => {
      if (error !== null && isFull(error)) {
        this.isFull = true;
        const retry = () => {
          clock.after(spaceRetryMs, () => this.write(batch, length, then, done));
          events.onProgress();
        };
        // What was written at an interval is not to wait for space as well.
        if (this.syncTimer === undefined) retry();
        else this.sync(retry);
        return;
      }
      if (error !== null && errnoOf(error) === 'EINTR') {
        return this.write(batch, length, then, done);
      }
      if (error !== null) return this.fail('write', position, error);
      if (taken === 0) return this.fail('write', position, new Error('a write took no bytes'));
      this.isUnsynced = true;
      if (done + taken < length) return this.write(batch, length, then, done + taken);
      this.at += length;
      this.writtenBatch = this.chain.next - 1;
      this.isFull = false;
      if (this.isAborted) this.stop();
      else then();
    });
  }

  /** Never tried again after a failure. */
  private sync(then: Then): void {
    const { active } = this;
    this.syncTimer?.cancel();
    this.syncTimer = undefined;
    this.isSyncDue = false;
    if (active === undefined) {
      then();
      return;
    }
    this.options.files.sync(active.fd, (error) => {
      if (error !== null) return this.fail('sync', this.at, error);
      if (this.isAborted) return this.stop();
      this.isUnsynced = false;
      this.durable = this.written;
      this.durableBytes = this.writtenBytes;
      this.newestBatch = this.writtenBatch;
      then();
    });
  }

  private fail(call: 'write' | 'sync', offset: number, error: unknown): void {
    const failure: WriterFailure = {
      call,
      errno: errnoOf(error),
      segment: this.segment,
      offset,
      cause: error,
    };
    this.stop(failure);
  }

  private stop(failure?: WriterFailure): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.syncTimer?.cancel();
    const open = this.segments.splice(0).concat(this.active ?? []);
    this.active = undefined;
    const { events, files } = this.options;
    if (failure !== undefined) events.onFailure(failure);
    // A file that does not close is of no concern any more: what counts was synced.
    Promise.allSettled(open.map(({ fd }) => files.close(fd))).then(() => events.onEnded());
  }
}
