// Time as the node sees it. Passed in everywhere, so that tests and simulations decide when a
// deadline passes.

import { performance } from 'node:perf_hooks';

export interface Timer {
  /** Ends the timer; harmless when it has fired or was cancelled. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970; may jump when the machine's clock is set. */
  now(): number;
  /** Milliseconds from an arbitrary start, with fractions; never runs backwards. */
  monotonic(): number;
  /** Calls once after `ms`. Does not keep the process alive. */
  after(ms: number, callback: () => void): Timer;
  /** Calls every `ms`. Does not keep the process alive. */
  every(ms: number, callback: () => void): Timer;
  /** Calls once when the input that is already waiting has been served. Keeps the process alive. */
  soon(callback: () => void): Timer;
}

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(ms, callback) {
    const timer = setInterval(callback, ms).unref();
    return { cancel: () => clearInterval(timer) };
  },
  soon(callback) {
    const immediate = setImmediate(callback);
    return { cancel: () => clearImmediate(immediate) };
  },
};

interface Due {
  at: number;
  readonly order: number;
  readonly everyMs: number;
  readonly callback: () => void;
}

/** A clock that stands still until `advance` moves it. Equal times fire in the order they were set. */
export class SimulatedClock implements Clock {
  private readonly due = new Set<Due>();
  private elapsed = 0;
  private order = 0;

  /** `start` in milliseconds since 1970. */
  constructor(private readonly start = 1_700_000_000_000) {}

  now(): number {
    return Math.floor(this.start + this.elapsed);
  }

  monotonic(): number {
    return this.elapsed;
  }

  after(ms: number, callback: () => void): Timer {
    return this.add(ms, 0, callback);
  }

  every(ms: number, callback: () => void): Timer {
    return this.add(ms, ms, callback);
  }

  soon(callback: () => void): Timer {
    return this.add(0, 0, callback);
  }

  /** Moves time on by `ms` and fires what falls due on the way, in order of time. */
  advance(ms: number): void {
    const end = this.elapsed + ms;
    for (let next = this.earliest(end); next; next = this.earliest(end)) {
      this.elapsed = Math.max(this.elapsed, next.at);
      if (next.everyMs > 0) next.at += next.everyMs;
      else this.due.delete(next);
      next.callback();
    }
    this.elapsed = end;
  }

  private add(ms: number, everyMs: number, callback: () => void): Timer {
    const due: Due = { at: this.elapsed + ms, order: this.order++, everyMs, callback };
    this.due.add(due);
    return { cancel: () => this.due.delete(due) };
  }

  private earliest(end: number): Due | undefined {
    let first: Due | undefined;
    for (const due of this.due) {
      if (due.at > end) continue;
      if (!first || due.at < first.at || (due.at === first.at && due.order < first.order)) {
        first = due;
      }
    }
    return first;
  }
}
