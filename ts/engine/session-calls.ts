// The calls by which the node opens and resumes sessions, behind their due work, and those about guests and waits
// of sessions whose home is another worker.

import {
  INTEGER_LIMIT,
  SESSION_OVERHEAD_BYTES,
  SESSION_SECRET_BYTES,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
} from '../wire/limits.js';
import { Status } from '../wire/status.js';
import { sessionText } from './coordination.js';
import type { Effects } from './effects.js';
import type { Holdings } from './holdings.js';
import { sessionValue } from './record-values.js';
import { RECORD_SESSION } from './records.js';
import type { Router } from './routing.js';
import { Session } from './sessions.js';
import type { Settling } from './settling.js';

/** Makes a session, with its record. Ok, or why not. */
export function openSession(
  effects: Effects,
  holdings: Holdings,
  router: Router | undefined,
  id: number,
  ttlMs: number,
  digest: Uint8Array,
): Status {
  const { sessions, sessionDeadlines } = holdings;
  if (!isId(id) || digest.length !== SESSION_SECRET_BYTES) return Status.InvalidArgument;
  const partition = holdings.partitionOfSession(id);
  if (router?.isOwn(partition) === false) return Status.InvalidArgument;
  const isTtl = Number.isInteger(ttlMs) && ttlMs >= SESSION_TTL_MS_MIN;
  if (!isTtl || ttlMs > SESSION_TTL_MS_MAX) return Status.TtlOutOfRange;
  if (sessions.find(id) !== undefined) return Status.AlreadyExists;
  if (effects.refusesWrites) return effects.writeRefusal;
  if (!effects.hasMemory(SESSION_OVERHEAD_BYTES)) return Status.ResourceExhausted;

  const session = new Session(id, partition, ttlMs, digest.slice());
  session.aliveAt = effects.now;
  holdings.addSession(session);
  sessionDeadlines.set(session);
  effects.recordOther(
    RECORD_SESSION,
    partition,
    Buffer.from(sessionText(id)),
    sessionValue(session),
  );
  return Status.Ok;
}

/** Takes a sign of life of a session from one who knows its secret: its ttl in ms, or why not. */
export function resumeSession(
  effects: Effects,
  holdings: Holdings,
  id: number,
  digest: Uint8Array,
): { status: Status; ttlMs: number } {
  const session = holdings.sessions.find(id);
  if (session === undefined || session.isGuest) {
    return { status: Status.SessionUnknown, ttlMs: 0 };
  }
  if (Buffer.compare(session.digest, digest) !== 0) {
    return { status: Status.SessionForbidden, ttlMs: 0 };
  }
  session.aliveAt = effects.now;
  return { status: Status.Ok, ttlMs: session.ttlMs };
}

/** Makes a session of another worker's a guest. */
export function admitSession(holdings: Holdings, router: Router | undefined, id: number): Status {
  if (!isId(id)) return Status.InvalidArgument;
  const isOwn = router?.isOwn(holdings.partitionOfSession(id)) ?? true;
  if (isOwn) return Status.InvalidArgument;
  return holdings.admit(id).isEnding ? Status.SessionUnknown : Status.Ok;
}

/** Ends a guest with all that it has here. */
export function endGuest(
  effects: Effects,
  holdings: Holdings,
  settling: Settling,
  id: number,
): Status {
  const session = holdings.sessions.find(id);
  if (session === undefined) return Status.Ok;
  if (!session.isGuest) return Status.InvalidArgument;
  if (effects.refusesWrites) return effects.writeRefusal;
  if (session.isEnding) effects.isLeft = true;
  else settling.endSession(session);
  return Status.Ok;
}

/** Ends a wait as one of a deadlock that goes through several workers. Whether there was such a wait. */
export function refuseWait(
  holdings: Holdings,
  settling: Settling,
  session: number,
  id: number,
  detail: Uint8Array,
): boolean {
  const waits = holdings.sessions.find(session)?.waits ?? [];
  for (const wait of waits) {
    if (wait.id !== id) continue;
    settling.giveUp(wait, Status.Deadlock, detail);
    return true;
  }
  return false;
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 1 && id < INTEGER_LIMIT;
}
