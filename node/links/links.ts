// The links of a worker to all others, as the parts that speak over them see them: messages arrive whole, in
// the order in which they were sent, or the link is lost and both sides hear so.

import type { MessageKind } from './messages.js';

export interface LinksHandler {
  /** `bytes` are valid during the call. Called in turns of the event loop, never from within `send`. */
  onMessage(worker: number, kind: MessageKind, a: number, b: number, bytes: Uint8Array): void;
  /** The worker serves, for the first time or again: nothing that was said to it before is known to it. */
  onUp(worker: number): void;
  /** The worker has died or stopped: what it was asked and has not answered will not be answered. */
  onDown(worker: number): void;
}

export interface Links {
  /** This worker, and how many there are. */
  readonly worker: number;
  readonly workers: number;
  /** Whether `send` to the worker can succeed at present. */
  isUp(worker: number): boolean;
  /**
   * Sends a message, whose bytes are copied: 0 <= a < 2^32, b a double. One without room in the ring waits in this
   * process. False: the worker is not there, and nothing was sent.
   */
  send(worker: number, kind: MessageKind, a: number, b: number, bytes?: Uint8Array): boolean;
  /** Bytes that wait for room in the ring to a worker. */
  waitingBytes(worker: number): number;
}

/** The links as whoever runs a worker has them. */
export interface WorkerLinks extends Links {
  /** Begins to hand out messages, and says which workers are up. To be called once. */
  open(handler: LinksHandler): void;
  /**
   * Sends what waits, as far as there is room, and tells the others that this worker is gone: for them it is down.
   * Nothing is handed out from here on. Harmless when closed.
   */
  close(): void;
}

/** No bytes. */
export const NOTHING = new Uint8Array(0);
