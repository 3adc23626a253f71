// Ends what sessions have here that are not there any more: guests whose home has said so, and what a log has of
// sessions of this worker that ended before all that was theirs did. Where writes are refused the end is tried again
// until it is done, and many are ended in steps with the connections served in between.

import type { Logger } from 'pino';
import { sessionText } from '../ts/engine/coordination.js';
import type { Engine } from '../ts/engine/engine.js';
import { Status, statusName } from '../ts/wire/status.js';
import type { Clock, Timer } from './clock.js';
import type { Effects } from './effects.js';
import { GUEST_END_RETRY_MS, GUEST_ENDS_PER_TURN } from './limits.js';

export interface GuestEndsOptions {
  readonly engine: Engine;
  readonly effects: Effects;
  readonly clock: Clock;
  readonly logger: Logger;
  /** An invariant is broken: found in a turn of its own. */
  readonly fail: (error: unknown) => void;
}

export class GuestEnds {
  /** Sessions that have ended and may have something here, which could not be ended yet. */
  private readonly leftovers = new Set<number>();
  private timer: Timer | undefined;
  private isStopped = false;

  constructor(private readonly options: GuestEndsOptions) {}

  /** To be called once, when the engine has its state: ends guests of which `isOver` says so. */
  start(isOver: (session: number) => boolean): void {
    for (const session of this.options.engine.guests()) {
      if (isOver(session)) this.leftovers.add(session);
    }
    this.endLeftovers();
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
  }

  /** Ends what a session has here, now or as soon as writes are taken. `isAsked`: its client has ended it. */
  end(session: number, isAsked: boolean): void {
    if (this.tryEnd(session, isAsked)) {
      this.leftovers.delete(session);
    } else {
      this.leftovers.add(session);
      this.schedule(GUEST_END_RETRY_MS);
    }
  }

  /** False: writes are refused. */
  private tryEnd(session: number, isAsked: boolean): boolean {
    const { engine, effects, clock, logger } = this.options;
    const status = engine.endGuest(session, clock.now());
    effects.store();
    // Behind answers that wait for the log; and whether or not there was room for the end.
    effects.disconnect(session, isAsked);
    effects.tell(undefined);
    if (status === Status.Ok || status === Status.InvalidArgument) return true;
    const fields = { session: sessionText(session), status: statusName(status) };
    logger.debug({ event: 'guest_end_refused', ...fields }, 'the end of a guest is tried again');
    return false;
  }

  private endLeftovers(): void {
    let left = GUEST_ENDS_PER_TURN;
    for (const session of this.leftovers) {
      if (left-- === 0) {
        this.schedule(0);
        return;
      }
      if (!this.tryEnd(session, false)) {
        this.schedule(GUEST_END_RETRY_MS);
        return;
      }
      this.leftovers.delete(session);
    }
  }

  private schedule(ms: number): void {
    if (this.isStopped || this.timer !== undefined) return;
    this.timer = this.options.clock.after(ms, () => {
      this.timer = undefined;
      try {
        this.endLeftovers();
      } catch (error) {
        this.options.fail(error);
      }
    });
  }
}
