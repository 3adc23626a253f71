// Whom sessions wait for here, for the search of the node for cycles that go through several workers.
// `deadlock.ts` has the engine's own search, and `coordination.ts` who waits for whom.

import { LOCK_EXCLUSIVE } from '../wire/layout.js';
import type { Wait } from './locks.js';
import { isBeside } from './locks.js';
import { type NoticeWriter, noticeBytes } from './notices.js';
import type { Sessions } from './sessions.js';

/** Leaves a notice for each wait and session that it waits for. How many; -1 where they have no room. */
export function listBlockers(
  sessions: Sessions,
  asked: Float64Array,
  notices: NoticeWriter,
): number {
  let count = 0;
  for (const id of asked) {
    for (const wait of sessions.find(id)?.waits ?? []) {
      const { lock, since } = wait;
      for (const [blocker, isHeld] of blockersOf(wait)) {
        if (notices.room < noticeBytes(lock.bytes.length)) {
          notices.clear();
          return -1;
        }
        notices.blocker(id, wait.id, lock.bytes, since, blocker, isHeld);
        count++;
      }
    }
  }
  return count;
}

/**
 * The sessions that a wait waits for, and whether each of them holds the lock: holds first, then waits before it.
 * Behind a barrier that one and those after it.
 */
function blockersOf(wait: Wait): Map<number, boolean> {
  const { lock, session, mode, upgradeOf } = wait;
  const blockers = new Map<number, boolean>();
  const barrier = barrierBefore(wait);
  for (const hold of barrier === undefined ? lock.holds : []) {
    if (hold.session !== session.id && !isBeside(mode, hold.mode)) blockers.set(hold.session, true);
  }
  if (upgradeOf !== undefined) return blockers;
  for (let other = barrier ?? lock.first; other !== undefined; other = other.after) {
    if (other === wait) break;
    const { id } = other.session;
    if (id === session.id || isBeside(mode, other.mode) || blockers.has(id)) continue;
    blockers.set(id, false);
  }
  return blockers;
}

/** The last wait before this one that itself waits for all before it, and is older. */
function barrierBefore({ before, session, since, upgradeOf }: Wait): Wait | undefined {
  let wait = upgradeOf === undefined ? before : undefined;
  for (; wait !== undefined; wait = wait.before) {
    const isExclusive = wait.mode === LOCK_EXCLUSIVE && wait.upgradeOf === undefined;
    // Of waits of one millisecond the search takes that of the lower session for the older one.
    const isOlder = wait.since < since || (wait.since === since && wait.session.id < session.id);
    if (isExclusive && isOlder && wait.session !== session) break;
  }
  return wait;
}
