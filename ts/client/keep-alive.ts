// Keeps alive what ends on the node when no sign of life comes for a while: a session, a lease. And tells by
// the clock of this side alone when it may have ended. A sign of life counts from when it was sent, and only
// once it was answered: whatever the network swallows, this side gives up no later than the node does.

import { Alarm } from './alarm.js';

export interface Kept {
  /** Whether a sign of life can be sent now. */
  canRenew(): boolean;
  /** Sends one; fulfilled, when it was answered, with the time when it was sent. */
  renew(timeoutMs: number): Promise<number>;
  /** When the newest answered sign of life was sent that came about by itself. */
  heardAt(): number;
  /** No sign of life was answered that was sent within the time to live. Called once. */
  expired(): void;
}

/** Part of the time to live after which a sign of life is due. */
const RENEW_SHARE = 1 / 3;
/** Part of it between two tries. */
const RETRY_SHARE = 1 / 6;

export class KeepAlive {
  /** When the newest sign of life was sent that was answered. */
  private aliveAt = 0;
  private ttlMs = 0;
  private isRenewing = false;
  private retryAt = 0;
  /** Grows with each start and stop: answers to what was sent before are of no more use. */
  private run = 0;
  private readonly alarm = new Alarm((now) => this.look(now));

  constructor(
    private readonly kept: Kept,
    /** Milliseconds that the answer to a sign of life may take at most. */
    private readonly timeoutMs: number,
  ) {}

  start(ttlMs: number, aliveAt: number): void {
    this.stop();
    this.ttlMs = ttlMs;
    this.aliveAt = aliveAt;
    this.look(performance.now());
  }

  stop(): void {
    this.run++;
    this.ttlMs = 0;
    this.isRenewing = false;
    this.retryAt = 0;
    this.alarm.stop();
  }

  /** Does what is due, and comes back when something else is. */
  look(now: number): void {
    const { kept, ttlMs } = this;
    if (ttlMs === 0) return;
    this.aliveAt = Math.max(this.aliveAt, kept.heardAt());
    const end = this.aliveAt + ttlMs;
    if (now >= end) {
      this.stop();
      kept.expired();
      return;
    }
    let next = Math.max(this.aliveAt + ttlMs * RENEW_SHARE, this.retryAt);
    if (this.isRenewing || !kept.canRenew()) next = end;
    else if (now >= next) {
      this.renew(now);
      next = end;
    }
    this.alarm.set(Math.min(next, end), now);
  }

  private renew(now: number): void {
    const { run, ttlMs } = this;
    this.isRenewing = true;
    this.retryAt = now + ttlMs * RETRY_SHARE;
    const done = (sentAt: number): void => {
      if (run !== this.run) return;
      this.isRenewing = false;
      this.aliveAt = Math.max(this.aliveAt, sentAt);
      this.look(performance.now());
    };
    const timeoutMs = Math.max(1, Math.min(this.timeoutMs, ttlMs * RENEW_SHARE));
    this.kept.renew(timeoutMs).then(done, () => done(0));
  }
}
