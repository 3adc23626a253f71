// What a call may be told, and what all calls of a client are told.

import type { RondoError } from './errors.js';

export interface CallOptions {
  /** Gives the call up: unsent, it leaves the queue; sent, its answer is ignored. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from the call to its answer; otherwise the client's `timeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

export interface DispatcherOptions {
  readonly timeoutMs: number;
  readonly queueMax: number;
  readonly failFast: boolean;
  readonly repeatDelayMsMin: number;
  readonly repeatDelayMsMax: number;
  readonly random: () => number;
  readonly idFirst: number;
  /** The node has been silent for too long while answers were due. */
  readonly onSilence: (error: RondoError) => void;
}
