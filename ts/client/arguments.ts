// What the arguments of operations must be, checked before anything is sent, with the codes that the
// node would answer.

import { INTEGER_LIMIT, TTL_MS_MAX } from '../wire/limits.js';
import { invalidArgument, RondoError } from './errors.js';
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

export function putOptionsError(options: PutOptions): RondoError | undefined {
  const { ifAbsent, ifRevision, ttlMs, keepTtl } = options;
  if (ifAbsent === true && ifRevision !== undefined) {
    return invalidArgument('put takes either ifAbsent or ifRevision');
  }
  if (keepTtl === true && ttlMs !== undefined) {
    return invalidArgument('put takes either ttlMs or keepTtl');
  }
  return ttlError(ttlMs) ?? revisionError(ifRevision);
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
