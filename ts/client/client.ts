// The client: its connections to a node and what is done over them.

import {
  INTEGER_LIMIT,
  SESSION_TTL_MS_DEFAULT,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
  TOKEN_BYTES_MAX,
} from '../wire/limits.js';
import { timeoutError } from './arguments.js';
import { type Codec, json } from './codec.js';
import type { CallOptions } from './dispatcher.js';
import { type ElectOptions, elect, type Leader } from './election.js';
import { invalidArgument, RondoError } from './errors.js';
import { Kv } from './kv.js';
import type { Lock, LockOptions } from './lock.js';
import { type LockInfo, type LocksOptions, listLocks } from './lock-list.js';
import { type LockSet, lockMany } from './lock-many.js';
import { Locks } from './locks.js';
import { Replica, type ReplicaOptions } from './replica.js';
import { Router } from './router.js';
import { Semaphore } from './semaphore.js';
import { Session } from './session.js';
import { type ConnectionStatus, StatusFeed, type Welcome } from './status.js';
import { Watches } from './watches.js';
import type { WebSocketConstructor } from './websocket.js';

export interface RetryOptions {
  /** Tries in a row after a lost or failed connection; 0 = none, otherwise without end. */
  readonly attempts?: number | undefined;
  /** Milliseconds before a try: from the least, doubling up to the most, with jitter. */
  readonly delayMsMin?: number | undefined;
  readonly delayMsMax?: number | undefined;
}

export interface QueueOptions {
  /** Calls that may wait to be sent. A further one fails with QUEUE_FULL. */
  readonly max?: number | undefined;
  /** While there is no connection: `wait` for one (the default), or fail at once with OFFLINE. */
  readonly mode?: 'wait' | 'fail-fast' | undefined;
}

export interface SessionOptions {
  /** Milliseconds that the session, and all that it holds, outlives this client's last sign of life. */
  readonly ttlMs?: number | undefined;
}

export interface ConnectOptions {
  /** `ws://host:port` or `wss://host:port`. */
  readonly url: string;
  /** Goes to the node in the first frame, never into the URL. */
  readonly token?: string | undefined;
  /** Milliseconds that a call may take, and a connection to be made. */
  readonly timeoutMs?: number | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly queue?: QueueOptions | undefined;
  /**
   * What the client holds across connections: locks, ephemeral keys, and the answers that let it repeat a
   * write whose answer was lost. `false`: none.
   */
  readonly session?: SessionOptions | false | undefined;
  /**
   * How a node with several workers is reached. `auto`, the default: over a connection to each worker that is
   * needed, at a port of its own, and over the first one to those that cannot be reached so. `single`: over the
   * first one to all, for proxies that let no other port through.
   */
  readonly routing?: 'auto' | 'single' | undefined;
  /** The constructor to use instead of the platform's, or of the package `ws`. */
  readonly WebSocket?: WebSocketConstructor | undefined;
}

/** What tests set in place of chance. */
export interface Seams {
  readonly random?: () => number;
  readonly idFirst?: number;
}

export const TIMEOUT_MS_DEFAULT = 5_000;
export const RETRY_DELAY_MS_MIN_DEFAULT = 50;
export const RETRY_DELAY_MS_MAX_DEFAULT = 2_000;
export const QUEUE_MAX_DEFAULT = 131_072;

/** Makes a client, which connects at once. Throws INVALID_ARGUMENT; all else shows in `status()`. */
export function connect(options: ConnectOptions): Rondo {
  return new Rondo(options);
}

export class Rondo {
  /** Key-value operations, with values as JSON; `kv.as(codec)` for others. */
  readonly kv: Kv;
  private readonly router: Router;
  private readonly watches: Watches;
  private readonly session: Session;
  private readonly lockTable: Locks;
  private readonly feed = new StatusFeed();
  private readonly timeoutMs: number;

  constructor(options: ConnectOptions, seams: Seams = {}) {
    const { retry = {}, queue = {}, token = '', timeoutMs = TIMEOUT_MS_DEFAULT } = options;
    const { attempts = Number.POSITIVE_INFINITY } = retry;
    const { delayMsMin = RETRY_DELAY_MS_MIN_DEFAULT } = retry;
    const { delayMsMax = Math.max(delayMsMin, RETRY_DELAY_MS_MAX_DEFAULT) } = retry;
    const { max = QUEUE_MAX_DEFAULT, mode = 'wait' } = queue;
    const { routing = 'auto' } = options;
    const { random = Math.random, idFirst = 1 } = seams;
    const sessionTtlMs = sessionTtlOf(options.session);
    checkUrl(options.url);
    check(timeoutMs > 0 && timeoutMs < 2 ** 31, 'timeoutMs is above 0 and below 2^31');
    check(attempts >= 0, 'retry.attempts is 0 or more');
    check(delayMsMin > 0, 'retry.delayMsMin is above 0');
    check(
      delayMsMax >= delayMsMin && delayMsMax < 2 ** 31,
      'retry.delayMsMax is at least retry.delayMsMin and below 2^31',
    );
    check(max >= 1, 'queue.max is 1 or more');
    check(mode === 'wait' || mode === 'fail-fast', 'queue.mode is "wait" or "fail-fast"');
    check(routing === 'auto' || routing === 'single', 'routing is "auto" or "single"');
    const tokenBytes = typeof token === 'string' ? new TextEncoder().encode(token).length : -1;
    check(
      tokenBytes >= 0 && tokenBytes <= TOKEN_BYTES_MAX,
      `token is a text of at most ${TOKEN_BYTES_MAX} bytes`,
    );

    this.timeoutMs = timeoutMs;
    this.router = new Router(
      {
        url: options.url,
        token,
        timeoutMs,
        attempts,
        delayMsMax,
        WebSocket: options.WebSocket,
        queueMax: max,
        failFast: mode === 'fail-fast',
        repeatDelayMsMin: delayMsMin,
        repeatDelayMsMax: delayMsMax,
        random,
        idFirst,
        isSingle: routing === 'single',
        group: 1 + Math.floor(random() * (INTEGER_LIMIT - 1)),
      },
      this.feed,
      (router) => new Session({ ttlMs: sessionTtlMs, timeoutMs }, router),
    );
    const { router } = this;
    this.session = router.session;
    this.watches = new Watches({
      router,
      retryDelayMsMin: delayMsMin,
      retryDelayMsMax: delayMsMax,
      random,
    });
    const { session, watches } = this;
    const hasSession = session.isWanted;
    this.kv = new Kv({ router, watches, timeoutMs, queueMax: max, random, hasSession }, json);
    this.lockTable = new Locks({
      router,
      session,
      kv: this.kv,
      timeoutMs,
      repeatDelayMsMin: delayMsMin,
      repeatDelayMsMax: delayMsMax,
      random,
    });
    router.open(watches);
  }

  /**
   * Takes the lock of this name, in turn, and holds it until it is released or lost; `lock.signal` tells of
   * the loss. `await using lock = await rondo.lock('plan')` releases it at the end of the scope. LOCK_HELD,
   * LOCK_TIMEOUT, DEADLOCK (the message names the cycle), CANCELLED; SESSION_UNKNOWN where the session was
   * lost while it waited.
   */
  lock(name: string, options: LockOptions = {}): Promise<Lock> {
    return this.lockTable.acquire(name, options);
  }

  /** Takes several locks, each as `lock` does, in the one order that all take them in; all or none. */
  lockMany(names: Iterable<string>, options: LockOptions = {}): Promise<LockSet> {
    return lockMany(names, options, (name, each) => this.lockTable.acquire(name, each));
  }

  /** Stands for election; fulfilled when this client leads. */
  elect(name: string, options: ElectOptions = {}): Promise<Leader> {
    return elect(() => this.lockTable.acquire(name, { signal: options.signal }), options);
  }

  /** A lock that `permits` holders share. */
  semaphore(name: string, permits: number): Semaphore {
    return new Semaphore(this.lockTable, name, permits);
  }

  /** A live map of every key with this prefix, read without a round trip. */
  replica<T = unknown>(prefix: string, options: ReplicaOptions<T> = {}): Replica<T> {
    const { codec = json as Codec<T>, signal } = options;
    return new Replica(this.watches, prefix, codec, this.timeoutMs, signal);
  }

  /** Who holds and who waits for the locks whose names have this prefix. */
  locks(prefix = '', options: LocksOptions = {}): AsyncIterableIterator<LockInfo> {
    return listLocks(this.router, prefix, options);
  }

  /** The present status and then every change, up to `closed`. */
  status(): AsyncIterableIterator<ConnectionStatus> {
    return this.feed.read();
  }

  /** What the node said of itself when this connection was made; undefined while there is none. */
  get welcome(): Welcome | undefined {
    const { current } = this.feed;
    return current.state === 'connected' ? current.welcome : undefined;
  }

  /**
   * The welcome, as soon as there is a connection. Not needed before calls, which wait by themselves.
   * Fails with the reason where the client has stopped, with TIMEOUT or CANCELLED as calls do.
   */
  async ready(options: CallOptions = {}): Promise<Welcome> {
    const { timeoutMs = this.timeoutMs, signal } = options;
    const invalid = timeoutError(timeoutMs);
    if (invalid !== undefined) throw invalid;
    const feed = this.feed.read();
    let ended: RondoError | undefined;
    const end = (error: RondoError): void => {
      ended = error;
      void feed.return?.();
    };
    const onAbort = (): void =>
      end(new RondoError('CANCELLED', 'ready: given up by its signal', { cause: signal?.reason }));
    let reason: RondoError | undefined;
    const timer = setTimeout(() => {
      const why = reason === undefined ? '' : `: ${reason.message}`;
      end(
        new RondoError('TIMEOUT', `no connection within ${timeoutMs} ms${why}`, { cause: reason }),
      );
    }, timeoutMs);
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted === true) onAbort();
    try {
      for await (const status of feed) {
        if (status.state === 'connected') return status.welcome;
        if (status.state !== 'connecting') reason = status.reason;
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
    throw ended ?? reason ?? new RondoError('CLOSED', 'the client was closed');
  }

  /**
   * Takes no new calls, waits until all others have their answer or deadline, then ends the session, with
   * all that it holds, and closes. An update and operations on many keys count as one call; of a scan, the
   * page that is under way. Who waits for a lock hears at once that there will be none.
   */
  async drain(): Promise<void> {
    this.router.refuse(
      new RondoError('CLOSED', 'the client is draining and takes no new calls; connect again'),
    );
    await this.router.intake.activity.idle();
    await this.session.end();
    await this.router.close();
  }

  /** Closes now: calls without an answer fail with CLOSED, and the session ends. */
  async close(): Promise<void> {
    await this.router.close();
  }

  /** `await using`: the same as `drain`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }
}

/** Milliseconds; 0: none. */
function sessionTtlOf(session: SessionOptions | false | undefined): number {
  if (session === false) return 0;
  const ttlMs = session?.ttlMs ?? SESSION_TTL_MS_DEFAULT;
  if (Number.isInteger(ttlMs) && ttlMs >= SESSION_TTL_MS_MIN && ttlMs <= SESSION_TTL_MS_MAX) {
    return ttlMs;
  }
  throw new RondoError(
    'TTL_OUT_OF_RANGE',
    `session.ttlMs is a whole number of ${SESSION_TTL_MS_MIN} to ${SESSION_TTL_MS_MAX} milliseconds`,
  );
}

function check(holds: boolean, message: string): void {
  if (!holds) throw invalidArgument(message);
}

function checkUrl(text: string): void {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new RondoError('INVALID_ARGUMENT', `url is not a URL: ${String(text)}`, { cause });
  }
  check(
    url.protocol === 'ws:' || url.protocol === 'wss:',
    `url begins with ws:// or wss://, not ${url.protocol}//`,
  );
  check(
    url.username === '' && url.password === '',
    'url holds no user or password; pass connect({ token })',
  );
}
