// Moves an engine's time on, so that keys and sessions expire and waits end though no one asks. What falls
// due together is done in steps with the connections served in between.

import type { Engine } from '../ts/engine/engine.js';
import { EXPIRIES_PER_ADVANCE_MAX } from '../ts/wire/limits.js';
import type { Clock, Timer } from './clock.js';
import { EXPIRY_INTERVAL_MS } from './limits.js';

export class Expiry {
  private readonly interval: Timer;
  private step: Timer | undefined;
  private isStopped = false;

  constructor(
    private readonly engine: Engine,
    private readonly clock: Clock,
    /** After each step, with the engine's records still in place. */
    private readonly onStep: () => void,
    private readonly onError: (error: unknown) => void,
  ) {
    this.interval = clock.every(EXPIRY_INTERVAL_MS, () => {
      if (!this.step) this.advance();
    });
    // At once: after a recovery there may be much to expire, and keys to be put in order.
    this.advance();
  }

  /** Takes the next step soon: work is due that had no room in the engine's last call. */
  hasten(): void {
    if (!this.isStopped) this.step ??= this.clock.soon(() => this.advance());
  }

  stop(): void {
    this.isStopped = true;
    this.interval.cancel();
    this.step?.cancel();
  }

  private advance(): void {
    this.step = undefined;
    try {
      const expired = this.engine.advance(this.clock.now());
      this.onStep();
      if (expired === EXPIRIES_PER_ADVANCE_MAX) this.hasten();
    } catch (error) {
      this.onError(error);
    }
  }
}
