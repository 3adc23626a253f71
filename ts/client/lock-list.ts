// The locks of a node as anyone may look at them: who holds each, who waits, since when. Fetched page by page
// as they are read; a lock that comes or goes between two pages may or may not be seen.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { LOCK_EXCLUSIVE, LOCK_PERMIT, LOCK_SHARED, readU64 } from '../wire/layout.js';
import { LOCK_ITEMS_SHOWN_MAX } from '../wire/limits.js';
import { Call, Shape } from './call.js';
import type { BytesCodec } from './codec.js';
import type { CallOptions } from './dispatcher.js';
import { invalidArgument } from './errors.js';
import type { HoldMode } from './hold.js';
import { keyError } from './key.js';
import type { Page } from './kv.js';
import type { Router } from './router.js';
import { entriesOf, PAGE_SIZE_DEFAULT } from './scan.js';
import { sessionName } from './watch-events.js';

export interface LockHolder {
  readonly token: number;
  /** As events and messages name it. */
  readonly session: string;
  readonly mode: HoldMode;
  /** Times that it was taken, where it is re-entrant. */
  readonly depth: number;
  /** Milliseconds since 1970, on the node's clock. */
  readonly sinceMs: number;
  /** When the lease ends, on the node's clock; undefined: with the session. */
  readonly leaseEndMs: number | undefined;
}

export interface LockWaiter {
  readonly session: string;
  readonly mode: HoldMode;
  readonly isUpgrade: boolean;
  readonly sinceMs: number;
  /** When the wait ends, on the node's clock; undefined: it does not. */
  readonly deadlineMs: number | undefined;
}

export interface LockInfo {
  readonly name: string;
  /** Of the newest hold; 0: there is none. */
  readonly token: number;
  readonly holds: number;
  readonly waits: number;
  /** In order of grant, the first LOCK_ITEMS_SHOWN_MAX. */
  readonly holders: readonly LockHolder[];
  /** In order of the queue, the first LOCK_ITEMS_SHOWN_MAX. */
  readonly waiters: readonly LockWaiter[];
}

export interface LocksOptions extends CallOptions {
  /** Locks in all; otherwise every one there is. */
  readonly limit?: number | undefined;
}

type LockView = Omit<LockInfo, 'name' | 'token'>;

const HEAD_BYTES = 16;
const ITEM_BYTES = 40;
const MODES: { readonly [mode: number]: HoldMode } = {
  [LOCK_EXCLUSIVE]: 'exclusive',
  [LOCK_SHARED]: 'shared',
  [LOCK_PERMIT]: 'permit',
};

/** Locks whose names have the prefix, in byte order of names. */
export async function* listLocks(
  router: Router,
  prefix: string,
  options: LocksOptions,
): AsyncGenerator<LockInfo, void, undefined> {
  const error = keyError(prefix, true);
  if (error !== undefined) throw error;
  const left = options.limit ?? Number.POSITIVE_INFINITY;
  const ask = (
    address: number,
    limit: number,
    cursor: Uint8Array | undefined,
  ): Promise<Page<LockView> | undefined> => {
    const { ListLocks } = OperationCode;
    const call = new Call(ListLocks, Shape.Page, 0, prefix, cursor, limit, address, 0, view);
    return router.submit(call, options, false);
  };
  const entries = entriesOf(router, prefix, left, PAGE_SIZE_DEFAULT, ask);
  for await (const { key, revision, value } of entries) {
    yield { name: key, token: revision, ...value };
  }
}

/** The view in an entry's value; `ts/wire/rondo.fbs` and the node's contract have its layout. */
const view: BytesCodec<LockView> = {
  form: 'bytes',
  encode: () => {
    throw invalidArgument('views of locks are only read');
  },
  decode(bytes) {
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const whole = data.byteLength >= HEAD_BYTES;
    const held = whole ? data.getUint32(8, true) : 0;
    const waiting = whole ? data.getUint32(12, true) : 0;
    const isKnown = held <= LOCK_ITEMS_SHOWN_MAX && waiting <= LOCK_ITEMS_SHOWN_MAX;
    if (!whole || !isKnown || data.byteLength !== HEAD_BYTES + (held + waiting) * ITEM_BYTES) {
      throw invalidArgument('the view of a lock is not whole');
    }
    const itemAt = (index: number): number => HEAD_BYTES + index * ITEM_BYTES;
    return {
      holds: data.getUint32(0, true),
      waits: data.getUint32(4, true),
      holders: Array.from({ length: held }, (_, index) => holderAt(data, itemAt(index))),
      waiters: Array.from({ length: waiting }, (_, index) => waiterAt(data, itemAt(held + index))),
    };
  },
};

function holderAt(data: DataView, at: number): LockHolder {
  return {
    token: readU64(data, at),
    session: sessionName(readU64(data, at + 8)),
    mode: modeAt(data, at),
    depth: data.getUint16(at + 36, true),
    sinceMs: readU64(data, at + 16),
    leaseEndMs: timeAt(data, at + 24),
  };
}

function waiterAt(data: DataView, at: number): LockWaiter {
  return {
    session: sessionName(readU64(data, at + 8)),
    mode: modeAt(data, at),
    isUpgrade: data.getUint8(at + 39) === 1,
    sinceMs: readU64(data, at + 16),
    deadlineMs: timeAt(data, at + 24),
  };
}

function modeAt(data: DataView, at: number): HoldMode {
  const mode = MODES[data.getUint8(at + 38)];
  if (mode === undefined) throw invalidArgument('a mode of a lock that this client does not know');
  return mode;
}

function timeAt(data: DataView, at: number): number | undefined {
  const time = readU64(data, at);
  return time === 0 ? undefined : time;
}
