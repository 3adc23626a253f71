// The search for deadlocks: whether a request that is about to wait would close a cycle of sessions that
// wait for each other. What waits for what, and in which order it is searched, is in `coordination.ts`.

import { LOCK_EXCLUSIVE } from '../wire/layout.js';
import {
  DEADLOCK_BLOCKERS_EXAMINED_MAX,
  DEADLOCK_STEPS_SHOWN_MAX,
  DEADLOCK_WAITS_EXAMINED_MAX,
} from '../wire/limits.js';
import { sessionText } from './coordination.js';
import { type Hold, isBeside, type Lock, type Wait } from './locks.js';
import type { Sessions } from './sessions.js';

/** One session that waits for the next. */
export interface Step {
  readonly session: number;
  readonly lock: Lock;
  /** The session that it waits for, and whether that one holds the lock or only stands before it. */
  readonly blocker: number;
  readonly isHeld: boolean;
}

/** Where the search stands among the blockers of a wait. */
interface Place {
  readonly wait: Wait;
  /** Waits of the same session that come after this one. */
  readonly siblings: Iterator<Wait>;
  nextHold: number;
  nextWait: Wait | undefined;
  /** The blocker whose waits are being searched, as a step. */
  step: Step | undefined;
}

/** The cycle that a request would close, which is not in the queue yet; undefined: none was found. */
export function findCycle(request: Wait, sessions: Sessions): readonly Step[] | undefined {
  return new Search(request.session.id, sessions).from(request);
}

class Search {
  private readonly entered = new Set<number>();
  /** Holds and waits that were looked at as blockers. */
  private blockers = 0;
  /** By lock and mode: how far waits of the mode have come in looking at it: all holds, and up to this wait. */
  private readonly looked = new Map<Lock, (Wait | undefined)[]>();

  constructor(
    private readonly asker: number,
    private readonly sessions: Sessions,
  ) {}

  from(request: Wait): readonly Step[] | undefined {
    const { asker, entered, sessions } = this;
    const path: Place[] = [this.placeAt(request, [].values())];
    let examined = 0;
    for (let place = path.at(-1); place !== undefined; place = path.at(-1)) {
      place.step = this.nextBlocker(place);
      if (this.blockers > DEADLOCK_BLOCKERS_EXAMINED_MAX) return undefined;
      let { siblings } = place;
      if (place.step === undefined) {
        path.pop();
      } else {
        const { blocker } = place.step;
        const isAsker = blocker === asker;
        // What waits for the asker at the lock that is asked for waits for another task of it.
        if (isAsker && place.wait.lock !== request.lock)
          return path.map(({ step }) => step as Step);
        if (isAsker || entered.has(blocker)) continue;
        entered.add(blocker);
        siblings = (sessions.find(blocker)?.waits ?? []).values();
      }
      const next = siblings.next();
      if (next.done === true) continue;
      if (++examined > DEADLOCK_WAITS_EXAMINED_MAX) return undefined;
      path.push(this.placeAt(next.value, siblings));
    }
    return undefined;
  }

  /**
   * Waits of one queue have nearly the same blockers: each goes on where one before it has come to, since
   * otherwise a long queue would cost the square of its length.
   */
  private placeAt(wait: Wait, siblings: Iterator<Wait>): Place {
    const { lock, mode, upgradeOf } = wait;
    const place: Place = {
      wait,
      siblings,
      nextHold: 0,
      nextWait: upgradeOf === undefined ? lock.first : undefined,
      step: undefined,
    };
    const looked = this.looked.get(lock) ?? [];
    for (const last of [looked[LOCK_EXCLUSIVE], looked[mode]]) {
      if (last === undefined) continue;
      place.nextHold = lock.holds.length;
      if (place.nextWait !== undefined && last.order > place.nextWait.order) place.nextWait = last;
    }
    return place;
  }

  /** The next session that a wait waits for: holds first, then waits before it. */
  private nextBlocker(place: Place): Step | undefined {
    const { wait } = place;
    const { lock, session, mode } = wait;
    while (place.nextHold < lock.holds.length) {
      if (++this.blockers > DEADLOCK_BLOCKERS_EXAMINED_MAX) return undefined;
      const hold = lock.holds[place.nextHold++] as Hold;
      if (hold.session === session.id || isBeside(mode, hold.mode)) continue;
      return { session: session.id, lock, blocker: hold.session, isHeld: true };
    }
    while (place.nextWait !== undefined && place.nextWait.order < wait.order) {
      if (++this.blockers > DEADLOCK_BLOCKERS_EXAMINED_MAX) return undefined;
      const other = place.nextWait;
      place.nextWait = other.after;
      // What the asker leaves out, since nobody waits for itself, others have to look at.
      if (session.id !== this.asker) this.note(lock, mode, other);
      if (other.session === session || isBeside(mode, other.mode)) continue;
      return { session: session.id, lock, blocker: other.session.id, isHeld: false };
    }
    return undefined;
  }

  private note(lock: Lock, mode: number, wait: Wait): void {
    const looked = this.looked.get(lock);
    if (looked !== undefined) looked[mode] = wait;
    else this.looked.set(lock, Object.assign([], { [mode]: wait }));
  }
}

/** The text that names a cycle, in UTF-8: a line a step, the asker's first. */
export function cycleText(cycle: readonly Step[]): Uint8Array {
  const lines = cycle
    .slice(0, DEADLOCK_STEPS_SHOWN_MAX)
    .map(({ session, lock, blocker, isHeld }) => {
      const name = Buffer.from(lock.bytes).toString();
      const how = isHeld ? 'held by' : 'behind';
      return `${sessionText(session)} waits for "${name}" ${how} ${sessionText(blocker)}`;
    });
  if (cycle.length > DEADLOCK_STEPS_SHOWN_MAX) lines.push('...');
  return Buffer.from(lines.join('\n'));
}
