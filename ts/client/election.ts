// Leader election: the leader is who holds a lock. Its token is the term; writes through the lock are refused
// once another leads. Who wants to know the leader reads, or watches, the key with the election's name.

import { RondoError } from './errors.js';
import type { Lock } from './lock.js';

export interface ElectOptions {
  /** Put under the election's name as long as this client leads. */
  readonly value?: unknown;
  /** Gives the candidacy up. */
  readonly signal?: AbortSignal | undefined;
}

export class Leader implements AsyncDisposable {
  private resigned: Promise<void> | undefined;

  constructor(
    /** For writes that only a leader may make: `leader.lock.put(...)`. */
    readonly lock: Lock,
    private readonly hasValue: boolean,
  ) {}

  get name(): string {
    return this.lock.name;
  }

  /** The term: grows with each leader. */
  get token(): number {
    return this.lock.token;
  }

  /** Aborts when this client leads no more. */
  get signal(): AbortSignal {
    return this.lock.signal;
  }

  /** Lets the next candidate lead. Again: the same. */
  resign(): Promise<void> {
    this.resigned ??= this.resignOnce();
    return this.resigned;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }

  private async resignOnce(): Promise<void> {
    try {
      if (this.hasValue && !this.signal.aborted) await this.lock.delete(this.name);
    } catch (error) {
      // The next leader's value replaces it, and with the session it goes by itself.
      if (!(error instanceof RondoError)) throw error;
    } finally {
      await this.lock.release();
    }
  }
}

/** Stands for election until this client leads; a session that is lost meanwhile is no reason to stop. */
export async function elect(
  lock: () => Promise<Lock>,
  { value, signal }: ElectOptions,
): Promise<Leader> {
  const hasValue = value !== undefined;
  for (;;) {
    let held: Lock | undefined;
    try {
      held = await lock();
      if (hasValue) await held.put(held.name, value, { ephemeral: true, signal });
      return new Leader(held, hasValue);
    } catch (error) {
      // A value that may be there would tell of a leader who is none.
      const isTold = error instanceof RondoError && error.maybeApplied;
      if (isTold) await held?.delete(held.name).catch(() => undefined);
      await held?.release().catch(() => undefined);
      const isOfSession = error instanceof RondoError && error.code === 'SESSION_UNKNOWN';
      if (!isOfSession || signal?.aborted === true) throw error;
    }
  }
}
