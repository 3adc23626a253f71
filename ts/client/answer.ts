// From a result on the wire to what the caller gets. Nothing in a reply is taken on trust: what does
// not fit the operation that was sent is a violation, and the connection ends.

import { compareBytes } from '../wire/bytes.js';
import { FLAG_ENTRY, FLAG_MORE } from '../wire/layout.js';
import type { ReplyReader } from '../wire/reply.js';
import { Status } from '../wire/status.js';
import { type Call, Shape } from './call.js';
import type { Codec } from './codec.js';
import { RondoError } from './errors.js';
import type { Entry } from './kv.js';

// What `answer` returns, beside the status of an operation that failed.
/** The promise is resolved. */
export const ANSWERED = Status.Ok;
/** More results of this operation follow. */
export const CONTINUES = -1;
/** The result does not fit the operation. */
export const VIOLATION = -2;

const DECIMAL = /^-?[0-9]{1,19}$/;
/** Where a value could not be decoded the status does not matter: `call.failure` tells. */
const FAILED = Status.InvalidArgument;

/** Resolves the call by the reader's current result, or says why not. */
export function answer(call: Call, reader: ReplyReader): number {
  if (call.shape === Shape.Page) return answerPage(call, reader);
  if ((reader.flags & FLAG_ENTRY) !== 0) return VIOLATION;
  const { status } = reader;
  if (status === Status.NotFound) {
    const { shape } = call;
    if (shape === Shape.Written || shape === Shape.Number || shape === Shape.Answer) return status;
    call.resolve(shape === Shape.Removed ? false : undefined);
    return ANSWERED;
  }
  if (status !== Status.Ok) return status;

  switch (call.shape) {
    case Shape.Value: {
      const value = decode(call, reader);
      if (call.failure !== undefined) return FAILED;
      call.resolve(value);
      return ANSWERED;
    }
    case Shape.Entry: {
      const value = decode(call, reader);
      if (call.failure !== undefined) return FAILED;
      call.resolve(entryOf(call.key, value, reader));
      return ANSWERED;
    }
    case Shape.Number: {
      const text = reader.valueText();
      if (text === undefined || !DECIMAL.test(text)) return VIOLATION;
      call.resolve(BigInt(text));
      return ANSWERED;
    }
    case Shape.Removed:
      call.resolve(true);
      return ANSWERED;
    case Shape.Answer: {
      const { revision, count, ttlMs } = reader;
      call.resolve({ revision, count, ttlMs });
      return ANSWERED;
    }
    default:
      call.resolve({ revision: reader.revision });
      return ANSWERED;
  }
}

/** The same for a call whose caller has gone: only whether more results follow. */
export function passOver(call: Call, reader: ReplyReader): number {
  if ((reader.flags & FLAG_ENTRY) === 0) return ANSWERED;
  return call.shape === Shape.Page ? CONTINUES : VIOLATION;
}

function answerPage(call: Call, reader: ReplyReader): number {
  if (reader.status !== Status.Ok) return reader.status;
  call.entries ??= [];
  const { entries } = call;
  if ((reader.flags & FLAG_ENTRY) !== 0) {
    if (entries.length >= call.limit) return VIOLATION;
    const key = reader.keyText();
    if (key === undefined || !key.startsWith(call.key)) return VIOLATION;
    const value = call.codec === undefined ? undefined : decode(call, reader);
    entries.push(entryOf(key, value, reader));
    return CONTINUES;
  }
  const cursor = (reader.flags & FLAG_MORE) === 0 ? undefined : reader.value.slice();
  // A page that promises more must get somewhere, or reading on would never end.
  if (reader.count !== entries.length) return VIOLATION;
  if (cursor !== undefined && !isLater(cursor, call.value)) return VIOLATION;
  if (call.failure !== undefined) return FAILED;
  call.resolve({ entries, cursor });
  return ANSWERED;
}

/** Whether a cursor is beyond the one that was sent; expired keys can make a page without entries. */
function isLater(cursor: Uint8Array, sent: Uint8Array | string | undefined): boolean {
  if (cursor.length === 0) return false;
  if (!(sent instanceof Uint8Array)) return true;
  return compareBytes(cursor, 0, cursor.length, sent, 0, sent.length) > 0;
}

function entryOf(key: string, value: unknown, reader: ReplyReader): Entry<unknown> {
  const { revision, ttlMs } = reader;
  return { key, value, revision, ttlMs: ttlMs === 0 ? undefined : ttlMs };
}

/** The value by the call's codec; sets `call.failure` where that cannot be. */
function decode(call: Call, reader: ReplyReader): unknown {
  const codec = call.codec as Codec<unknown>;
  try {
    if (codec.form === 'bytes') return codec.decode(reader.value.slice());
    const text = reader.valueText();
    if (text !== undefined) return codec.decode(text);
    call.failure = codecFailed(call, 'it is not text; read it with the bytes codec');
  } catch (cause) {
    call.failure = codecFailed(call, 'read it with the codec that it was written with', cause);
  }
  return undefined;
}

function codecFailed(call: Call, advice: string, cause?: unknown): RondoError {
  return new RondoError('CODEC_FAILED', `${call.subject}: the value cannot be decoded: ${advice}`, {
    cause,
  });
}
