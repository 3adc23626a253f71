// Workers that did not serve when they were asked, and have done nothing of what they were asked. Whatever is for such
// a worker rests until it is asked again, all of it together, so that it keeps its order.

import { backoffMs } from './backoff.js';
import type { DispatcherOptions } from './options.js';

interface Pause {
  readonly attempt: number;
  readonly until: number;
  isOver: boolean;
}

export class Pauses {
  private readonly byWorker = new Map<number, Pause>();

  constructor(private readonly options: DispatcherOptions) {}

  /** When a worker may be asked again; 0: now. */
  untilOf(worker: number): number {
    if (this.byWorker.size === 0) return 0;
    const pause = this.byWorker.get(worker);
    return pause === undefined || pause.isOver ? 0 : pause.until;
  }

  /** The worker did not serve. Returns when to ask it again: the same for all that it refused meanwhile. */
  begin(worker: number, now: number): number {
    const before = this.byWorker.get(worker);
    if (before !== undefined && !before.isOver) return before.until;
    const { repeatDelayMsMin, repeatDelayMsMax, random } = this.options;
    const attempt = (before?.attempt ?? 0) + 1;
    const until = now + backoffMs(attempt, repeatDelayMsMin, repeatDelayMsMax, random);
    this.byWorker.set(worker, { attempt, until, isOver: false });
    return until;
  }

  /** The worker serves. */
  end(worker: number): void {
    if (this.byWorker.size > 0) this.byWorker.delete(worker);
  }

  /** What rested until now has been woken. */
  wake(now: number): void {
    for (const pause of this.byWorker.values()) if (pause.until <= now) pause.isOver = true;
  }

  clear(): void {
    this.byWorker.clear();
  }
}
