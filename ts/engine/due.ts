// Due work: what time does by itself. Sessions end, leases run out, waits are given up, in the order of
// their deadlines, each only where its records and notices have room.

import { Status } from '../wire/status.js';
import { DUE_PER_CALL_MAX } from './coordination.js';
import { isBefore } from './deadlines.js';
import type { Effects } from './effects.js';
import type { Granting } from './granting.js';
import type { Holdings } from './holdings.js';
import { type Hold, Wait } from './locks.js';
import { Session } from './sessions.js';

export class Due {
  /** Whether this call has left something undone. */
  private isLeft = false;

  constructor(
    private readonly effects: Effects,
    private readonly holdings: Holdings,
    private readonly granting: Granting,
  ) {}

  /** Whether a call at this time has anything to do here. */
  isDue(now: number): boolean {
    const { endDeadlines, waitDeadlines, unsettled, sessions } = this.holdings;
    return (
      endDeadlines.firstAt <= now ||
      waitDeadlines.firstAt <= now ||
      unsettled.size > 0 ||
      sessions.unsigned.length > 0
    );
  }

  begin(): void {
    this.isLeft = false;
  }

  /** Whether work is due that had no room in this call. */
  get hasMore(): boolean {
    return this.isLeft || (this.holdings.unsettled.size > 0 && !this.effects.refusesWrites);
  }

  /** Notes that something is left for want of room. */
  leave(): void {
    this.isLeft = true;
  }

  /** Takes the call as the sign of life of sessions that have come from records. */
  signNewcomers(): void {
    const { sessions, endDeadlines } = this.holdings;
    for (const session of sessions.unsigned) {
      session.aliveAt ??= this.effects.now;
      endDeadlines.set(session);
    }
    sessions.unsigned = [];
  }

  /** Does what is due at the time of the call. */
  run(): void {
    const { effects, holdings, granting } = this;
    if (!effects.refusesWrites) {
      for (const lock of [...holdings.unsettled]) granting.settle(lock);
    }
    let steps = 0;
    for (let item = this.first(); item !== undefined; item = this.first()) {
      const hasRoom = item instanceof Session ? granting.hasRoomForEnd : granting.hasRoom;
      if (!hasRoom || steps === DUE_PER_CALL_MAX) {
        this.isLeft = true;
        return;
      }
      steps++;
      if (item instanceof Session) granting.endSession(item);
      else if (item instanceof Wait) granting.giveUp(item, Status.LockTimeout);
      else granting.release(item);
    }
  }

  private first(): Session | Hold | Wait | undefined {
    const { effects, holdings } = this;
    const wait = holdings.waitDeadlines.firstDue(effects.now);
    if (effects.refusesWrites) return wait;
    const end = holdings.endDeadlines.firstDue(effects.now);
    if (wait === undefined || end === undefined) return wait ?? end;
    return isBefore(wait, end) ? wait : end;
  }
}
