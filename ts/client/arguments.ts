// What the arguments of operations must be, checked before anything is sent, with the codes that the
// node would answer.

import { WAIT_FOREVER } from '../wire/layout.js';
import { INTEGER_LIMIT, LEASE_MS_MAX, TTL_MS_MAX } from '../wire/limits.js';
import { TIMER_MS_MAX } from './alarm.js';
import { invalidArgument, RondoError } from './errors.js';
import { sessionRequired } from './failures.js';
import { fenceError } from './fence.js';
import type { PutOptions } from './kv.js';

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

export function encodeError(key: string, cause: unknown): RondoError {
  if (cause instanceof RondoError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new RondoError('CODEC_FAILED', `put ${JSON.stringify(key)}: cannot encode: ${why}`, {
    cause,
  });
}

export function putOptionsError(options: PutOptions, hasSession: boolean): RondoError | undefined {
  const { ifAbsent, ifRevision, ttlMs, keepTtl, ephemeral, fence } = options;
  if (ifAbsent === true && ifRevision !== undefined) {
    return invalidArgument('put takes either ifAbsent or ifRevision');
  }
  if (keepTtl === true && ttlMs !== undefined) {
    return invalidArgument('put takes either ttlMs or keepTtl');
  }
  if (ephemeral === true) {
    if (!hasSession) return sessionRequired('put');
    if (ttlMs !== undefined || keepTtl === true) {
      return invalidArgument('put takes either ephemeral or a time to live');
    }
  }
  return ttlError(ttlMs) ?? revisionError(ifRevision) ?? fenceError(fence);
}

/** What `waitMs` says on the wire, or why it is none. */
export function waitOf(waitMs: number): number | RondoError {
  if (waitMs === Number.POSITIVE_INFINITY) return WAIT_FOREVER;
  if (waitMs >= 0 && waitMs <= WAIT_FOREVER - 1) return Math.ceil(waitMs);
  return invalidArgument(`waitMs is Infinity, or 0 to ${WAIT_FOREVER - 1} milliseconds`);
}

export function leaseError(ttlMs: number | undefined): RondoError | undefined {
  if (ttlMs === undefined) return undefined;
  if (Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= LEASE_MS_MAX) return undefined;
  return new RondoError(
    'TTL_OUT_OF_RANGE',
    `the ttlMs of a lock is a whole number of 1 to ${LEASE_MS_MAX} milliseconds`,
  );
}

export function ttlError(ttlMs: number | undefined): RondoError | undefined {
  if (ttlMs === undefined) return undefined;
  if (Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= TTL_MS_MAX) return undefined;
  return invalidArgument(`ttlMs is a whole number of 1 to ${TTL_MS_MAX} milliseconds`);
}

export function revisionError(revision: number | undefined): RondoError | undefined {
  if (revision === undefined) return undefined;
  if (Number.isInteger(revision) && revision >= 0 && revision < INTEGER_LIMIT) return undefined;
  return invalidArgument('ifRevision is a revision, as entry, put and scan return it');
}

export function deltaError(delta: number | bigint): RondoError | undefined {
  if (typeof delta === 'bigint') {
    if (delta >= INT64_MIN && delta <= INT64_MAX) return undefined;
  } else if (Number.isSafeInteger(delta)) {
    return undefined;
  }
  return invalidArgument('delta is a safe integer, or a bigint of 64 bits');
}

export function deltaBytes(delta: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, delta, true);
  return bytes;
}

/** Why `timeoutMs` is none, if so. */
export function timeoutError(timeoutMs: number): RondoError | undefined {
  if (timeoutMs > 0 && timeoutMs <= TIMER_MS_MAX) return undefined;
  return invalidArgument(`timeoutMs is a number above 0 and up to ${TIMER_MS_MAX}`);
}
