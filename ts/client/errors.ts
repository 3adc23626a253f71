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

const RETRYABLE_CODES = new Set<string>([
  'TIMEOUT',
  'CONNECTION_LOST',
  'QUEUE_FULL',
  'OFFLINE',
  'CONTENTION',
  // What a wait, another order of locks or a session of its own may mend.
  'SESSION_UNKNOWN',
  'LOCK_HELD',
  'LOCK_TIMEOUT',
  'DEADLOCK',
  'UPGRADE_CONFLICT',
]);

export class RondoError extends Error {
  override readonly name = 'RondoError';
  /** The same call may succeed later. Look at `maybeApplied` before a write is repeated. */
  readonly retryable: boolean;
  /** True exactly when a write was sent and it is not known whether the node carried it out. */
  readonly maybeApplied: boolean;
  /**
   * Where the node refused a condition: the key's present revision, 0 = the key does not exist. Where it
   * refused a lock or a fence: the token of the newest holder that it knows, 0 = none.
   */
  readonly revision: number | undefined;

  constructor(
    readonly code: RondoErrorCode,
    message: string,
    details: RondoErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.retryable = details.retryable ?? RETRYABLE_CODES.has(code);
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
  [Status.Malformed]: 'the peer could not read a frame; use the same version of both',
  [Status.ProtocolMismatch]:
    'client and node speak different protocols; use the same version of both',
  [Status.Unauthenticated]: 'pass a valid token to connect({ token })',
  [Status.HelloTimeout]: 'the hello came too late; the machine may be overloaded',
  [Status.SlowReader]: 'this process read its replies too slowly; issue fewer calls at a time',
  [Status.SessionRequired]: 'this needs a session; connect without { session: false }',
  [Status.SessionUnknown]:
    'the session has ended, and what it held is lost; stop what locks guarded and take them again',
  [Status.SessionForbidden]: 'not the secret of that session; connect anew',
  [Status.SessionMoved]:
    'the session was resumed over another connection; give each client a session of its own',
  [Status.SessionFull]:
    'the session holds as much as it may; release locks, delete ephemeral keys, or use more clients',
  [Status.TtlOutOfRange]:
    'a time to live is out of range; see welcome.limits.sessionTtlMsMin and Max',
  [Status.LockHeld]: 'the lock is held; wait for it with waitMs, or try again later',
  [Status.LockTimeout]: 'the lock did not come free in time; wait longer, or look who holds it',
  [Status.LockCancelled]: 'the wait for the lock was cancelled',
  [Status.Deadlock]:
    'waiting would never end; release what is held and begin anew, or take all with lockMany',
  [Status.UpgradeConflict]:
    'another holder waits for the same upgrade; release the lock and take it exclusively',
  [Status.NotHolder]:
    'the lock is not held under this token; stop what it guards, and take it again',
  [Status.Fenced]: 'a newer holder of the lock was seen; stop, and take the lock again',
  [Status.Compacted]: 'the history does not reach back so far; begin with a snapshot',
  [Status.TokenForeign]: 'the resume token is of another node; begin with a snapshot',
  [Status.WatchLimit]: 'there are as many watches as there may be; end some, or watch a prefix',
  [Status.WatchOverflow]: 'the events of a watch were not read in time; read faster',
  [Status.LogFailed]: 'the log of the node failed; writes without an answer are unknown',
  [Status.TooManyConnections]: 'the node has no room for another connection; share one client',
};

/** Advice for a status, or its name where there is none. */
export function adviceOf(status: number): string {
  return ADVICE[status] ?? statusName(status);
}

/** Statuses whose result has a revision that tells why. */
const WITH_REVISION = new Set<number>([
  Status.AlreadyExists,
  Status.RevisionMismatch,
  Status.LockHeld,
  Status.NotHolder,
  Status.Fenced,
]);

/** The error of an operation that the node answered with `status`; `detail` is the text it gave. */
export function statusError(
  status: number,
  subject: string,
  isWrite: boolean,
  revision: number,
  detail = '',
): RondoError {
  const isKnown = ADVICE[status] !== undefined || status === Status.InvalidArgument;
  const code = statusName(status);
  const said = detail === '' ? '' : `\n${detail}`;
  return new RondoError(code, `${subject}: ${adviceOf(status)}${said}`, {
    retryable: isRetryable(status) || RETRYABLE_CODES.has(code),
    maybeApplied: isWrite && (status === Status.Internal || !isKnown),
    revision: WITH_REVISION.has(status) ? revision : undefined,
  });
}

export function invalidArgument(message: string): RondoError {
  return new RondoError('INVALID_ARGUMENT', message);
}
