// Prefix scans: a page of live keys in byte order. Pages are cut by the limit, by bytes and by how many
// expired keys stand between, never by the room left in a reply, so that a page does not depend on what else is in its frame.

import { compareBytes } from '../wire/bytes.js';
import { FLAG_ENTRY, FLAG_MORE } from '../wire/layout.js';
import { KEY_BYTES_MAX, SCAN_BYTES_MAX, SCAN_EXPIRED_MAX } from '../wire/limits.js';
import type { ReplyWriter } from '../wire/reply.js';
import type { Gate } from './gate.js';
import type { Keyspace } from './keyspace.js';
import type { Operation } from './operation.js';
import { IndexCursor } from './ordered-index.js';

/** Whether the reply has room for any page of this scan. */
export function scanFits(operation: Operation, reply: ReplyWriter, valueBytesMax: number): boolean {
  if (reply.resultRoom < operation.limit + 1) return false;
  return reply.isEmpty || reply.dataRoom >= SCAN_BYTES_MAX + valueBytesMax + 2 * KEY_BYTES_MAX;
}

/**
 * Writes a page and its closing result. Key and value of the operation are ranges of `frame`. The gate is
 * told of every entry that the page depends on: returned, passed over as expired, or the one after it.
 */
export function scan(
  keyspace: Keyspace,
  gate: Gate,
  operation: Operation,
  frame: Uint8Array,
  now: number,
  reply: ReplyWriter,
): void {
  const { entries, expiry, order } = keyspace;
  const { id, keyAt, keyEnd, valueAt, valueEnd, keysOnly, limit } = operation;
  const hasCursor = compareBytes(frame, keyAt, keyEnd, frame, valueAt, valueEnd) < 0;
  const cursor = new IndexCursor();
  order.seek(cursor, frame, hasCursor ? valueAt : keyAt, hasCursor ? valueEnd : keyEnd);

  let count = 0;
  let expired = 0;
  let bytes = 0;
  let last = 0;
  let more = false;
  for (let handle = order.next(cursor); handle !== 0; handle = order.next(cursor)) {
    if (!entries.keyStartsWith(handle, frame, keyAt, keyEnd)) break;
    if (valueEnd > valueAt && entries.compareKey(handle, frame, valueAt, valueEnd) === 0) continue;
    if (gate.watching) gate.see(entries.partition(handle), entries.revision(handle));
    const expiresAt = expiry.expiresAt(handle);
    if (expiresAt !== 0 && expiresAt <= now) {
      if (expired === SCAN_EXPIRED_MAX) {
        more = true;
        break;
      }
      expired++;
      last = handle;
      continue;
    }
    const keyStop = entries.keyEnd(handle);
    const valueStop = keysOnly ? keyStop : entries.valueEnd(handle);
    bytes += valueStop - entries.keyStart(handle);
    if (count === limit || (count > 0 && bytes > SCAN_BYTES_MAX)) {
      more = true;
      break;
    }
    reply.entryRange(
      id,
      FLAG_ENTRY,
      entries.bytes(handle),
      entries.keyStart(handle),
      keyStop,
      valueStop,
      entries.revision(handle),
      expiresAt === 0 ? 0 : expiresAt - now,
    );
    count++;
    last = handle;
  }
  if (gate.watching) {
    const { removals } = gate;
    const upTo = more ? last : 0;
    gate.seeAppend(removals.appendOfPage(frame, keyAt, keyEnd, valueAt, valueEnd, entries, upTo));
  }
  if (more) {
    const [start, end] = [entries.keyStart(last), entries.keyEnd(last)];
    reply.closingRange(id, FLAG_MORE, entries.bytes(last), start, end, count);
  } else {
    reply.closingRange(id, 0, frame, keyAt, keyAt, count);
  }
}
