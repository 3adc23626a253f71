// What recovery found in a log's folder, and what the log is opened with.

import type { Chain } from './batch.js';

export interface Recovered {
  /** Behind the newest batch. */
  readonly chain: Chain;
  /** The highest one found; 0 for none. The log opens with the next. */
  readonly epoch: number;
  /** Above the number of every segment that was found. */
  readonly nextSegment: number;
  /** The newest one of each partition. */
  readonly revisions: Float64Array;
  /** The segments that were found, oldest first; the log goes on in a new one. */
  readonly sealed: readonly { readonly number: number; readonly bytes: number }[];
}
