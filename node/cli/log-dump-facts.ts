// What a record says beside its name and value, as `rondo log dump` prints it: words for people, fields for
// programs. Of a session that is its time to live; the digest of its secret is not shown.

import { sessionText } from '../../ts/engine/coordination.js';
import {
  BACK_MAX,
  RECORD_FENCE,
  RECORD_FLAG_EPHEMERAL,
  RECORD_HOLD,
  RECORD_HOLD_END,
  RECORD_SESSION,
  type RecordReader,
  SPACE_KEYS,
  SPACE_SESSIONS,
  spaceOf,
} from '../../ts/engine/records.js';
import { fenceTokenOf, holdFactsOf, sessionTtlMsOf, tokenOf } from '../log/local/record-facts.js';
import { isoTime } from './log-options.js';

/** The field of JSON in which a record's name stands. */
export function nameFieldOf(kind: number): 'key' | 'session' | 'lock' {
  const space = spaceOf(kind);
  if (space === SPACE_KEYS) return 'key';
  return space === SPACE_SESSIONS ? 'session' : 'lock';
}

export function wordsOf(record: RecordReader): string[] {
  const { kind, flags, expiresAt } = record;
  if (kind === RECORD_SESSION) return [`ttl ${sessionTtlMsOf(record)} ms`];
  if (kind === RECORD_FENCE) return [`token ${fenceTokenOf(record)}`];
  if (kind === RECORD_HOLD_END) return [`token ${tokenOf(record)}`];
  if (kind === RECORD_HOLD) {
    const { session, mode, depth, operation, grantedAt } = holdFactsOf(record);
    return [
      `token ${tokenOf(record)}`,
      `session ${session}`,
      mode,
      `depth ${depth}`,
      `operation ${operation}`,
      `granted ${timeWord(grantedAt)}`,
      ...(expiresAt === 0 ? [] : [`lease until ${timeWord(expiresAt)}`]),
    ];
  }
  if ((flags & RECORD_FLAG_EPHEMERAL) !== 0)
    return [`lives with session ${sessionText(expiresAt)}`];
  return expiresAt === 0 ? [] : [`expires ${timeWord(expiresAt)}`];
}

export function fieldsOf(record: RecordReader): Record<string, string | number | null> {
  const { kind, flags, back, expiresAt } = record;
  if (kind === RECORD_SESSION) return { ttlMs: sessionTtlMsOf(record) };
  if (kind === RECORD_FENCE) return { token: fenceTokenOf(record) };
  if (kind === RECORD_HOLD_END) return { token: tokenOf(record) };
  if (kind === RECORD_HOLD) {
    const { grantedAt, ...facts } = holdFactsOf(record);
    const times = { grantedAt: isoTime(grantedAt) || null, leaseUntil: isoTime(expiresAt) || null };
    return { token: tokenOf(record), ...facts, ...times };
  }
  if (spaceOf(kind) !== SPACE_KEYS) return {};
  // 2^32 - 1 says that it is so many or more.
  const of = { back: back === BACK_MAX ? null : back };
  if ((flags & RECORD_FLAG_EPHEMERAL) === 0)
    return { expiresAt: isoTime(expiresAt) || null, ...of };
  return { expiresAt: null, session: sessionText(expiresAt), ...of };
}

function timeWord(ms: number): string {
  return isoTime(ms) || String(ms);
}
