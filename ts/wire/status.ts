// The names of the wire's status codes, and what a caller may do about each.

import { Status } from './generated/rondo/wire/status.js';

export { Status };

/** `REVISION_MISMATCH` for `Status.RevisionMismatch`: the form in errors, logs, metrics and docs. */
export type StatusName = Uppercase<SnakeCase<keyof typeof Status>>;

type SnakeCase<S extends string> = S extends `${infer Head}${infer Tail}`
  ? Tail extends Uncapitalize<Tail>
    ? `${Head}${SnakeCase<Tail>}`
    : `${Head}_${SnakeCase<Tail>}`
  : S;

const names = new Map<number, string>();
for (const [name, code] of Object.entries(Status)) {
  if (typeof code === 'number') {
    names.set(code, name.replace(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  }
}

/** The name of a code; `STATUS_99` for one that this version does not know. */
export function statusName(status: number): StatusName {
  return (names.get(status) ?? `STATUS_${status}`) as StatusName;
}

/** One more than the highest code; the width of tables indexed by status. */
export const STATUS_COUNT = 48;

/** A WebSocket close that refuses a connection or frame carries this plus the status. */
export const CLOSE_CODE_BASE = 4000;

/** The same request may succeed later, unchanged. */
export function isRetryable(status: number): boolean {
  return (
    status === Status.Overloaded ||
    status === Status.Unavailable ||
    status === Status.ResourceExhausted ||
    status === Status.DiskFull ||
    status === Status.SlowReader ||
    status === Status.TooManyConnections
  );
}
