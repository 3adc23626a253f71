// The check of an append: whole, valid records whose revisions go on from those that the log has. Every
// log makes it, so that a fault is met where it arises and not at the next start. The Rust twin is
// `core-native/src/log/record_check.rs`.

import { RecordReader } from '../../ts/engine/records.js';
import { BATCH_BODY_BYTES_MAX } from './local/format.js';
import { LogError } from './log.js';

/** What was taken: how many records, and the time of the last one. */
export interface Taken {
  records: number;
  /** Milliseconds since 1970. */
  time: number;
}

/**
 * Checks the first `length` bytes of `bytes` and moves `revisions`, one for each partition, on to
 * theirs. Throws `LogError` (`RECORDS_MALFORMED`, `REVISION_MISMATCH`) and leaves them as they were.
 */
export function takeRecords(bytes: Uint8Array, length: number, revisions: Float64Array): Taken {
  if (!(length > 0 && length <= bytes.length && length <= BATCH_BODY_BYTES_MAX)) {
    throw new LogError(
      'RECORDS_MALFORMED',
      `An append has 1 to ${BATCH_BODY_BYTES_MAX} bytes, all of them in its buffer of ${bytes.length}; this one has ${length}.`,
    );
  }
  const records = bytes.subarray(0, length);
  const reader = new RecordReader(records);
  const taken: Taken = { records: 0, time: 0 };
  while (!reader.done) {
    const fault = takeNext(reader, revisions);
    if (fault !== undefined) {
      giveBack(records, taken.records, revisions);
      throw fault;
    }
    taken.records++;
    taken.time = reader.time;
  }
  return taken;
}

function takeNext(reader: RecordReader, revisions: Float64Array): LogError | undefined {
  if (!reader.next()) {
    return new LogError(
      'RECORDS_MALFORMED',
      'The bytes of an append are not whole, valid records.',
    );
  }
  const { partition, revision } = reader;
  const newest = revisions[partition];
  if (newest === undefined) {
    const message = `A record is of partition ${partition}, and there are ${revisions.length}.`;
    return new LogError('RECORDS_MALFORMED', message);
  }
  if (revision !== newest + 1) {
    return new LogError(
      'REVISION_MISMATCH',
      `A record of partition ${partition} has revision ${revision}, and the log's newest is ${newest}.`,
    );
  }
  revisions[partition] = revision;
  return undefined;
}

/** Each record that was taken moved its partition on by exactly 1. */
function giveBack(records: Uint8Array, count: number, revisions: Float64Array): void {
  const reader = new RecordReader(records);
  for (let index = 0; index < count && reader.next(); index++) {
    revisions[reader.partition] = (revisions[reader.partition] as number) - 1;
  }
}

/** What an append of an epoch below the fence meets. */
export function staleEpoch(epoch: number, fence: number): LogError {
  const message = `The append is of epoch ${epoch}; a newer owner has sealed those below ${fence}.`;
  return new LogError('EPOCH_STALE', message);
}
