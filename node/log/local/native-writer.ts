// The writer in the addon: a thread of its own (`core-native/src/log/writer.rs`). Appending is one call
// that checks and copies; progress comes as a call without arguments, with the figures in an array.

import { getSystemErrorName } from 'node:util';
import type { NativeAddon } from '../../../ts/engine/native-engine.js';
import { RECORD_HEADER_BYTES } from '../../../ts/engine/records.js';
import { LogError } from '../log.js';
import { takeRecords } from '../record-check.js';
import { BATCH_BODY_BYTES_MAX, BATCH_HEADER_BYTES, FILE_HEADER_BYTES } from './format.js';
import type {
  ReadySegment,
  SegmentWriter,
  WriterFailure,
  WriterOptions,
} from './segment-writer.js';

const PROGRESS_LENGTH = 6;
const DURABLE = 0;
const DURABLE_BYTES = 1;
const NEWEST_BATCH = 2;
const SEGMENT = 3;
const REST = 4;
const FLAGS = 5;
const FLAG_FULL = 1;
const FLAG_ENDED = 2;
const FLAG_FAILED = 4;
const FLAG_SEALED = 8;

/** The layouts and codes that both sides must share, in the order of `log_abi` in `log_api.rs`. */
export const LOG_ABI = [
  BATCH_HEADER_BYTES,
  BATCH_BODY_BYTES_MAX,
  FILE_HEADER_BYTES,
  PROGRESS_LENGTH,
  FLAG_FULL,
  FLAG_ENDED,
  FLAG_FAILED,
  FLAG_SEALED,
  RECORD_HEADER_BYTES,
].join(' ');

/** What the addon exports for the log. */
interface NativeLogAddon {
  /** Absent in an addon from before there was a log. */
  logAbi?(): string;
  NativeLog: new (
    options: {
      logId: bigint;
      before: bigint;
      next: number;
      batchBytesMax: number;
      syncIntervalMs: number;
      spaceRetryMs: number;
      faults?: string;
    },
    revisions: Float64Array,
    progress: Float64Array,
    onProgress: () => void,
  ) => NativeLogHandle;
}

interface NativeLogHandle {
  /** Number of the append, or a negative code that refuses it. */
  appendFunction(): (records: Uint8Array, length: number) => number;
  flushFunction(): () => void;
  give(number: number, descriptor: number, bytes: number): void;
  mark(time: number): void;
  end(time: number): void;
  abort(): void;
  join(): void;
  takeSealed(): { number: number; bytes: number; lastBatch: number; lastChecksum: bigint }[];
  failure(): { call: string; errno: number; segment: number; offset: number } | null;
}

export class NativeWriter implements SegmentWriter {
  readonly flush: () => void;
  private readonly progress = new Float64Array(PROGRESS_LENGTH);
  private readonly handle: NativeLogHandle;
  private readonly take: (records: Uint8Array, length: number) => number;
  private hasEnded = false;

  /** `faults` is a script of faults for tests (`core-native/src/log/files.rs`). */
  constructor(
    engineAddon: NativeAddon,
    private readonly options: WriterOptions,
    faults?: string,
  ) {
    const addon = engineAddon as NativeAddon & NativeLogAddon;
    const abi = addon.logAbi?.() ?? 'none';
    if (abi !== LOG_ABI) {
      throw new Error(
        `The addon's log was built from other layouts (${abi}; this code has ${LOG_ABI}). Rebuild it with: npm run build:native`,
      );
    }
    const { chain, batchBytesMax, syncIntervalMs, spaceRetryMs, revisions } = options;
    this.progress[NEWEST_BATCH] = chain.next - 1;
    this.handle = new addon.NativeLog(
      {
        logId: chain.logId,
        before: chain.before,
        next: chain.next,
        batchBytesMax,
        syncIntervalMs,
        spaceRetryMs,
        ...(faults === undefined ? {} : { faults }),
      },
      revisions,
      this.progress,
      () => this.onProgress(),
    );
    this.take = this.handle.appendFunction();
    this.flush = this.handle.flushFunction();
  }

  get durable(): number {
    return this.progress[DURABLE] as number;
  }

  get durableBytes(): number {
    return this.progress[DURABLE_BYTES] as number;
  }

  get newestBatch(): number {
    return this.progress[NEWEST_BATCH] as number;
  }

  get segment(): number {
    return this.progress[SEGMENT] as number;
  }

  get rest(): number {
    return this.progress[REST] as number;
  }

  get isFull(): boolean {
    return this.has(FLAG_FULL);
  }

  append(records: Uint8Array, length: number): number {
    const number = this.take(records, length);
    if (number > 0) return number;
    // The same check in TypeScript says what is wrong with them; it changes nothing either.
    takeRecords(records, length, this.options.revisions.slice());
    throw new LogError('RECORDS_MALFORMED', 'The addon refuses the records of an append.');
  }

  give({ number, fd, bytes }: ReadySegment): void {
    this.handle.give(number, fd, bytes);
  }

  mark(time: number): void {
    this.handle.mark(time);
  }

  end(time: number): void {
    this.handle.end(time);
  }

  abort(): void {
    this.handle.abort();
  }

  private onProgress(): void {
    const { events } = this.options;
    if (this.hasEnded) return;
    if (this.has(FLAG_SEALED)) {
      for (const segment of this.handle.takeSealed()) events.onSealed(segment);
    }
    events.onProgress();
    if (!this.has(FLAG_ENDED)) return;
    this.hasEnded = true;
    const failure = this.has(FLAG_FAILED) ? this.handle.failure() : null;
    this.handle.join();
    if (failure !== null) events.onFailure(failureOf(failure));
    events.onEnded();
  }

  private has(flag: number): boolean {
    return ((this.progress[FLAGS] as number) & flag) !== 0;
  }
}

function failureOf(failure: { call: string; errno: number; segment: number; offset: number }) {
  const errno = failure.errno === 0 ? failure.call : getSystemErrorName(-failure.errno);
  return { ...failure, call: failure.call as WriterFailure['call'], errno };
}
