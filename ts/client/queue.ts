// The calls that wait in the client: those to be sent, in order of issue, and reads that rest before
// they are sent again. Calls that are settled meanwhile stay where they are until they are passed, or
// until they are most of what is kept: taking one out of the middle would cost as much as the queue is
// long.

import { type Call, RESTING, SETTLED, UNSENT } from './call.js';

/** Places in a queue that may be of no use any more before it is compacted. */
const REMNANTS_MAX = 1024;

export class Queue {
  /** Calls that wait, resting ones included. What `queue.max` bounds. */
  waiting = 0;
  /** From `head` on; before it are calls that were taken. */
  private calls: Call[] = [];
  private head = 0;
  private resting: Call[] = [];
  /** Settled calls from `head` on. */
  private settled = 0;

  /** Whether nothing is there to be sent. Settled calls count until they are passed. */
  get isEmpty(): boolean {
    return this.head === this.calls.length;
  }

  /** Grows with each call that is added until calls are taken. */
  get length(): number {
    return this.calls.length;
  }

  add(call: Call): void {
    this.calls.push(call);
    this.waiting++;
  }

  /** Puts calls that had been sent before all others. */
  addFirst(calls: readonly Call[]): void {
    this.calls = [...calls, ...this.calls.slice(this.head)];
    this.head = 0;
    this.waiting += calls.length;
  }

  addResting(call: Call): void {
    this.resting.push(call);
    this.waiting++;
  }

  /** The call that is next to be sent. */
  first(): Call | undefined {
    const { calls } = this;
    while (this.head < calls.length) {
      const call = calls[this.head] as Call;
      if (call.state === UNSENT) return call;
      this.head++;
      this.settled--;
    }
    return undefined;
  }

  /** Takes what `first` has just returned. */
  shift(): void {
    this.head++;
    this.waiting--;
  }

  /**
   * Lets go of the calls that were taken. Called after each frame: where more comes than may leave, the
   * queue is never empty, and would otherwise keep every call that ever passed through it.
   */
  compact(): void {
    if (this.head === this.calls.length) {
      this.calls.length = 0;
    } else if (this.head > REMNANTS_MAX && this.head * 2 > this.calls.length) {
      this.calls = this.calls.slice(this.head);
    } else {
      return;
    }
    this.head = 0;
  }

  /** A call that waits is about to be settled. */
  giveUp(call: Call): void {
    this.waiting--;
    // A resting one is passed over when its rest ends.
    if (call.state === RESTING) return;
    this.settled++;
    if (this.settled <= REMNANTS_MAX || this.settled * 2 <= this.calls.length - this.head) return;
    // The call itself still says that it waits.
    this.calls = this.calls.filter(
      (other, at) => at >= this.head && other !== call && other.state === UNSENT,
    );
    this.head = 0;
    this.settled = 0;
  }

  /** Moves the resting calls whose time has come to the end of the queue; the rest of the next one. */
  wake(now: number): number {
    let nearest = Number.POSITIVE_INFINITY;
    if (this.resting.length === 0) return nearest;
    this.resting = this.resting.filter((call) => {
      if (call.state === SETTLED) return false;
      if (call.restUntil <= now) {
        call.state = UNSENT;
        this.calls.push(call);
        return false;
      }
      if (call.restUntil < nearest) nearest = call.restUntil;
      return true;
    });
    return nearest;
  }

  /** Visits every place; settled calls are among them. */
  forEach(visit: (call: Call) => void): void {
    for (let at = this.head; at < this.calls.length; at++) visit(this.calls[at] as Call);
    for (const call of this.resting) visit(call);
  }

  /** Removes and returns all that waits. */
  clear(): Call[] {
    const calls = [...this.calls.slice(this.head), ...this.resting];
    this.calls = [];
    this.resting = [];
    this.head = 0;
    this.waiting = 0;
    this.settled = 0;
    return calls.filter((call) => call.state !== SETTLED);
  }
}
