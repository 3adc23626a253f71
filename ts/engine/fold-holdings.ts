// Folding of the records of sessions, holds and fences: which of them are valid, and what they change.

import { INTEGER_LIMIT } from '../wire/limits.js';
import { sessionText } from './coordination.js';
import { FENCE_SUFFIX_BYTES } from './fences.js';
import type { Holdings } from './holdings.js';
import type { Keyspace } from './keyspace.js';
import { HOLD_MODES, HOLD_SUFFIX_BYTES, Hold, nameText } from './locks.js';
import { readFenceValue, readHoldValue, readSessionValue } from './record-values.js';
import {
  RECORD_FENCE,
  RECORD_HOLD,
  RECORD_HOLD_END,
  RECORD_SESSION,
  RECORD_SESSION_END,
  type RecordReader,
  SPACE_FENCES,
  SPACE_HOLDS,
  SPACE_KEYS,
  SPACE_SESSIONS,
  spaceOf,
  suffixBytesOf,
} from './records.js';
import { Session, sessionOfKey } from './sessions.js';

const U32 = 2 ** 32;

/** Whether a record's key and value are ones of its kind, and its partition that of its key. */
export function contentFits(
  keyspace: Keyspace,
  records: Uint8Array,
  reader: RecordReader,
): boolean {
  const { kind, partition, keyAt, valueAt } = reader;
  const nameEnd = valueAt - suffixBytesOf(kind);
  switch (spaceOf(kind)) {
    case SPACE_SESSIONS:
      if (sessionOfKey(records, keyAt, valueAt) === 0) return false;
      if (kind === RECORD_SESSION && !isCount(readSessionValue(reader.value).ttlMs)) return false;
      break;
    case SPACE_HOLDS:
      if (!isCount(tokenOf(records, nameEnd))) return false;
      if (kind === RECORD_HOLD && !holdFits(reader.value)) return false;
      break;
    case SPACE_FENCES:
      if (!isCount(readFenceValue(reader.value))) return false;
      return partition < keyspace.partitions && partitionOfFence(records, nameEnd) === partition;
  }
  return keyspace.partitionOf(records, keyAt, nameEnd) === partition;
}

/** Applies a record that is of no key; its revision is noted by the caller. */
export function applyToHoldings(
  holdings: Holdings,
  records: Uint8Array,
  reader: RecordReader,
): void {
  const { keyAt, valueAt } = reader;
  switch (reader.kind) {
    case RECORD_SESSION:
      addSession(holdings, sessionOfKey(records, keyAt, valueAt), reader);
      break;
    case RECORD_SESSION_END:
      endSession(holdings, sessionOfKey(records, keyAt, valueAt));
      break;
    case RECORD_HOLD:
      setHold(holdings, records, reader);
      break;
    case RECORD_HOLD_END:
      endHold(holdings, records, reader);
      break;
    case RECORD_FENCE: {
      const { partition, key } = reader;
      const token = readFenceValue(reader.value);
      holdings.noteFence(partition, key, key.length - FENCE_SUFFIX_BYTES, token);
    }
  }
}

/** The key that comes last in byte order of what is held of a kind; empty where there is none. */
export function greatestKeyOf(holdings: Holdings, space: number): Uint8Array {
  const { keyspace, sessions, locks, fences } = holdings;
  switch (space) {
    case SPACE_KEYS: {
      const { entries, order } = keyspace;
      const { greatest } = order;
      if (greatest === 0) return new Uint8Array(0);
      return entries.bytes(greatest).slice(entries.keyStart(greatest), entries.keyEnd(greatest));
    }
    case SPACE_SESSIONS: {
      const greatest = sessions.greatest();
      return greatest === 0 ? new Uint8Array(0) : Buffer.from(sessionText(greatest));
    }
    case SPACE_HOLDS:
      return locks.greatestHoldKey();
    default:
      return fences.greatestKey;
  }
}

function addSession(holdings: Holdings, id: number, { partition, value }: RecordReader): void {
  const { sessions } = holdings;
  const { ttlMs, digest } = readSessionValue(value);
  const present = sessions.find(id);
  if (present === undefined) {
    const session = new Session(id, partition, ttlMs, digest);
    holdings.addSession(session);
    sessions.newcomers.push(session);
    return;
  }
  present.ttlMs = ttlMs;
  present.digest = digest;
  if (!present.isGuest) return;
  holdings.makeOwn(present);
  sessions.newcomers.push(present);
}

/**
 * Its keys and holds are ended by records of their own; as long as there are any it is a guest. Waits are in no
 * record.
 */
function endSession(holdings: Holdings, id: number): void {
  const session = holdings.sessions.find(id);
  if (session === undefined) return;
  for (const wait of session.waits) {
    holdings.removeWait(wait);
    holdings.noteUnsettled(wait.lock);
  }
  if (!session.isGuest) holdings.makeGuest(session);
  holdings.forgetIdle(id);
}

function setHold(holdings: Holdings, records: Uint8Array, reader: RecordReader): void {
  const { partition, expiresAt, keyAt, valueAt } = reader;
  const nameEnd = valueAt - HOLD_SUFFIX_BYTES;
  const token = tokenOf(records, nameEnd);
  const name = nameText(records, keyAt, nameEnd);
  const lock = holdings.locks.take(name, records.subarray(keyAt, nameEnd), partition);
  const { session, grantedAt, id, depth, mode } = readHoldValue(reader.value);
  const present = lock.holdOf(token);
  if (present === undefined) {
    holdings.admit(session);
    holdings.addHold(new Hold(lock, token, session, id, mode, depth, grantedAt, expiresAt));
    return;
  }
  present.depth = depth;
  present.leaseAt = expiresAt;
  lock.setMode(present, mode);
  holdings.holdDeadlines.set(present);
  holdings.noteUnsettled(lock);
}

function endHold(holdings: Holdings, records: Uint8Array, { keyAt, valueAt }: RecordReader): void {
  const nameEnd = valueAt - HOLD_SUFFIX_BYTES;
  const lock = holdings.locks.find(nameText(records, keyAt, nameEnd));
  const hold = lock?.holdOf(tokenOf(records, nameEnd));
  if (lock === undefined || hold === undefined) return;
  holdings.removeHold(hold);
  holdings.forgetIdle(hold.session);
  holdings.noteUnsettled(lock);
}

function holdFits(value: Uint8Array): boolean {
  const { session, grantedAt, depth, mode, zero } = readHoldValue(value);
  if (!isCount(session) || grantedAt >= INTEGER_LIMIT) return false;
  return depth > 0 && mode < HOLD_MODES && zero === 0;
}

/** The token at the end of a hold's key. */
function tokenOf(records: Uint8Array, at: number): number {
  const view = new DataView(records.buffer, records.byteOffset + at, HOLD_SUFFIX_BYTES);
  return view.getUint32(0) * U32 + view.getUint32(4);
}

/** The partition at the end of a fence's key. */
function partitionOfFence(records: Uint8Array, at: number): number {
  const view = new DataView(records.buffer, records.byteOffset + at, FENCE_SUFFIX_BYTES);
  return view.getUint32(0, true);
}

/** Whether a figure is one that ids, tokens and times to live may have. */
function isCount(figure: number): boolean {
  return figure > 0 && figure < INTEGER_LIMIT;
}
