// What one process of the benchmark is told to do, and what it answers. Each task has a process of its
// own, so that no other's heap, garbage or compiled code weighs on its figures: a start is always cold.

import type { MadeLog, MadeSegment } from './data.js';

export const KINDS = ['native', 'ts'] as const;
export type Kind = (typeof KINDS)[number];

export type Task =
  /** Makes a data directory with a log. */
  | {
      readonly kind: 'make';
      readonly folder: string;
      readonly bytes: number;
      /** Records of a batch: one, or what a busy node makes. */
      readonly isSingle: boolean;
    }
  /** Reads the log of a data directory into an empty engine. */
  | { readonly kind: 'recover'; readonly by: Kind; readonly folder: string }
  /** Appends this many bytes, many on the way at once, and waits until they are durable. */
  | { readonly kind: 'append'; readonly by: Kind; readonly folder: string; readonly bytes: number }
  /** Appends one record, waits until it is durable, and so on. */
  | {
      readonly kind: 'lonely';
      readonly by: Kind;
      readonly folder: string;
      readonly seconds: number;
      readonly warmUpSeconds: number;
    }
  /** Makes a snapshot of a log, into another folder. */
  | {
      readonly kind: 'compact';
      readonly by: Kind;
      readonly folder: string;
      readonly segments: readonly MadeSegment[];
      readonly into: string;
    };

export interface TaskAnswer {
  /** Of the measured part alone. */
  readonly seconds: number;
  /** Of records that were read or appended; of a compaction, of the snapshot that it made. */
  readonly bytes: number;
  readonly records: number;
  /** Of single operations, where they were measured. */
  readonly latencyMicros?: { readonly p50: number; readonly p99: number; readonly p999: number };
  /** What was made. */
  readonly path?: string;
  readonly log?: MadeLog;
}
