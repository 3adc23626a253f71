// One operation on its way: what to send, whom to tell, and how far it has come. There is one small
// object a call and no closure, since a client makes hundreds of thousands of them a second.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { FLAG_EPHEMERAL, FLAG_ONCE, WAIT_FOREVER } from '../wire/layout.js';
import type { Codec } from './codec.js';
import type { RondoError } from './errors.js';
import type { Entry } from './kv.js';

/** Waits in the client; nothing has left. */
export const UNSENT = 0;
/** In a frame that was handed to the socket; the answer is due. */
export const SENT = 1;
/** Waits a moment before it is sent again. */
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
  /** `Answer`: revision, count and time to live as they came. */
  Answer: 7,
} as const;

/** What an operation of a session's is answered with. */
export interface Answer {
  readonly revision: number;
  readonly count: number;
  readonly ttlMs: number;
}

/** What may be done with a call that was sent and whose connection was lost before its answer came. */
export const Repeat = {
  /** It fails. */
  Never: 0,
  /** It may be sent again, since it changes nothing, or nothing more. */
  Freely: 1,
  /** It may be sent again under its id where the session remembers answers. */
  Once: 2,
  /** It may be sent again under its id wherever the session goes on: a grant remembers its id. */
  Granted: 3,
} as const;

const REPEATS: { readonly [code: number]: number } = {
  [OperationCode.Get]: Repeat.Freely,
  [OperationCode.Scan]: Repeat.Freely,
  [OperationCode.CancelLock]: Repeat.Freely,
  [OperationCode.ListLocks]: Repeat.Freely,
  [OperationCode.Put]: Repeat.Once,
  [OperationCode.Delete]: Repeat.Once,
  [OperationCode.Increment]: Repeat.Once,
  [OperationCode.Touch]: Repeat.Once,
  [OperationCode.Unlock]: Repeat.Once,
  [OperationCode.Downgrade]: Repeat.Once,
  [OperationCode.Extend]: Repeat.Once,
  [OperationCode.Lock]: Repeat.Granted,
};
/** By code, for it is looked up for each call. */
const REPEAT_BY_CODE = Uint8Array.from({ length: 256 }, (_, code) => REPEATS[code] ?? Repeat.Never);

const NAMES: { readonly [code: number]: string } = {
  [OperationCode.Get]: 'get',
  [OperationCode.Put]: 'put',
  [OperationCode.Delete]: 'delete',
  [OperationCode.Increment]: 'increment',
  [OperationCode.Touch]: 'touch',
  [OperationCode.Scan]: 'scan',
  [OperationCode.Renew]: 'renew',
  [OperationCode.EndSession]: 'end of the session',
  [OperationCode.Lock]: 'lock',
  [OperationCode.Unlock]: 'unlock',
  [OperationCode.Downgrade]: 'downgrade',
  [OperationCode.Extend]: 'extend',
  [OperationCode.CancelLock]: 'cancel',
  [OperationCode.ListLocks]: 'locks',
  [OperationCode.Watch]: 'watch',
  [OperationCode.Unwatch]: 'unwatch',
};

// `new Promise` calls its executor before it returns, so one function and two variables serve all.
let resolveNext: (value: unknown) => void;
let rejectNext: (error: RondoError) => void;
function capture(resolve: (value: unknown) => void, reject: (error: RondoError) => void): void {
  resolveNext = resolve;
  rejectNext = reject;
}

/** The connection that a call is to leave, or has left, over. */
export interface Carrier {
  /** Operations without an answer that were sent over it, or wait to be sent again under their ids. */
  outstanding: number;
  /** Ends a call whose caller no longer waits. */
  giveUp(call: Call, error: RondoError): void;
}

export class Call {
  state: number = UNSENT;
  carrier: Carrier | undefined = undefined;
  /** The worker of the node that it is for; 0 also where there is but one. */
  worker = 0;
  /** 0 until it is sent. It stays while the call waits to be sent again under the same id. */
  id = 0;
  /** Milliseconds of the client's clock. */
  deadline = 0;
  /** When it was sent; of one that is sent again under its id, the first time: the node may have acted then. */
  sentAt = 0;
  /** It was sent under its id, and the connection was lost: the node may have carried it out. */
  isInDoubt = false;
  /** Meaningful while `state` is RESTING. */
  restUntil = 0;
  /** Of a lock: when its wait ends. */
  waitUntil = 0;
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
    public flags: number,
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

  get repeatable(): number {
    return REPEAT_BY_CODE[this.code] as number;
  }

  /** Whether repeating it changes nothing. */
  get isRead(): boolean {
    return this.repeatable === Repeat.Freely;
  }

  /** Whether it may have changed something that is not undone by itself. */
  get maybeApplied(): boolean {
    return this.id !== 0 && this.repeatable === Repeat.Once;
  }

  /** Whether the node answers it when it can, maybe long after what is sent behind it. */
  get isDeferred(): boolean {
    return this.repeatable === Repeat.Granted;
  }

  /** Whether a write that was refused for want of its session may go to the next one instead. */
  get isForAnySession(): boolean {
    const isKey = this.repeatable === Repeat.Once && this.code <= OperationCode.Touch;
    return isKey && (this.flags & FLAG_EPHEMERAL) === 0;
  }

  /** What the field `limit` says at `now`: of a lock, the part of its wait that is left. */
  limitAt(now: number): number {
    if (!this.isDeferred || this.limit === 0 || this.limit === WAIT_FOREVER) return this.limit;
    return Math.min(this.limit, Math.max(1, Math.ceil(this.waitUntil - now)));
  }

  /** Names the call in messages. */
  get subject(): string {
    const name = NAMES[this.code] ?? `${this.code}`;
    if (this.key === '' && this.code !== OperationCode.Scan) return name;
    const key = this.key.length > 64 ? `${this.key.slice(0, 61)}...` : this.key;
    return `${name} ${JSON.stringify(key)}`;
  }

  /** Makes ready for another try, under an id of its own. */
  repeat(state: number): void {
    this.repeatAs(state, false);
    this.forgetId();
    if (this.repeatable === Repeat.Once) this.flags &= ~FLAG_ONCE;
  }

  /** The next one that is sent is as good as the first. */
  forgetId(): void {
    this.id = 0;
    this.isInDoubt = false;
  }

  /** The same under the id that it has. */
  repeatAs(state: number, isInDoubt: boolean): void {
    this.isInDoubt = isInDoubt;
    this.repeats++;
    this.state = state;
    this.entries = undefined;
    this.failure = undefined;
  }
}
