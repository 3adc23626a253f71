// One decoded operation, and the checks that need no state: steps 1 to 4 of the contract.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  CONDITION_ALWAYS,
  CONDITION_IF_ABSENT,
  CONDITION_IF_REVISION,
  CONDITION_MASK,
  FENCE_HEAD_BYTES,
  FLAG_EPHEMERAL,
  FLAG_FENCED,
  FLAG_KEYS_ONLY,
  FLAG_ONCE,
  OPERATION_BYTES,
  OPERATION_CODE,
  OPERATION_EXPECTED_REVISION,
  OPERATION_FLAGS,
  OPERATION_ID,
  OPERATION_KEY_LENGTH,
  OPERATION_LIMIT,
  OPERATION_TTL_MS,
  OPERATION_VALUE_LENGTH,
  readU64,
  TTL_KEEP,
  TTL_MASK,
  TTL_NONE,
  TTL_SET,
} from '../wire/layout.js';
import {
  INTEGER_LIMIT,
  KEY_BYTES_MAX,
  RESULTS_PER_REPLY_MAX,
  SCAN_ENTRIES_MAX,
  TTL_MS_MAX,
} from '../wire/limits.js';
import { partitionOfTag } from '../wire/partition.js';
import { Status } from '../wire/status.js';
import { checkCoordination } from './coordination-check.js';
import { isValidKey } from './valid-key.js';

/** Bytes of the delta of an increment. */
const DELTA_BYTES = 8;

/** Flag bits that each operation takes, by code. */
const FLAGS_TAKEN = [
  0,
  FLAG_KEYS_ONLY,
  CONDITION_MASK | TTL_MASK | FLAG_FENCED | FLAG_EPHEMERAL | FLAG_ONCE,
  CONDITION_MASK | FLAG_FENCED | FLAG_ONCE,
  TTL_MASK | FLAG_FENCED | FLAG_ONCE,
  TTL_MASK | FLAG_FENCED | FLAG_ONCE,
  FLAG_KEYS_ONLY,
];

/** Whether there is an operation of this code. */
export function isKnownCode(code: number): boolean {
  if (code <= OperationCode.Scan) return code >= OperationCode.Get;
  return code >= OperationCode.Renew && code <= OperationCode.Unwatch;
}

/** Decoded in place, over and over; `key` and `value` are byte ranges of the frame. */
export class Operation {
  id = 0;
  code = 0;
  condition = 0;
  ttl = 0;
  keysOnly = false;
  flags = 0;
  limit = 0;
  ttlMs = 0;
  expectedRevision = 0;
  keyAt = 0;
  keyLength = 0;
  keyEnd = 0;
  valueAt = 0;
  valueLength = 0;
  valueEnd = 0;
  // Of a write with FLAG_FENCED, after `check`: token and name of the lock; the value is what follows.
  fenceToken = 0;
  fenceNameAt = 0;
  fenceNameEnd = 0;

  /** Reads the operation at `at`, whose key starts at `dataAt`. */
  decode(view: DataView, at: number, dataAt: number): void {
    this.id = view.getUint32(at + OPERATION_ID, true);
    this.code = view.getUint8(at + OPERATION_CODE);
    this.flags = view.getUint8(at + OPERATION_FLAGS);
    this.condition = this.flags & CONDITION_MASK;
    this.ttl = this.flags & TTL_MASK;
    this.keysOnly = (this.flags & FLAG_KEYS_ONLY) !== 0;
    this.keyLength = view.getUint16(at + OPERATION_KEY_LENGTH, true);
    this.valueLength = view.getUint32(at + OPERATION_VALUE_LENGTH, true);
    this.limit = view.getUint32(at + OPERATION_LIMIT, true);
    this.ttlMs = readU64(view, at + OPERATION_TTL_MS);
    this.expectedRevision = readU64(view, at + OPERATION_EXPECTED_REVISION);
    this.keyAt = dataAt;
    this.keyEnd = this.valueAt = dataAt + this.keyLength;
    this.valueEnd = this.valueAt + this.valueLength;
  }

  /** The first finding of steps 1 to 4, or `Status.Ok`. `workers`: how many there are. */
  check(bytes: Uint8Array, valueBytesMax: number, workers: number): Status {
    const { code } = this;
    if (code > OperationCode.Scan && isKnownCode(code)) {
      return checkCoordination(this, bytes, workers);
    }
    if (!isKnownCode(code)) return Status.UnknownOperation;
    if (!this.fieldsFit(bytes, workers)) return Status.InvalidArgument;
    if (this.keyLength > KEY_BYTES_MAX) return Status.KeyTooLong;
    if (code !== OperationCode.Scan && !isValidKey(bytes, this.keyAt, this.keyEnd)) {
      return Status.InvalidKey;
    }
    if ((this.flags & FLAG_FENCED) !== 0) {
      const { fenceNameAt, fenceNameEnd } = this;
      if (fenceNameEnd - fenceNameAt > KEY_BYTES_MAX) return Status.KeyTooLong;
      if (!isValidKey(bytes, fenceNameAt, fenceNameEnd)) return Status.InvalidKey;
    }
    if (code === OperationCode.Put && this.valueLength > valueBytesMax) return Status.ValueTooLarge;
    return Status.Ok;
  }

  /** Whether ttl_ms is the address of a worker, or the prefix needs none. */
  prefixAddressFits(bytes: Uint8Array, workers: number): boolean {
    if (this.ttlMs !== 0) return this.ttlMs <= workers;
    return workers === 1 || partitionOfTag(bytes, this.keyAt, this.keyEnd, 1) >= 0;
  }

  private fieldsFit(bytes: Uint8Array, workers: number): boolean {
    const { code, condition, ttl, flags } = this;
    if ((flags & ~(FLAGS_TAKEN[code] as number)) !== 0) return false;
    if ((flags & FLAG_FENCED) !== 0 && !this.takeFence(bytes)) return false;
    if ((flags & FLAG_EPHEMERAL) !== 0 && ttl !== TTL_NONE) return false;

    if (condition > CONDITION_IF_REVISION) return false;
    if (condition === CONDITION_IF_ABSENT && code === OperationCode.Delete) return false;
    if (condition === CONDITION_IF_REVISION) {
      if (this.expectedRevision >= INTEGER_LIMIT) return false;
    } else if (this.expectedRevision !== 0) return false;

    if (ttl > TTL_KEEP) return false;
    if (ttl === TTL_KEEP && code === OperationCode.Touch) return false;
    if (ttl === TTL_SET) {
      if (this.ttlMs < 1 || this.ttlMs > TTL_MS_MAX) return false;
    } else if (this.ttlMs !== 0 && code !== OperationCode.Scan) return false;

    if (code === OperationCode.Scan) {
      if (!this.prefixAddressFits(bytes, workers)) return false;
      if (this.limit < 1 || this.limit > SCAN_ENTRIES_MAX) return false;
      return this.valueLength <= KEY_BYTES_MAX;
    }
    if (this.limit !== 0) return false;
    if (code === OperationCode.Increment) return this.valueLength === DELTA_BYTES;
    return code === OperationCode.Put || this.valueLength === 0;
  }

  /** Reads the fence at the head of the value, which is what follows from then on. */
  private takeFence(bytes: Uint8Array): boolean {
    if (this.valueLength < FENCE_HEAD_BYTES) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset + this.valueAt);
    this.fenceToken = readU64(view, 0);
    this.fenceNameAt = this.valueAt + FENCE_HEAD_BYTES;
    this.fenceNameEnd = this.fenceNameAt + view.getUint16(FENCE_HEAD_BYTES - 2, true);
    if (this.fenceNameEnd > this.valueEnd) return false;
    this.valueAt = this.fenceNameEnd;
    this.valueLength = this.valueEnd - this.valueAt;
    return this.fenceToken > 0 && this.fenceToken < INTEGER_LIMIT;
  }

  /** Whether the condition holds for a key at `revision` (0: absent), and if not, why. */
  conditionStatus(revision: number): Status {
    if (this.condition === CONDITION_ALWAYS) return Status.Ok;
    if (this.condition === CONDITION_IF_ABSENT) {
      return revision === 0 ? Status.Ok : Status.AlreadyExists;
    }
    return this.expectedRevision === revision ? Status.Ok : Status.RevisionMismatch;
  }

  /** The expiry that a write at `now` leaves on a key whose expiry was `before` (0: none). */
  expiryAfter(before: number, now: number): number {
    if (this.ttl === TTL_SET) return Math.min(now + this.ttlMs, INTEGER_LIMIT - 1);
    return this.ttl === TTL_KEEP ? before : 0;
  }
}

/** Results to set room aside for: one an operation, and a scan's entries. */
export function resultsWanted(view: DataView, operationsAt: number, operations: number): number {
  let results = operations;
  let at = operationsAt;
  for (let index = 0; index < operations && results < RESULTS_PER_REPLY_MAX; index++) {
    results += view.getUint32(at + OPERATION_LIMIT, true);
    at += OPERATION_BYTES;
  }
  return Math.min(results, RESULTS_PER_REPLY_MAX);
}
