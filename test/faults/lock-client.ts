// A client that takes and releases locks, and writes into a history what it was told, for the search for an order
// (`test/linearizability/lock.ts`). Its session outlives whatever is killed, so no hold may be lost.

import { connect, type Lock, type Rondo, RondoError } from '../../ts/client/index.js';
import type { History } from '../crash/history.js';
import type { LockAction, LockOperation, LockOutcome } from '../linearizability/lock.js';
import type { Random } from '../parity/random.js';

const SESSION_TTL_MS = 120_000;
const CALL_TIMEOUT_MS = 120_000;
/** Milliseconds for which a lock is held at most. */
const HOLD_MS_MAX = 5;

export class LockClient {
  readonly operations: LockOperation[] = [];
  /** What a session that lives on must never meet. */
  readonly faults: string[] = [];
  private readonly rondo: Rondo;
  private isRunning = true;

  constructor(
    private readonly id: number,
    url: string,
    routing: 'auto' | 'single',
    private readonly history: History,
    private readonly random: Random,
  ) {
    this.rondo = connect({
      url,
      routing,
      timeoutMs: CALL_TIMEOUT_MS,
      session: { ttlMs: SESSION_TTL_MS },
      retry: { delayMsMax: 200 },
    });
  }

  /** Until `stop`, or until something came in doubt, which ends the session and all that it may hold. */
  async run(locks: readonly string[]): Promise<void> {
    try {
      while (this.isRunning) await this.once(this.random.pick(locks));
    } catch (error) {
      if (!(error instanceof RondoError)) throw error;
      this.faults.push(`client ${this.id}: ${error.code}: ${error.message}`);
    } finally {
      await this.rondo.drain();
    }
  }

  stop(): void {
    this.isRunning = false;
  }

  private async once(name: string): Promise<void> {
    const isTry = this.random.oneIn(3);
    const lock = await this.take(name, isTry);
    if (lock === undefined) {
      await sleep(this.random.below(HOLD_MS_MAX));
      return;
    }
    const { token } = lock;
    await this.write(lock, name);
    await sleep(this.random.below(HOLD_MS_MAX));
    if (lock.signal.aborted) throw lock.signal.reason;
    const called = this.history.moment();
    try {
      await lock.release();
      this.note(name, { code: 'release', token }, { status: 'ok' }, called);
    } catch (error) {
      // The client goes on releasing it.
      this.note(name, { code: 'release', token }, { status: 'unknown' }, called);
      if (!(error instanceof RondoError) || !error.retryable) throw error;
    }
  }

  /** Under the lock's fence; it may meet a worker that is away. */
  private async write(lock: Lock, name: string): Promise<void> {
    try {
      await lock.put(`{${name}}/last`, lock.token);
    } catch (error) {
      if (!(error instanceof RondoError) || !error.retryable) throw error;
    }
  }

  private async take(name: string, isTry: boolean): Promise<Lock | undefined> {
    const action: LockAction = { code: isTry ? 'try' : 'acquire' };
    const called = this.history.moment();
    try {
      const lock = await this.rondo.lock(name, isTry ? { waitMs: 0 } : {});
      this.note(name, action, { status: 'ok', token: lock.token }, called);
      return lock;
    } catch (error) {
      if (!(error instanceof RondoError)) throw error;
      const { code, revision, maybeApplied, retryable } = error;
      if (code === 'LOCK_HELD') {
        const token = revision === undefined ? {} : { token: revision };
        this.note(name, action, { status: 'held', ...token }, called);
        return undefined;
      }
      if (maybeApplied || !retryable) throw error;
      // It was refused before it waited.
      return undefined;
    }
  }

  private note(lock: string, action: LockAction, outcome: LockOutcome, called: number): void {
    const isOpen = outcome.status === 'unknown';
    const returned = isOpen ? Number.POSITIVE_INFINITY : this.history.moment();
    this.operations.push({ lock, client: this.id, action, outcome, called, returned });
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
