// Folding: records made by some engine become state here. It takes no decisions, so that it gives the
// same state on every machine and with every later version.

import type { Keyspace } from './keyspace.js';
import { DECIMAL_BYTES_MAX } from './number.js';
import { RECORD_PUT, RECORD_TOUCH, RecordReader } from './records.js';

/** Whether all of `records` are valid and go on from the state of `keyspace`. */
export function canFold(keyspace: Keyspace, records: Uint8Array, valueBytesMax: number): boolean {
  const reader = new RecordReader(records);
  const newest = new Map<number, number>();
  while (!reader.done) {
    if (!reader.next()) return false;
    const { partition, revision, key, value } = reader;
    const belongs = keyspace.partitionOf(key, 0, key.length) === partition;
    const before = newest.get(partition) ?? keyspace.revisions[partition];
    if (!belongs || before === undefined || revision !== before + 1) {
      return false;
    }
    if (value.length > Math.max(valueBytesMax, DECIMAL_BYTES_MAX)) return false;
    newest.set(partition, revision);
  }
  return true;
}

/** Applies records for which `canFold` holds. Returns the newest time among them. */
export function fold(keyspace: Keyspace, records: Uint8Array): number {
  const reader = new RecordReader(records);
  let time = 0;
  while (reader.next()) {
    time = Math.max(time, reader.time);
    const { kind, partition, revision, expiresAt, key, value } = reader;
    const hash = keyspace.hash(key, 0, key.length);
    const handle = keyspace.find(hash, key, 0, key.length);
    if (kind === RECORD_PUT && handle !== 0) {
      keyspace.replace(hash, handle, value, 0, value.length, revision, expiresAt);
    } else if (kind === RECORD_PUT) {
      keyspace.insert(
        hash,
        partition,
        key,
        0,
        key.length,
        value,
        0,
        value.length,
        revision,
        expiresAt,
      );
    } else if (handle === 0) {
      keyspace.revisions[partition] = revision;
    } else if (kind === RECORD_TOUCH) {
      keyspace.touch(handle, revision, expiresAt);
    } else {
      keyspace.remove(handle, revision);
    }
  }
  return time;
}
