// Operations of sessions, locks and watches as tests write them; see `operations.ts`. A lock is known to its
// session by the id of its operation, so that ids stand here where a test is about them.

import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  CLASS_KEYS,
  FENCE_HEAD_BYTES,
  FLAG_EPHEMERAL,
  FLAG_FENCED,
  FLAG_ONCE,
  FLAG_REENTRANT,
  FLAG_UPGRADE,
  LOCK_EXCLUSIVE,
  LOCK_PERMIT,
  LOCK_SHARED,
  WAIT_FOREVER,
} from '../../ts/wire/layout.js';
import { SESSION_SECRET_BYTES } from '../../ts/wire/limits.js';
import { bytes, type Operation } from './operations.js';

type Bytes = string | Uint8Array;

export interface LockOptions {
  readonly id?: number;
  readonly shared?: boolean;
  /** As a semaphore of so many. */
  readonly permits?: number;
  /** 0, as when left out: try. */
  readonly waitMs?: number;
  readonly leaseMs?: number;
  readonly reentrant?: boolean;
  /** The token of the shared hold that is to become exclusive. */
  readonly upgrade?: number;
}

/** What stands for the secret of a session in tests, unless they say otherwise. */
export function digestOf(session: number): Uint8Array {
  return new Uint8Array(SESSION_SECRET_BYTES).fill(session % 251);
}

/** The operation under this id. */
export function withId(id: number, operation: Operation): Operation {
  return { ...operation, id };
}

export function lock(name: Bytes, options: LockOptions = {}): Operation {
  const { shared, permits, upgrade } = options;
  const mode = permits !== undefined ? LOCK_PERMIT : shared === true ? LOCK_SHARED : LOCK_EXCLUSIVE;
  return {
    code: OperationCode.Lock,
    key: bytes(name),
    flags:
      mode |
      (options.reentrant === true ? FLAG_REENTRANT : 0) |
      (upgrade === undefined ? 0 : FLAG_UPGRADE),
    limit: options.waitMs ?? 0,
    ttlMs: options.leaseMs ?? 0,
    expectedRevision: upgrade ?? permits ?? 0,
    ...(options.id === undefined ? {} : { id: options.id }),
  };
}

/** A lock that waits without end. */
export function waitFor(name: Bytes, id: number, options: LockOptions = {}): Operation {
  return lock(name, { waitMs: WAIT_FOREVER, ...options, id });
}

export function unlock(name: Bytes, token: number): Operation {
  return { code: OperationCode.Unlock, key: bytes(name), expectedRevision: token };
}

export function downgrade(name: Bytes, token: number): Operation {
  return { code: OperationCode.Downgrade, key: bytes(name), expectedRevision: token };
}

export function extend(name: Bytes, token: number, leaseMs: number): Operation {
  return {
    code: OperationCode.Extend,
    key: bytes(name),
    expectedRevision: token,
    ttlMs: leaseMs,
  };
}

export function cancelLock(name: Bytes, waitId: number): Operation {
  return { code: OperationCode.CancelLock, key: bytes(name), expectedRevision: waitId };
}

export function renew(): Operation {
  return { code: OperationCode.Renew, key: bytes('') };
}

export function endSession(): Operation {
  return { code: OperationCode.EndSession, key: bytes('') };
}

export function listLocks(
  prefix: Bytes,
  options: { limit?: number; cursor?: Bytes } = {},
): Operation {
  return {
    code: OperationCode.ListLocks,
    key: bytes(prefix),
    value: bytes(options.cursor ?? ''),
    limit: options.limit ?? 100,
  };
}

/** `flags` as WatchFlags in the schema. */
export function watch(key: Bytes, options: Partial<Operation> = {}): Operation {
  return { code: OperationCode.Watch, key: bytes(key), limit: CLASS_KEYS, ...options };
}

export function unwatch(id: number): Operation {
  return { code: OperationCode.Unwatch, key: bytes(''), expectedRevision: id };
}

/** The write, refused where this token of the lock is stale. */
export function fenced(name: Bytes, token: number | bigint, operation: Operation): Operation {
  const named = bytes(name);
  const head = Buffer.alloc(FENCE_HEAD_BYTES);
  head.writeBigUInt64LE(BigInt(token), 0);
  head.writeUInt16LE(named.length, 8);
  const value = Buffer.concat([head, named, operation.value ?? bytes('')]);
  return { ...operation, flags: (operation.flags ?? 0) | FLAG_FENCED, value };
}

/** The put of a key that lives with the session. */
export function ephemeral(operation: Operation): Operation {
  return { ...operation, flags: (operation.flags ?? 0) | FLAG_EPHEMERAL };
}

/** The operation, answered from memory where the session has had this id answered. */
export function once(id: number, operation: Operation): Operation {
  return { ...operation, id, flags: (operation.flags ?? 0) | FLAG_ONCE };
}
