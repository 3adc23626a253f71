// Due work: what time does by itself. Sessions end, leases run out, waits are given up, in the order of
// their deadlines, each only where its records and notices have room.

import { Status } from '../wire/status.js';
import { DUE_PER_CALL_MAX } from './coordination.js';
import { isBefore, type Timed } from './deadlines.js';
import type { Effects } from './effects.js';
import type { Holdings } from './holdings.js';
import { type Hold, Wait } from './locks.js';
import { Session } from './sessions.js';
import type { Settling } from './settling.js';

export class Due {
  constructor(
    private readonly effects: Effects,
    private readonly holdings: Holdings,
    private readonly settling: Settling,
  ) {}

  /** Whether a call at this time has anything to do here. */
  isDue(now: number): boolean {
    const { sessionDeadlines, holdDeadlines, waitDeadlines, unsettled, ending, sessions } =
      this.holdings;
    return (
      sessionDeadlines.firstAt <= now ||
      holdDeadlines.firstAt <= now ||
      waitDeadlines.firstAt <= now ||
      ending.size > 0 ||
      unsettled.size > 0 ||
      sessions.newcomers.length > 0
    );
  }

  /** Does what is due at the time of the call. */
  run(): void {
    const { effects, settling } = this;
    this.signNewcomers();
    if (!effects.refusesWrites) {
      settling.goOnEnding();
      settling.settleUnsettled();
    }
    let steps = 0;
    for (let item = this.first(); item !== undefined; item = this.first()) {
      const hasRoom = item instanceof Session ? settling.hasRoomForEnd : settling.hasRoom;
      if (!hasRoom || steps === DUE_PER_CALL_MAX) {
        effects.isLeft = true;
        return;
      }
      steps++;
      if (item instanceof Session) settling.endSession(item);
      else if (item instanceof Wait) settling.giveUp(item, Status.LockTimeout);
      else settling.release(item);
    }
  }

  /** Takes the call as the sign of life of sessions that have come from records. */
  private signNewcomers(): void {
    const { sessions, sessionDeadlines } = this.holdings;
    for (const session of sessions.newcomers) {
      session.aliveAt = this.effects.now;
      sessionDeadlines.set(session);
    }
    sessions.newcomers = [];
  }

  /** What is due first. While writes are refused only waits are. */
  private first(): Session | Hold | Wait | undefined {
    const { effects, holdings } = this;
    const { now, refusesWrites } = effects;
    if (refusesWrites) return holdings.waitDeadlines.firstDue(now);
    const session = holdings.sessionDeadlines.firstDue(now);
    const hold = holdings.holdDeadlines.firstDue(now);
    const wait = holdings.waitDeadlines.firstDue(now);
    return earlier(earlier(session, hold), wait);
  }
}

function earlier<T extends Timed, U extends Timed>(
  left: T | undefined,
  right: U | undefined,
): T | U | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return isBefore(left, right) ? left : right;
}
