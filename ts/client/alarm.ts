// One timer for the deadlines of all calls, set to the nearest of them. Calls that are answered in time
// cost nothing but a comparison.

/** Milliseconds between two alarms: how late a deadline may be noticed. */
const INTERVAL_MS = 5;
/** The longest timer that the platforms have. */
export const TIMER_MS_MAX = 2 ** 31 - 1;
/** Milliseconds behind its time from which an alarm says that the process was busy. */
const BUSY_MS = 10;

export class Alarm {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private at = Number.POSITIVE_INFINITY;
  /** When the timer is to fire. */
  private due = 0;

  constructor(private readonly ring: (now: number) => void) {}

  /** Rings at `at` at the latest, if not before. */
  set(at: number, now: number): void {
    if (at >= this.at) return;
    clearTimeout(this.timer);
    this.at = at;
    // One that is set for further away than timers go rings before its time, and is set anew.
    this.due = Math.min(Math.max(at, now + INTERVAL_MS), now + TIMER_MS_MAX);
    this.timer = setTimeout(this.fire, this.due - now);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.at = Number.POSITIVE_INFINITY;
  }

  private readonly fire = (): void => {
    const now = performance.now();
    if (now - this.due > BUSY_MS) {
      // The process was busy, and timers come before sockets: answers that have come meanwhile are
      // read first, or they would count as missing, and a healthy connection as dead.
      this.due = Number.POSITIVE_INFINITY;
      this.timer = setTimeout(this.fire, 0);
      return;
    }
    this.at = Number.POSITIVE_INFINITY;
    this.ring(now);
  };
}
