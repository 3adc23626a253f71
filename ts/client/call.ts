// One operation on its way: what to send, whom to tell, and how far it has come. There is one small
// object a call and no closure, since a client makes hundreds of thousands of them a second.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import type { Codec } from './codec.js';
import type { RondoError } from './errors.js';
import type { Entry } from './kv.js';

/** Waits in the client; nothing has left. */
export const UNSENT = 0;
/** In a frame that was handed to the socket; the answer is due. */
export const SENT = 1;
/** A read that waits a moment before it is sent again. */
export const RESTING = 2;
/** Its caller has been told. If it had been sent, its id stays taken until the answer comes. */
export const SETTLED = 3;

/** What a call's promise becomes. */
export const Shape = {
  Value: 0,
  Entry: 1,
  Written: 2,
  Removed: 3,
  Number: 4,
  Touched: 5,
  Page: 6,
} as const;

const NAMES: { readonly [code: number]: string } = {
  [OperationCode.Get]: 'get',
  [OperationCode.Put]: 'put',
  [OperationCode.Delete]: 'delete',
  [OperationCode.Increment]: 'increment',
  [OperationCode.Touch]: 'touch',
  [OperationCode.Scan]: 'scan',
};

// `new Promise` calls its executor before it returns, so one function and two variables serve all.
let resolveNext: (value: unknown) => void;
let rejectNext: (error: RondoError) => void;
function capture(resolve: (value: unknown) => void, reject: (error: RondoError) => void): void {
  resolveNext = resolve;
  rejectNext = reject;
}

export class Call {
  state: number = UNSENT;
  /** Meaningful while `state` is SENT, and afterwards until the answer comes. */
  id = 0;
  /** Milliseconds of the client's clock. */
  deadline = 0;
  sentAt = 0;
  /** Meaningful while `state` is RESTING. */
  restUntil = 0;
  /** Times that this call was repeated by the client itself. */
  repeats = 0;
  /** Entries of a scan that have come so far. */
  entries: Entry<unknown>[] | undefined = undefined;
  /** Why the answer, which is not complete yet, will be a failure. */
  failure: RondoError | undefined = undefined;
  signal: AbortSignal | undefined = undefined;
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: RondoError) => void;

  constructor(
    readonly code: OperationCode,
    readonly shape: number,
    readonly flags: number,
    readonly key: string,
    public value: string | Uint8Array | undefined,
    readonly limit: number,
    readonly ttlMs: number,
    readonly expectedRevision: number,
    readonly codec: Codec<unknown> | undefined,
  ) {
    this.promise = new Promise(capture);
    this.resolve = resolveNext;
    this.reject = rejectNext;
  }

  /** Whether repeating it changes nothing. */
  get isRead(): boolean {
    return this.code === OperationCode.Get || this.code === OperationCode.Scan;
  }

  /** Names the call in messages. */
  get subject(): string {
    const key = this.key.length > 64 ? `${this.key.slice(0, 61)}...` : this.key;
    return `${NAMES[this.code] ?? this.code} ${JSON.stringify(key)}`;
  }

  /** Makes ready for another try. */
  repeat(state: number): void {
    this.repeats++;
    this.state = state;
    this.entries = undefined;
    this.failure = undefined;
  }
}
