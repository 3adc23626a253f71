// The errors of calls that end without an answer of the node: what happened, whether a write may have
// been carried out, and what to do.

import { isRetryable, Status } from '../wire/status.js';
import { type Call, Repeat } from './call.js';
import { RondoError, statusError } from './errors.js';

export function because(reason: RondoError | undefined): string {
  return reason === undefined ? '' : ` (${reason.message})`;
}

/** The connection, or the session of a lock, went while the answer was due. */
export function lost(call: Call, reason: RondoError): RondoError {
  const isOfSession = call.isDeferred && reason.code === 'SESSION_UNKNOWN';
  const isKept = isOfSession || reason.code === 'PROTOCOL_ERROR';
  const code = isKept ? reason.code : 'CONNECTION_LOST';
  const isWrite = call.repeatable === Repeat.Once;
  const advice = isWrite ? '; it may have been carried out, so read before repeating it' : '';
  return new RondoError(code, `${call.subject}: ${reason.message}${advice}`, {
    cause: reason,
    maybeApplied: isWrite,
  });
}

/**
 * Whether the node may refuse so without a look at what the session remembers: then it says nothing of the
 * first time that the call was sent.
 */
function isBlind(status: number): boolean {
  return isRetryable(status) || BLIND.has(status);
}

const BLIND = new Set<number>([Status.SessionUnknown, Status.LogFailed, Status.Internal]);

/** The node has answered that the call failed; `detail` is the text it gave. */
export function refusal(
  call: Call,
  status: number,
  revision: number,
  detail: string | undefined,
): RondoError {
  const isWrite = call.repeatable === Repeat.Once;
  const error = statusError(status, call.subject, isWrite, revision, detail);
  return call.isInDoubt && isBlind(status) ? lost(call, error) : error;
}

/** The call meets, or is met by, the end of the client. */
export function refused(call: Call, reason: RondoError): RondoError {
  return new RondoError(reason.code, `${call.subject}: ${reason.message}`, {
    cause: reason.cause ?? reason,
    retryable: false,
    maybeApplied: call.maybeApplied,
  });
}

export function cancelled(call: Call, signal: AbortSignal): RondoError {
  return new RondoError('CANCELLED', `${call.subject}: given up by its signal`, {
    cause: signal.reason as unknown,
    maybeApplied: call.maybeApplied,
  });
}

export function queueFull(
  call: Call,
  waiting: number,
  absence: RondoError | undefined,
): RondoError {
  return new RondoError(
    'QUEUE_FULL',
    `${call.subject}: ${waiting} calls wait to be sent (queue.max); await some of them first`,
    { cause: absence },
  );
}

export function offline(call: Call, absence: RondoError | undefined): RondoError {
  return new RondoError(
    'OFFLINE',
    `${call.subject}: not connected${because(absence)}; let calls queue with queue.mode "wait"`,
    { cause: absence },
  );
}

export function valueTooLarge(call: Call, valueBytesMax: number): RondoError {
  return new RondoError(
    'VALUE_TOO_LARGE',
    `${call.subject}: the value is above the node's limit of ${valueBytesMax} bytes`,
  );
}

/** The deadline of a call that was sent. */
export function unanswered(call: Call): RondoError {
  const isWrite = call.maybeApplied;
  return new RondoError(
    'TIMEOUT',
    `${call.subject}: no answer in time${isWrite ? '; it may have been carried out' : ''}. ` +
      'Pass a larger timeoutMs, or look at the load of the node',
    { maybeApplied: isWrite },
  );
}

/** The deadline of a call that still waited. */
export function unsent(
  call: Call,
  isConnected: boolean,
  absence: RondoError | undefined,
): RondoError {
  const why = isConnected
    ? 'it waited behind other calls; issue fewer at a time'
    : `not connected${because(absence)}; is the node running?`;
  return new RondoError('TIMEOUT', `${call.subject}: not sent in time: ${why}`, {
    cause: absence,
  });
}

/** What needs a session, of a client that was made without one. */
export function sessionRequired(subject: string): RondoError {
  return new RondoError(
    'SESSION_REQUIRED',
    `${subject}: the client has no session; connect without { session: false }`,
  );
}

/** What the node sent cannot be. */
export function violation(what: string): RondoError {
  return new RondoError(
    'PROTOCOL_ERROR',
    `the node sent ${what}; the connection was closed; use the same version of both`,
  );
}
