// Whether it pays to wait awake for an answer instead of parking. It saves a wake-up where the other worker has a
// core of its own, and only keeps it from its core where it has none, or where the answer waits for a disk. So what
// has been in vain is left out the next time, and ever longer as long as it stays in vain.

import { LINK_SPIN_MS, LINK_SPINS_SKIPPED_MAX } from '../limits.js';

export class Spin {
  private isExpecting = false;
  /** When to give up; 0: not begun. */
  private until = 0;
  /** Answers that are not to be waited for, and how many were left out the last time. */
  private skips = 0;
  private skipped = 0;

  /** Something was sent that is answered at once. */
  expect(): void {
    if (this.isExpecting) return;
    this.isExpecting = true;
    this.until = 0;
  }

  /** Something has come. */
  answered(): void {
    if (!this.isExpecting) return;
    this.isExpecting = false;
    if (this.until > 0) this.skipped = 0;
  }

  /** Whether to look once more, at `now` in ms. */
  goesOn(now: number): boolean {
    if (!this.isExpecting) return false;
    if (this.skips > 0) {
      this.skips--;
      this.isExpecting = false;
      return false;
    }
    if (this.until === 0) this.until = now + LINK_SPIN_MS;
    if (now < this.until) return true;
    this.isExpecting = false;
    this.skipped = Math.min(LINK_SPINS_SKIPPED_MAX, this.skipped * 2 + 1);
    this.skips = this.skipped;
    return false;
  }
}
