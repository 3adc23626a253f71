// Calls that rest before they are sent again: reads that the node refused for now, and whatever is for a worker that
// did not serve and has done nothing of it. What is for such a worker rests until it is asked again, all of it
// together, so that it keeps its order.

import type { Alarm } from './alarm.js';
import { backoffMs } from './backoff.js';
import { type Call, RESTING } from './call.js';
import type { DispatcherOptions } from './options.js';
import type { Queue } from './queue.js';

/** A worker did not serve. */
interface Pause {
  readonly attempt: number;
  readonly until: number;
  isOver: boolean;
}

export class Rests {
  private readonly pauses = new Map<number, Pause>();

  constructor(
    private readonly options: DispatcherOptions,
    private readonly queue: Queue,
    private readonly alarm: Alarm,
  ) {}

  /** Rests a call that is made ready for another try. */
  rest(call: Call, now: number): void {
    this.add(call, now + this.delayMs(call.repeats), now);
  }

  /** Rests one whose worker did not serve. */
  restForWorker(call: Call, now: number): void {
    let pause = this.pauses.get(call.worker);
    if (pause === undefined || pause.isOver) {
      const attempt = (pause?.attempt ?? 0) + 1;
      pause = { attempt, until: now + this.delayMs(attempt), isOver: false };
      this.pauses.set(call.worker, pause);
    }
    this.add(call, pause.until, now);
  }

  /** Rests a new call behind those that rest for its worker; false where none do. */
  join(call: Call, now: number): boolean {
    if (this.pauses.size === 0) return false;
    const pause = this.pauses.get(call.worker);
    if (pause === undefined || pause.isOver) return false;
    this.add(call, pause.until, now);
    return true;
  }

  /** The worker has answered something else. */
  serves(worker: number): void {
    if (this.pauses.size > 0) this.pauses.delete(worker);
  }

  /** Hands what has rested to the queue. Returns when the next one has. */
  wake(now: number): number {
    for (const pause of this.pauses.values()) if (pause.until <= now) pause.isOver = true;
    return this.queue.wake(now);
  }

  private add(call: Call, until: number, now: number): void {
    call.state = RESTING;
    call.restUntil = until;
    this.queue.addResting(call);
    this.alarm.set(until, now);
  }

  private delayMs(attempt: number): number {
    const { repeatDelayMsMin, repeatDelayMsMax, random } = this.options;
    return backoffMs(attempt, repeatDelayMsMin, repeatDelayMsMax, random);
  }
}
