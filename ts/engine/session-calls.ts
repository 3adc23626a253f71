// The calls by which the node opens and resumes sessions, behind their due work.

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
import { Session } from './sessions.js';

/** Makes a session, with its record. Ok, or why not. */
export function openSession(
  effects: Effects,
  holdings: Holdings,
  id: number,
  ttlMs: number,
  digest: Uint8Array,
): Status {
  const { keyspace, sessions, sessionDeadlines } = holdings;
  const isId = Number.isInteger(id) && id >= 1 && id < INTEGER_LIMIT;
  if (!isId || digest.length !== SESSION_SECRET_BYTES) return Status.InvalidArgument;
  const isTtl = Number.isInteger(ttlMs) && ttlMs >= SESSION_TTL_MS_MIN;
  if (!isTtl || ttlMs > SESSION_TTL_MS_MAX) return Status.TtlOutOfRange;
  if (sessions.find(id) !== undefined) return Status.AlreadyExists;
  if (effects.refusesWrites) return effects.writeRefusal;
  if (!effects.hasMemory(SESSION_OVERHEAD_BYTES)) return Status.ResourceExhausted;

  const key = Buffer.from(sessionText(id));
  const partition = keyspace.partitionOf(key, 0, key.length);
  const session = new Session(id, partition, ttlMs, digest.slice());
  session.aliveAt = effects.now;
  holdings.addSession(session);
  sessionDeadlines.set(session);
  effects.recordOther(RECORD_SESSION, partition, key, sessionValue(session));
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
  if (session === undefined) return { status: Status.SessionUnknown, ttlMs: 0 };
  if (Buffer.compare(session.digest, digest) !== 0) {
    return { status: Status.SessionForbidden, ttlMs: 0 };
  }
  session.aliveAt = effects.now;
  return { status: Status.Ok, ttlMs: session.ttlMs };
}
