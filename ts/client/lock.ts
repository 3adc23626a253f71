// A lock in the hands of its holder. Whatever it guards should stop when `signal` aborts, and write through
// `put` and its like: those the node refuses where somebody else has come to hold the lock.

import { RondoError } from './errors.js';
import type { Fence } from './fence.js';
import type { Hold, HoldMode } from './hold.js';
import type {
  DeleteOptions,
  IncrementOptions,
  Kv,
  PutOptions,
  TouchOptions,
  Written,
} from './kv.js';
import type { Locks } from './locks.js';

export interface WaitOptions {
  /** Milliseconds to wait for the lock; 0: not at all (LOCK_HELD). Without it: for ever. */
  readonly waitMs?: number | undefined;
  /** Gives the wait up. */
  readonly signal?: AbortSignal | undefined;
}

export interface LockOptions extends WaitOptions {
  /** `exclusive`, the default, or `shared` with other shared holders. */
  readonly mode?: 'exclusive' | 'shared' | undefined;
  /**
   * Milliseconds of a lease of its own, which the client extends for as long as it is connected. Without
   * it the lock lives as long as the session.
   */
  readonly ttlMs?: number | undefined;
  /** Where this client holds the lock already: takes it once more, under the same token. */
  readonly reentrant?: boolean | undefined;
}

export class Lock implements AsyncDisposable {
  private released: Promise<void> | undefined;

  constructor(
    private readonly locks: Locks,
    private readonly hold: Hold,
    private readonly kv: Kv,
  ) {}

  get name(): string {
    return this.hold.name;
  }

  /** Grows with each grant of the lock. An upgrade changes it. */
  get token(): number {
    return this.hold.token;
  }

  get mode(): HoldMode {
    return this.hold.mode;
  }

  /**
   * Aborts when the lock is lost, with a RondoError as reason: SESSION_UNKNOWN where it went with its session,
   * NOT_HOLDER where its lease ran out, CLOSED with the client. By this side's clock, too: no network is
   * needed to learn of it.
   */
  get signal(): AbortSignal {
    return this.hold.signal;
  }

  /** For writes by other ways: `kv.as(bytes).put(key, value, { fence: lock.fence })`. */
  get fence(): Fence {
    return { lock: this.name, token: this.token };
  }

  /** As `kv.put`, and FENCED where a newer holder is known. */
  put(key: string, value: unknown, options?: PutOptions): Promise<Written> {
    return this.guarded(() => this.kv.put(key, value, { ...options, fence: this.fence }));
  }

  delete(key: string, options?: DeleteOptions): Promise<boolean> {
    return this.guarded(() => this.kv.delete(key, { ...options, fence: this.fence }));
  }

  increment(key: string, delta: number | bigint = 1, options?: IncrementOptions): Promise<bigint> {
    return this.guarded(() => this.kv.increment(key, delta, { ...options, fence: this.fence }));
  }

  touch(key: string, options: TouchOptions): Promise<Written | undefined> {
    return this.guarded(() => this.kv.touch(key, { ...options, fence: this.fence }));
  }

  /**
   * From shared to exclusive, before all that wait, under a new token. UPGRADE_CONFLICT where another
   * holder waits for the same. Where it fails the lock is shared as before.
   */
  upgrade(options: WaitOptions = {}): Promise<void> {
    return this.guarded(() => this.locks.upgrade(this.hold, options));
  }

  /** From exclusive to shared, under the same token. */
  downgrade(): Promise<void> {
    return this.guarded(() => this.locks.downgrade(this.hold));
  }

  /**
   * Gives the lock back. Again: the same. Where the lock was lost there is nothing to give back. Where the node
   * cannot be asked it fails, and the client goes on trying by itself until it has succeeded.
   */
  release(): Promise<void> {
    this.released ??= this.locks.release(this.hold);
    return this.released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  private guarded<R>(act: () => Promise<R>): Promise<R> {
    const { signal } = this.hold;
    if (this.released !== undefined) {
      const message = `lock ${JSON.stringify(this.name)}: it was released; take it again`;
      return Promise.reject(new RondoError('NOT_HOLDER', message));
    }
    if (!signal.aborted) return act();
    const { code, message } = signal.reason as RondoError;
    const cause: unknown = signal.reason;
    const text = `lock ${JSON.stringify(this.name)}: it was lost: ${message}`;
    return Promise.reject(new RondoError(code, text, { cause, retryable: false }));
  }
}
