// Who waits for an append to become durable.

import type { Clock, Timer } from '../clock.js';
import { LogError } from './log.js';

/** Milliseconds that a timer can wait; whoever waits longer waits without one. */
const TIMER_MS_MAX = 2 ** 31 - 1;

interface Waiter {
  readonly append: number;
  timer?: Timer;
  resolve(): void;
  reject(error: LogError): void;
}

export class Settlement {
  private readonly waiters = new Set<Waiter>();
  private durable = 0;
  private ended: LogError | undefined;

  constructor(private readonly clock: Clock) {}

  /** As `Log.settled`. */
  wait(append: number, timeoutMs: number): Promise<void> {
    if (append <= this.durable) return Promise.resolve();
    if (this.ended !== undefined) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { append, resolve, reject };
      this.waiters.add(waiter);
      if (timeoutMs > TIMER_MS_MAX) return;
      waiter.timer = this.clock.after(timeoutMs, () => {
        this.waiters.delete(waiter);
        const message = `Append ${append} was not durable after ${timeoutMs} ms; it may still become so.`;
        reject(new LogError('LOG_TIMEOUT', message));
      });
    });
  }

  /** Appends up to `durable` are. */
  advance(durable: number): void {
    this.durable = durable;
    for (const waiter of this.waiters) {
      if (waiter.append > durable) continue;
      this.waiters.delete(waiter);
      waiter.timer?.cancel();
      waiter.resolve();
    }
  }

  /** Nothing more becomes durable. */
  end(error: LogError): void {
    this.ended ??= error;
    for (const waiter of this.waiters) {
      waiter.timer?.cancel();
      waiter.reject(this.ended);
    }
    this.waiters.clear();
  }
}
