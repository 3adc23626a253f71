// When the calls of a tick leave: as one frame, behind the last of them.

import type { Queue } from './queue.js';

/** Turns of the microtask queue without a new call after which the calls of a tick leave. */
const QUIET_TURNS = 4;
/** Turns after which they leave in any case. */
const TURNS_MAX = 64;

/** A turn through it costs a third of `queueMicrotask`, which keeps an async context in Node. */
const resolved = Promise.resolve();

export class Flusher {
  isDue = false;
  /** The clock at the first call of this tick. */
  tickNow = 0;
  private seen = 0;
  private quiet = 0;
  private turns = 0;

  constructor(
    private readonly queue: Queue,
    private readonly flush: () => void,
  ) {}

  schedule(): void {
    this.isDue = true;
    this.quiet = 0;
    this.turns = 0;
    this.tickNow = performance.now();
    void resolved.then(this.task);
  }

  private readonly task = (): void => {
    // Callers may be further down the microtask queue of the same tick, behind promises of their
    // own: they are let past, so that one frame takes them all.
    const { length } = this.queue;
    this.quiet = length === this.seen ? this.quiet + 1 : 0;
    this.seen = length;
    if (this.quiet < QUIET_TURNS && ++this.turns < TURNS_MAX) {
      void resolved.then(this.task);
      return;
    }
    this.isDue = false;
    this.flush();
  };
}
