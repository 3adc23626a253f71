// The search for deadlocks: whether a request that is about to wait would close a cycle of sessions that
// wait for each other. What waits for what, and in which order it is searched, is in `coordination.ts`.

import { DEADLOCK_STEPS_SHOWN_MAX, DEADLOCK_WAITS_EXAMINED_MAX } from '../wire/limits.js';
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
  const asker = request.session.id;
  const entered = new Set<number>();
  const path: Place[] = [placeAt(request, [].values())];
  let examined = 0;
  for (let place = path.at(-1); place !== undefined; place = path.at(-1)) {
    const step = nextBlocker(place);
    place.step = step;
    if (step === undefined) {
      path.pop();
      const sibling = place.siblings.next();
      if (sibling.done === true) continue;
      if (++examined > DEADLOCK_WAITS_EXAMINED_MAX) return undefined;
      path.push(placeAt(sibling.value, place.siblings));
      continue;
    }
    if (step.blocker === asker) return path.map((each) => each.step as Step);
    if (entered.has(step.blocker)) continue;
    entered.add(step.blocker);
    const waits = sessions.find(step.blocker)?.waits.values();
    const first = waits?.next();
    if (waits === undefined || first === undefined || first.done === true) continue;
    if (++examined > DEADLOCK_WAITS_EXAMINED_MAX) return undefined;
    path.push(placeAt(first.value, waits));
  }
  return undefined;
}

function placeAt(wait: Wait, siblings: Iterator<Wait>): Place {
  const nextWait = wait.upgradeOf === undefined ? wait.lock.first : undefined;
  return { wait, siblings, nextHold: 0, nextWait, step: undefined };
}

/** The next session that a wait waits for: holds first, then waits before it. */
function nextBlocker(place: Place): Step | undefined {
  const { wait } = place;
  const { lock, session } = wait;
  while (place.nextHold < lock.holds.length) {
    const hold = lock.holds[place.nextHold++] as Hold;
    if (hold.session === session.id || isBeside(wait.mode, hold.mode)) continue;
    return { session: session.id, lock, blocker: hold.session, isHeld: true };
  }
  while (place.nextWait !== undefined && place.nextWait !== wait) {
    const other = place.nextWait;
    place.nextWait = other.after;
    if (other.session === session || isBeside(wait.mode, other.mode)) continue;
    return { session: session.id, lock, blocker: other.session.id, isHeld: false };
  }
  return undefined;
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
