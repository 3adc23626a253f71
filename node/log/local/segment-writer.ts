// What writes a log's segments: a thread of the addon (`native-writer.ts`), or its twin on libuv's
// threads (`ts-writer.ts`). Both follow the same rules and write the same bytes:
//
// - One batch is on its way at a time. What is appended meanwhile goes into the next one, which starts by
//   itself; an idle writer starts at `flush`. A batch has whole appends, at most LOG_BATCH_BYTES_MAX of
//   records, or one append that is larger.
// - A batch that, with a mark behind it, does not fit into the rest of its segment goes into the next; into
//   an empty one it goes whatever its length, and the file grows. A segment is synced before the next one
//   is begun: batches of the next would be lost with a batch of this one.
// - A full disk is waited for: what was not synced may be written again. Any other failed write, and every
//   failed sync, ends the writer, and no further byte is written: the kernel may have dropped the pages
//   that it could not write, and a later sync would say nothing of it.

import type { Clock } from '../../clock.js';
import type { Chain } from './batch.js';
import type { Files } from './files.js';

/** A file that is prepared as a segment: full length, its header in place, all of it durable. */
export interface ReadySegment {
  readonly number: number;
  readonly path: string;
  /** Open for writing; belongs to the writer from `give` on. */
  readonly fd: number;
  readonly bytes: number;
}

/** A segment that the writer has left behind, whole and durable. */
export interface WrittenSegment {
  readonly number: number;
  /** Up to the end of its last batch. */
  readonly bytes: number;
  readonly lastBatch: number;
  readonly lastChecksum: bigint;
}

export interface WriterFailure {
  /** What failed. */
  readonly call: 'write' | 'sync' | 'panic';
  /** The system's name of the error, such as EIO. */
  readonly errno: string;
  /** 0 where no segment was begun. */
  readonly segment: number;
  readonly offset: number;
  readonly cause?: unknown;
}

/** The writer's figures change only just before one of these. */
export interface WriterEvents {
  onSealed(segment: WrittenSegment): void;
  onProgress(): void;
  /** Called once, before `onEnded`. */
  onFailure(failure: WriterFailure): void;
  /** Nothing more is written; all descriptors are closed. */
  onEnded(): void;
}

export interface SegmentWriter {
  /** Number of the newest durable append. */
  readonly durable: number;
  /** Bytes of records that have become durable. */
  readonly durableBytes: number;
  /** Number of the newest durable batch. */
  readonly newestBatch: number;
  /** Number of the segment that is written to; 0 before the first. */
  readonly segment: number;
  /** Bytes left in it. */
  readonly rest: number;
  /** The disk is full, and what it refused is tried again. */
  readonly isFull: boolean;
  /**
   * Takes an append and returns its number. Throws `LogError`: `RECORDS_MALFORMED`,
   * `REVISION_MISMATCH`.
   */
  append(records: Uint8Array, length: number): number;
  flush(): void;
  /** Hands over the next segment. */
  give(segment: ReadySegment): void;
  /** Leaves a mark with this time, unless there is something to write or the last batch is one. */
  mark(time: number): void;
  /** Writes and syncs what was appended and a mark, then ends. */
  end(time: number): void;
  /** Ends behind the call that is on its way, and writes nothing more. */
  abort(): void;
}

export interface WriterOptions {
  readonly chain: Readonly<Chain>;
  /** The newest one of each partition; the writer moves it on. */
  readonly revisions: Float64Array;
  readonly batchBytesMax: number;
  /** 0: every batch is synced. A sync comes earlier where much was written. */
  readonly syncIntervalMs: number;
  readonly spaceRetryMs: number;
  readonly clock: Clock;
  readonly files: Files;
  readonly events: WriterEvents;
}
