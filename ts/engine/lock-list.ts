// ListLocks: a page of locks in the order of their names, cut as a page of a scan is, and the view of a
// lock. The layout of the view is in `coordination.ts`.

import { FLAG_ENTRY, FLAG_MORE, writeU64 } from '../wire/layout.js';
import { LOCK_ITEMS_SHOWN_MAX, SCAN_BYTES_MAX } from '../wire/limits.js';
import type { ReplyWriter } from '../wire/reply.js';
import { type Lock, type Locks, nameText } from './locks.js';
import type { Operation } from './operation.js';

const HEAD_BYTES = 16;
const ITEM_BYTES = 40;

// Where an item of a view has what.
const TOKEN_AT = 0;
const SESSION_AT = 8;
const SINCE_AT = 16;
const DEADLINE_AT = 24;
const ID_AT = 32;
const DEPTH_AT = 36;
const MODE_AT = 38;
const UPGRADE_AT = 39;

/** Writes a page and its closing result; the reply has room for any. */
export function listLocks(
  locks: Locks,
  operation: Operation,
  frame: Uint8Array,
  reply: ReplyWriter,
): void {
  const { id, keyAt, keyEnd, valueAt, valueEnd, limit } = operation;
  const prefix = nameText(frame, keyAt, keyEnd);
  const cursor = nameText(frame, valueAt, valueEnd);
  const listed = locks.inOrder();
  let count = 0;
  let bytes = 0;
  let last: Lock | undefined;
  for (let at = placeAfter(listed, cursor, prefix); at < listed.length; at++) {
    const lock = listed[at] as Lock;
    if (!lock.name.startsWith(prefix)) break;
    const view = viewOf(lock);
    bytes += lock.bytes.length + view.length;
    if (count === limit || (count > 0 && bytes > SCAN_BYTES_MAX)) {
      const cursorAfter = (last as Lock).bytes;
      reply.closing(id, FLAG_MORE, cursorAfter, count);
      return;
    }
    reply.entry(id, FLAG_ENTRY, lock.bytes, view, lock.newestToken, 0);
    count++;
    last = lock;
  }
  reply.closingRange(id, 0, frame, keyAt, keyAt, count);
}

/** The first place whose name is above the cursor and not below the prefix. */
function placeAfter(listed: readonly Lock[], cursor: string, prefix: string): number {
  let low = 0;
  let high = listed.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { name } = listed[middle] as Lock;
    if (name <= cursor || name < prefix) low = middle + 1;
    else high = middle;
  }
  return low;
}

function viewOf(lock: Lock): Uint8Array {
  const holds = Math.min(lock.holds.length, LOCK_ITEMS_SHOWN_MAX);
  const waits = Math.min(lock.waits, LOCK_ITEMS_SHOWN_MAX);
  const bytes = new Uint8Array(HEAD_BYTES + (holds + waits) * ITEM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, lock.holds.length, true);
  view.setUint32(4, lock.waits, true);
  view.setUint32(8, holds, true);
  view.setUint32(12, waits, true);
  let at = HEAD_BYTES;
  for (const hold of lock.holds.slice(0, holds)) {
    const { token, session, grantedAt, leaseAt, id, depth, mode } = hold;
    writeItem(view, at, token, session, grantedAt, leaseAt, id, depth, mode, 0);
    at += ITEM_BYTES;
  }
  for (let wait = lock.first; wait !== undefined && at < bytes.length; wait = wait.after) {
    const { session, since, deadline, id, mode, upgradeOf } = wait;
    const isUpgrade = upgradeOf === undefined ? 0 : 1;
    writeItem(view, at, 0, session.id, since, deadline, id, 0, mode, isUpgrade);
    at += ITEM_BYTES;
  }
  return bytes;
}

function writeItem(
  view: DataView,
  at: number,
  token: number,
  session: number,
  since: number,
  deadline: number,
  id: number,
  depth: number,
  mode: number,
  upgrade: number,
): void {
  writeU64(view, at + TOKEN_AT, token);
  writeU64(view, at + SESSION_AT, session);
  writeU64(view, at + SINCE_AT, since);
  writeU64(view, at + DEADLINE_AT, deadline);
  view.setUint32(at + ID_AT, id, true);
  view.setUint16(at + DEPTH_AT, depth, true);
  view.setUint8(at + MODE_AT, mode);
  view.setUint8(at + UPGRADE_AT, upgrade);
}
