// The checks of operations on sessions, locks and watches that need no state: flags, fields, names.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  CLASS_KEYS,
  CLASSES_ALL,
  FLAG_ONCE,
  FLAG_REENTRANT,
  FLAG_UPGRADE,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  LOCK_EXCLUSIVE,
  LOCK_MODE_MASK,
  LOCK_PERMIT,
  OVERFLOW_MASK,
  RESUME_BYTES,
  START_MASK,
  START_POSITION,
  START_REVISION,
} from '../wire/layout.js';
import {
  INTEGER_LIMIT,
  KEY_BYTES_MAX,
  LEASE_MS_MAX,
  PERMITS_MAX,
  SCAN_ENTRIES_MAX,
} from '../wire/limits.js';
import { Status } from '../wire/status.js';
import type { Operation } from './operation.js';
import { isValidKey } from './valid-key.js';

const FLAGS_LOCK = LOCK_MODE_MASK | FLAG_REENTRANT | FLAG_UPGRADE;
const FLAGS_WATCH = FLAG_WATCH_PREFIX | OVERFLOW_MASK | START_MASK | FLAG_WATCH_KEYS_ONLY;

/** The first finding about an operation of a known code above Scan, or `Status.Ok`. */
export function checkCoordination(
  operation: Operation,
  bytes: Uint8Array,
  workers: number,
): Status {
  const { code, flags, keyAt, keyEnd, keyLength } = operation;
  if (!fieldsFit(operation, bytes, workers)) return Status.InvalidArgument;
  const hasName = code >= OperationCode.Lock && code <= OperationCode.Watch;
  if (!hasName) return keyLength === 0 ? Status.Ok : Status.InvalidArgument;

  if (keyLength > KEY_BYTES_MAX) return Status.KeyTooLong;
  const isPrefix =
    code === OperationCode.ListLocks ||
    (code === OperationCode.Watch && (flags & FLAG_WATCH_PREFIX) !== 0);
  if (!isPrefix && !isValidKey(bytes, keyAt, keyEnd)) return Status.InvalidKey;
  const hasLease = code === OperationCode.Lock || code === OperationCode.Extend;
  return hasLease && operation.ttlMs > LEASE_MS_MAX ? Status.TtlOutOfRange : Status.Ok;
}

function fieldsFit(operation: Operation, bytes: Uint8Array, workers: number): boolean {
  const { code, flags, limit, ttlMs, valueLength, expectedRevision } = operation;
  if (expectedRevision >= INTEGER_LIMIT) return false;
  switch (code) {
    case OperationCode.Lock:
      return valueLength === 0 && lockFits(operation);
    case OperationCode.Unlock:
    case OperationCode.Downgrade:
      return (flags & ~FLAG_ONCE) === 0 && limit === 0 && ttlMs === 0 && valueLength === 0;
    case OperationCode.Extend:
      return (flags & ~FLAG_ONCE) === 0 && limit === 0 && valueLength === 0;
    case OperationCode.CancelLock:
      return flags === 0 && limit === 0 && ttlMs === 0 && valueLength === 0;
    case OperationCode.ListLocks:
      if (limit < 1 || limit > SCAN_ENTRIES_MAX || valueLength > KEY_BYTES_MAX) return false;
      if (!operation.prefixAddressFits(bytes, workers)) return false;
      return flags === 0 && expectedRevision === 0;
    case OperationCode.Watch:
      if ((flags & FLAG_WATCH_PREFIX) === 0 && ttlMs !== 0) return false;
      if ((flags & FLAG_WATCH_PREFIX) !== 0 && !operation.prefixAddressFits(bytes, workers))
        return false;
      return watchFits(operation);
    case OperationCode.Unwatch:
      if (flags !== 0 || limit !== 0 || ttlMs > workers || valueLength !== 0) return false;
      return expectedRevision < 2 ** 32;
    default:
      if (flags !== 0 || limit !== 0 || ttlMs !== 0 || valueLength !== 0) return false;
      return expectedRevision === 0;
  }
}

function lockFits({ flags, expectedRevision }: Operation): boolean {
  const mode = flags & LOCK_MODE_MASK;
  if ((flags & ~FLAGS_LOCK) !== 0 || mode > LOCK_PERMIT) return false;
  if ((flags & FLAG_UPGRADE) !== 0) {
    return mode === LOCK_EXCLUSIVE && (flags & FLAG_REENTRANT) === 0 && expectedRevision !== 0;
  }
  if (mode === LOCK_PERMIT) return expectedRevision >= 1 && expectedRevision <= PERMITS_MAX;
  return expectedRevision === 0;
}

function watchFits({ flags, limit: classes, valueLength, expectedRevision }: Operation): boolean {
  const start = flags & START_MASK;
  if ((flags & ~FLAGS_WATCH) !== 0 || (flags & OVERFLOW_MASK) === OVERFLOW_MASK) return false;
  if (classes < 1 || classes > CLASSES_ALL) return false;
  if (valueLength !== (start === START_POSITION ? RESUME_BYTES : 0)) return false;
  if (start !== START_REVISION) return expectedRevision === 0;
  return (flags & FLAG_WATCH_PREFIX) === 0 && (classes & CLASS_KEYS) !== 0;
}
