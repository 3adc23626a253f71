// Folding: records made by some engine become state here. It takes no decisions, so that it gives the
// same state on every machine and with every later version. Restoring is the same for the records of a
// snapshot: one put for each key, in the order of keys.

import { compareBytes } from '../wire/bytes.js';
import { recordsMalformed, recordTooLarge } from './engine.js';
import type { Keyspace } from './keyspace.js';
import { DECIMAL_BYTES_MAX } from './number.js';
import { RECORD_PUT, RECORD_TOUCH, RecordReader } from './records.js';

/** Throws unless all of `records` are valid and go on from the state of `keyspace`. */
export function checkFold(keyspace: Keyspace, records: Uint8Array, valueBytesMax: number): void {
  const reader = new RecordReader(records);
  const newest = keyspace.revisions.slice();
  while (!reader.done) {
    if (!reader.next()) throw recordsMalformed();
    const { partition, revision } = reader;
    if (!belongs(keyspace, records, reader)) throw recordsMalformed();
    if (revision !== (newest[partition] as number) + 1) throw recordsMalformed();
    checkLength(reader, valueBytesMax);
    newest[partition] = revision;
  }
}

/** Applies records that `checkFold` has passed. Returns the newest time among them. */
export function fold(keyspace: Keyspace, records: Uint8Array): number {
  const reader = new RecordReader(records);
  let time = 0;
  keyspace.order.deferring = true;
  while (reader.next()) {
    time = Math.max(time, reader.time);
    const { kind, partition, revision, expiresAt, keyAt, valueAt, valueEnd } = reader;
    const hash = keyspace.hash(records, keyAt, valueAt);
    const handle = keyspace.find(hash, records, keyAt, valueAt);
    if (kind === RECORD_PUT && handle !== 0) {
      keyspace.replace(hash, handle, records, valueAt, valueEnd, revision, expiresAt);
    } else if (kind === RECORD_PUT) {
      insert(keyspace, hash, records, reader);
    } else if (handle === 0) {
      keyspace.revisions[partition] = revision;
    } else if (kind === RECORD_TOUCH) {
      keyspace.touch(handle, revision, expiresAt);
    } else {
      keyspace.remove(handle, revision);
    }
  }
  keyspace.order.deferring = false;
  return time;
}

/** Throws unless all of `records` are valid puts, their keys ascending and above every key held. */
export function checkRestore(keyspace: Keyspace, records: Uint8Array, valueBytesMax: number): void {
  const { entries } = keyspace;
  const reader = new RecordReader(records);
  const greatest = keyspace.order.greatest;
  let [before, beforeAt, beforeEnd] = [records, 0, 0];
  if (greatest !== 0) {
    before = entries.bytes(greatest);
    [beforeAt, beforeEnd] = [entries.keyStart(greatest), entries.keyEnd(greatest)];
  }
  while (!reader.done) {
    if (!reader.next()) throw recordsMalformed();
    const { kind, revision, keyAt, valueAt } = reader;
    if (kind !== RECORD_PUT || revision === 0) throw recordsMalformed();
    if (!belongs(keyspace, records, reader)) throw recordsMalformed();
    if (compareBytes(before, beforeAt, beforeEnd, records, keyAt, valueAt) >= 0) {
      throw recordsMalformed();
    }
    checkLength(reader, valueBytesMax);
    [before, beforeAt, beforeEnd] = [records, keyAt, valueAt];
  }
}

/** Applies records that `checkRestore` has passed. Returns the newest time among them. */
export function restore(keyspace: Keyspace, records: Uint8Array): number {
  const { revisions } = keyspace;
  const reader = new RecordReader(records);
  let time = 0;
  while (reader.next()) {
    time = Math.max(time, reader.time);
    const { partition, revision, keyAt, valueAt } = reader;
    const newest = Math.max(revisions[partition] as number, revision);
    insert(keyspace, keyspace.hash(records, keyAt, valueAt), records, reader);
    revisions[partition] = newest;
  }
  return time;
}

/** Adds the key of a put record, which is not there yet. */
function insert(
  keyspace: Keyspace,
  hash: number,
  records: Uint8Array,
  { partition, keyAt, valueAt, valueEnd, revision, expiresAt }: RecordReader,
): void {
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
    expiresAt,
  );
}

/** Whether the record's partition is that of its key. */
function belongs(keyspace: Keyspace, records: Uint8Array, reader: RecordReader): boolean {
  return keyspace.partitionOf(records, reader.keyAt, reader.valueAt) === reader.partition;
}

/** Throws where the value is longer than this engine takes; a counter may always be 20 digits. */
function checkLength({ valueAt, valueEnd }: RecordReader, valueBytesMax: number): void {
  const length = valueEnd - valueAt;
  if (length > Math.max(valueBytesMax, DECIMAL_BYTES_MAX)) throw recordTooLarge(length);
}
