// The one error of the client. Its `code` is stable and the same whichever engine answered; what a
// caller decides by is `code`, `retryable` and `maybeApplied`, never the message.

import { isRetryable, Status, type StatusName, statusName } from '../wire/status.js';

/** Codes that the client makes itself; all others are statuses of the node. */
export type ClientCode =
  | 'TIMEOUT'
  | 'CANCELLED'
  | 'CONNECTION_LOST'
  | 'CLOSED'
  | 'QUEUE_FULL'
  | 'OFFLINE'
  | 'PROTOCOL_ERROR'
  | 'CONTENTION'
  | 'CODEC_FAILED';

export type RondoErrorCode = StatusName | ClientCode;

export interface RondoErrorDetails {
  readonly cause?: unknown;
  readonly retryable?: boolean;
  readonly maybeApplied?: boolean;
  readonly revision?: number | undefined;
}

const RETRYABLE_CLIENT_CODES = new Set<string>([
  'TIMEOUT',
  'CONNECTION_LOST',
  'QUEUE_FULL',
  'OFFLINE',
  'CONTENTION',
]);

export class RondoError extends Error {
  override readonly name = 'RondoError';
  /** The same call may succeed later. Look at `maybeApplied` before a write is repeated. */
  readonly retryable: boolean;
  /** True exactly when a write was sent and it is not known whether the node carried it out. */
  readonly maybeApplied: boolean;
  /** The key's present revision, where the node refused a condition; 0 = the key does not exist. */
  readonly revision: number | undefined;

  constructor(
    readonly code: RondoErrorCode,
    message: string,
    details: RondoErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.retryable = details.retryable ?? RETRYABLE_CLIENT_CODES.has(code);
    this.maybeApplied = details.maybeApplied ?? false;
    this.revision = details.revision;
  }
}

/** What each status of an operation means and what to do about it. */
const ADVICE: { readonly [code: number]: string } = {
  [Status.AlreadyExists]: 'the key exists already; read it, or put without ifAbsent',
  [Status.RevisionMismatch]: 'the key has changed since; read it again, or use kv.update',
  [Status.NotANumber]: 'the value is not a whole number; put one before incrementing',
  [Status.NumberOverflow]: 'the sum would not fit into a signed 64-bit number',
  [Status.InvalidKey]: 'a key is 1 to 1,024 bytes of valid UTF-8',
  [Status.KeyTooLong]: 'a key is at most 1,024 bytes of UTF-8',
  [Status.ValueTooLarge]: 'the value is above the limit of the node (welcome.limits.valueBytesMax)',
  [Status.UnknownOperation]: 'the node does not know this operation; update the node',
  [Status.ResourceExhausted]: 'the node is at its memory bound; delete keys or raise --memory-max',
  [Status.DiskFull]: 'the disk of the node is full; free space there, reads go on',
  [Status.Overloaded]: 'the node has too much to do; try again later',
  [Status.Unavailable]: 'the node does not serve now; try again later',
  [Status.Internal]: 'the node failed inside; see its log',
  [Status.Malformed]: 'the peer could not read a frame; client and node may not fit together',
  [Status.ProtocolMismatch]: 'client and node speak different protocols; use the same version',
  [Status.Unauthenticated]: 'pass a valid token to connect({ token })',
  [Status.HelloTimeout]: 'the hello came too late; the machine or network may be overloaded',
  [Status.SlowReader]: 'this process read its replies too slowly; issue fewer calls at a time',
  [Status.LogFailed]: 'the log of the node failed; writes without an answer are unknown',
  [Status.TooManyConnections]: 'the node has no room for another connection; share one client',
};

/** Advice for a status, or its name where there is none. */
export function adviceOf(status: number): string {
  return ADVICE[status] ?? statusName(status);
}

/** The error of an operation that the node answered with `status`. */
export function statusError(
  status: number,
  subject: string,
  isWrite: boolean,
  revision: number,
): RondoError {
  const conditionFailed = status === Status.AlreadyExists || status === Status.RevisionMismatch;
  const isKnown = ADVICE[status] !== undefined || status === Status.InvalidArgument;
  return new RondoError(statusName(status), `${subject}: ${adviceOf(status)}`, {
    retryable: isRetryable(status),
    maybeApplied: isWrite && (status === Status.Internal || !isKnown),
    revision: conditionFailed ? revision : undefined,
  });
}

export function invalidArgument(message: string): RondoError {
  return new RondoError('INVALID_ARGUMENT', message);
}
