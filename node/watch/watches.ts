// What the worker asks of the watches of its connections. They read the tail of the log: every record that
// the engine made passes here once, in order, and is shown when its append is durable.

import type { Peer } from '../connection.js';

/** The operation of a REQUEST notice, copied out of it. */
export interface WatchRequest {
  readonly id: number;
  readonly flags: number;
  /** Classes of events. */
  readonly classes: number;
  readonly expectedRevision: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface Watches {
  /** Watches that there are, over all connections. */
  readonly count: number;

  /**
   * Records of one engine call, in order, which it copies. `append`: their number; 0: they were read from the
   * log and are durable. `position` and `end`: the sum of all revisions before the first and behind the last.
   */
  onRecords(append: number, records: Uint8Array, position: number, end: number): void;

  /** All appends up to this one are durable. */
  onDurable(append: number): void;

  /**
   * Starts a watch, which ends with its connection. Answers the operation (`position` as revision, or a status
   * that refuses it), then pushes. Called behind the frame's engine call, whose newest append and position are
   * given.
   */
  watch(peer: Peer, request: WatchRequest, append: number, position: number): void;

  /** Ends a watch and answers OK, or NOT_FOUND. */
  unwatch(peer: Peer, request: WatchRequest): void;

  /** The peer has taken what was sent. */
  onDrain(peer: Peer): void;

  /** The connection is gone: all its watches end. */
  onClose(peer: Peer): void;

  stop(): void;
}
