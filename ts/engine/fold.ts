// Folding: records made by some engine become state here. It takes no decisions, so that it gives the
// same state on every machine and with every later version. Restoring is the same for the records of a
// snapshot: one for each key of a kind, in the order of keys. This part knows records of keys; the others
// are in `fold-holdings.ts`.

import { compareBytes } from '../wire/bytes.js';
import { INTEGER_LIMIT } from '../wire/limits.js';
import { recordsMalformed, recordTooLarge } from './engine.js';
import { applyToHoldings, contentFits, greatestKeyOf } from './fold-holdings.js';
import type { Holdings } from './holdings.js';
import type { Keyspace } from './keyspace.js';
import { DECIMAL_BYTES_MAX } from './number.js';
import {
  isRemoval,
  RECORD_PUT,
  RECORD_TOUCH,
  RecordReader,
  SPACE_KEYS,
  spaceOf,
} from './records.js';

/** Throws unless all of `records` are valid and go on from this state. */
export function checkFold(keyspace: Keyspace, records: Uint8Array, valueBytesMax: number): void {
  const reader = new RecordReader(records);
  const newest = keyspace.revisions.slice();
  while (!reader.done) {
    if (!reader.next()) throw recordsMalformed();
    const { partition, revision } = reader;
    if (!contentFits(keyspace, records, reader)) throw recordsMalformed();
    if (revision !== (newest[partition] as number) + 1) throw recordsMalformed();
    checkLength(reader, valueBytesMax);
    newest[partition] = revision;
  }
}

/** Applies records that `checkFold` has passed. Returns the newest time among them. */
export function fold(holdings: Holdings, records: Uint8Array): number {
  const { keyspace } = holdings;
  const reader = new RecordReader(records);
  let time = 0;
  keyspace.order.deferring = true;
  while (reader.next()) {
    time = Math.max(time, reader.time);
    const { kind, partition, revision } = reader;
    if (spaceOf(kind) === SPACE_KEYS) {
      applyToKey(holdings, records, reader);
    } else {
      keyspace.setRevision(partition, revision);
      applyToHoldings(holdings, records, reader);
    }
  }
  keyspace.order.deferring = false;
  return time;
}

function applyToKey(holdings: Holdings, records: Uint8Array, reader: RecordReader): void {
  const { keyspace } = holdings;
  const { kind, partition, revision, keyAt, valueAt, valueEnd } = reader;
  const hash = keyspace.hash(records, keyAt, valueAt);
  const handle = keyspace.find(hash, records, keyAt, valueAt);
  const before = handle === 0 ? 0 : keyspace.ephemerals.sessionOf(handle);
  const session = sessionOf(reader);
  if (session !== 0) holdings.admit(session);
  const expiresAt = expiryOf(reader);
  if (kind === RECORD_PUT && handle !== 0) {
    keyspace.replace(hash, handle, records, valueAt, valueEnd, revision, expiresAt, session);
  } else if (kind === RECORD_PUT) {
    insert(keyspace, hash, records, reader, session);
  } else if (handle === 0) {
    keyspace.setRevision(partition, revision);
  } else if (kind === RECORD_TOUCH) {
    keyspace.touch(handle, revision, expiresAt, 0);
  } else {
    keyspace.remove(handle, revision);
  }
  if (before !== 0) holdings.forgetIdle(before);
}

/** Throws unless all of `records` say what is, and their keys ascend within a kind and above those held. */
export function checkRestore(holdings: Holdings, records: Uint8Array, valueBytesMax: number): void {
  const { keyspace } = holdings;
  const reader = new RecordReader(records);
  let space = -1;
  let before = records;
  let [beforeAt, beforeEnd] = [0, 0];
  while (!reader.done) {
    if (!reader.next()) throw recordsMalformed();
    const { kind, revision, keyAt, valueAt } = reader;
    const saysWhatIs = !isRemoval(kind) && kind !== RECORD_TOUCH;
    if (!saysWhatIs || revision === 0 || spaceOf(kind) < space) throw recordsMalformed();
    if (!contentFits(keyspace, records, reader)) throw recordsMalformed();
    if (spaceOf(kind) > space) {
      space = spaceOf(kind);
      before = greatestKeyOf(holdings, space);
      [beforeAt, beforeEnd] = [0, before.length];
    }
    if (compareBytes(before, beforeAt, beforeEnd, records, keyAt, valueAt) >= 0) {
      throw recordsMalformed();
    }
    checkLength(reader, valueBytesMax);
    [before, beforeAt, beforeEnd] = [records, keyAt, valueAt];
  }
}

/** Applies records that `checkRestore` has passed. Returns the newest time among them. */
export function restore(holdings: Holdings, records: Uint8Array): number {
  const { keyspace } = holdings;
  const reader = new RecordReader(records);
  let time = 0;
  while (reader.next()) {
    time = Math.max(time, reader.time);
    const { kind, partition, revision, keyAt, valueAt } = reader;
    const newest = Math.max(keyspace.revisions[partition] as number, revision);
    if (spaceOf(kind) === SPACE_KEYS) {
      const session = sessionOf(reader);
      // The sessions of a snapshot come after its keys: until then they are guests.
      if (session !== 0) holdings.admit(session);
      insert(keyspace, keyspace.hash(records, keyAt, valueAt), records, reader, session);
    } else {
      applyToHoldings(holdings, records, reader);
    }
    keyspace.setRevision(partition, newest);
  }
  return time;
}

/** Throws unless these can be the newest revisions, and this the time, at the end of a snapshot. */
export function checkRevisions(keyspace: Keyspace, revisions: Float64Array, time: number): void {
  const { revisions: present } = keyspace;
  const goOn = revisions.every(
    (revision, partition) =>
      Number.isInteger(revision) &&
      revision >= (present[partition] as number) &&
      revision < INTEGER_LIMIT,
  );
  const isTime = time >= 0 && time < INTEGER_LIMIT;
  if (revisions.length !== present.length || !goOn || !isTime) throw recordsMalformed();
}

/** The session that a put record's key lives with; 0: none. */
function sessionOf({ flags, expiresAt }: RecordReader): number {
  return flags === 0 ? 0 : expiresAt;
}

/** The expiry that a record gives its key; 0: none. */
function expiryOf({ flags, expiresAt }: RecordReader): number {
  return flags === 0 ? expiresAt : 0;
}

/** Adds the key of a put record, which is not there yet. */
function insert(
  keyspace: Keyspace,
  hash: number,
  records: Uint8Array,
  reader: RecordReader,
  session: number,
): void {
  const { partition, keyAt, valueAt, valueEnd, revision } = reader;
  keyspace.insert(
    hash,
    partition,
    records,
    keyAt,
    valueAt,
    records,
    valueAt,
    valueEnd,
    revision,
    expiryOf(reader),
    session,
  );
}

/** Throws where a value is longer than this engine takes; a counter may always be 20 digits. */
function checkLength({ kind, valueAt, valueEnd }: RecordReader, valueBytesMax: number): void {
  if (spaceOf(kind) !== SPACE_KEYS) return;
  const length = valueEnd - valueAt;
  if (length > Math.max(valueBytesMax, DECIMAL_BYTES_MAX)) throw recordTooLarge(length);
}
