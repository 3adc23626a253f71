// What a local log is opened with.

import type { NativeAddon } from '../../../ts/engine/native-engine.js';
import type { Clock } from '../../clock.js';
import {
  LOG_BATCH_BYTES_MAX,
  LOG_CLOSE_DEADLINE_MS,
  LOG_MARK_IDLE_MS,
  LOG_PENDING_BYTES_MAX,
  LOG_SEGMENT_BYTES_DEFAULT,
  LOG_SPACE_RETRY_MS,
} from '../../limits.js';
import type { LogEvents } from '../log.js';
import type { Files } from './files.js';
import type { Recovered } from './recovered.js';
import type { SealedSegment } from './segment-list.js';

export interface LocalLogEvents extends LogEvents {
  /** A segment is whole and durable, and nothing more is written to it. */
  onSealed(segment: SealedSegment): void;
}

export interface LocalLogBounds {
  readonly segmentBytes: number;
  /** The largest append: that much room is kept while the next segment is being made. */
  readonly reserveBytes: number;
  readonly batchBytesMax: number;
  readonly pendingBytesMax: number;
  readonly spaceRetryMs: number;
  readonly markIdleMs: number;
  readonly closeDeadlineMs: number;
}

export interface LocalLogOptions {
  /** Where the segments are; it exists. */
  readonly folder: string;
  readonly partitions: number;
  readonly recovered: Recovered;
  /** Files of segments that recovery found and nobody needs: the first segment is made of one. */
  readonly spare?: readonly string[];
  readonly durability:
    | { readonly mode: 'sync' }
    | { readonly mode: 'interval'; readonly everyMs: number };
  /** Without it the writer is the one in TypeScript. */
  readonly addon: NativeAddon | undefined;
  readonly clock: Clock;
  readonly events: LocalLogEvents;
  readonly bounds?: Partial<LocalLogBounds>;
  readonly files?: Files;
  /** For tests: faults of the addon's own system calls (`core-native/src/log/files.rs`). */
  readonly nativeFaults?: string;
}

export const BOUNDS_DEFAULT: LocalLogBounds = {
  segmentBytes: LOG_SEGMENT_BYTES_DEFAULT,
  reserveBytes: LOG_BATCH_BYTES_MAX,
  batchBytesMax: LOG_BATCH_BYTES_MAX,
  pendingBytesMax: LOG_PENDING_BYTES_MAX,
  spaceRetryMs: LOG_SPACE_RETRY_MS,
  markIdleMs: LOG_MARK_IDLE_MS,
  closeDeadlineMs: LOG_CLOSE_DEADLINE_MS,
};
