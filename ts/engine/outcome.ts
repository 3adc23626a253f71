// The figures of the outcome that say what an engine holds.

import type { Effects } from './effects.js';
import {
  OUTCOME_APPEND,
  OUTCOME_HOLDS,
  OUTCOME_KEYS,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_POSITION,
  OUTCOME_RECORD_BYTES,
  OUTCOME_SESSIONS,
  OUTCOME_WAITS,
} from './engine.js';
import type { Holdings } from './holdings.js';
import type { NoticeWriter } from './notices.js';

/** Writes the figures that all calls leave, as of now. */
export function showState(
  outcome: Float64Array,
  effects: Effects,
  holdings: Holdings,
  notices: NoticeWriter,
): void {
  const { keyspace, sessions, locks } = holdings;
  outcome[OUTCOME_RECORD_BYTES] = effects.records.length;
  outcome[OUTCOME_NOTICE_BYTES] = notices.length;
  outcome[OUTCOME_KEYS] = keyspace.entries.count;
  outcome[OUTCOME_MEMORY_BYTES] = keyspace.memoryBytes;
  outcome[OUTCOME_APPEND] = effects.gate.appends;
  outcome[OUTCOME_POSITION] = keyspace.position;
  outcome[OUTCOME_SESSIONS] = sessions.count;
  outcome[OUTCOME_HOLDS] = locks.holds;
  outcome[OUTCOME_WAITS] = locks.waits;
}
