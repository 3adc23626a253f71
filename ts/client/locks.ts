// The locks of a client: asking for them, keeping them alive, giving them back. A request that its caller has
// given up, or whose answer was lost, may have been granted all the same: it is withdrawn, and what it was
// granted is freed, however long the node is out of reach. Else a lock that nobody knows of would live for as
// long as the session.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_REENTRANT,
  FLAG_UPGRADE,
  LOCK_EXCLUSIVE,
  LOCK_PERMIT,
  LOCK_SHARED,
} from '../wire/layout.js';
import { leaseError, waitOf } from './arguments.js';
import { backoffMs } from './backoff.js';
import { type Answer, Call, Shape } from './call.js';
import { invalidArgument, RondoError } from './errors.js';
import { sessionRequired } from './failures.js';
import { Hold, type HoldMode } from './hold.js';
import { KeepAlive } from './keep-alive.js';
import { keyError } from './key.js';
import type { Kv } from './kv.js';
import { Lock, type LockOptions, type WaitOptions } from './lock.js';
import type { Router } from './router.js';
import type { Session } from './session.js';

export interface LocksContext {
  readonly router: Router;
  readonly session: Session;
  readonly kv: Kv;
  readonly timeoutMs: number;
  readonly repeatDelayMsMin: number;
  readonly repeatDelayMsMax: number;
  readonly random: () => number;
}

const MODES = { exclusive: LOCK_EXCLUSIVE, shared: LOCK_SHARED, permit: LOCK_PERMIT } as const;

export class Locks {
  private readonly holds = new Map<string, Hold>();
  /** Requests under way that may join a hold of this name. */
  private readonly joining = new Map<string, number>();

  constructor(private readonly context: LocksContext) {
    context.session.holders.add((reason) => {
      const lost = [...this.holds.values()];
      this.holds.clear();
      for (const hold of lost) hold.lose(reason);
    });
  }

  /** `permits`: of a semaphore; otherwise 0. */
  async acquire(name: string, options: LockOptions, permits = 0): Promise<Lock> {
    const { session, kv } = this.context;
    const { mode = 'exclusive', ttlMs, waitMs = Number.POSITIVE_INFINITY, reentrant } = options;
    const error = keyError(name, false) ?? leaseError(ttlMs);
    if (error !== undefined) throw error;
    if (mode !== 'exclusive' && mode !== 'shared') {
      throw invalidArgument('mode is "exclusive" or "shared"');
    }
    const wait = waitOf(waitMs);
    if (typeof wait !== 'number') throw wait;
    if (!session.isWanted) throw sessionRequired(`lock ${JSON.stringify(name)}`);
    const kind: HoldMode = permits > 0 ? 'permit' : mode;
    const flags = MODES[kind] | (reentrant === true ? FLAG_REENTRANT : 0);
    const call = lockCall(name, flags, wait, ttlMs ?? 0, permits);
    const join = reentrant === true ? 1 : 0;
    this.joining.set(name, (this.joining.get(name) ?? 0) + join);
    try {
      const { revision, ttlMs: leaseMs } = await this.ask(call, options.signal);
      const hold = this.holdOf(call, revision, kind);
      if (hold.id === call.id && (ttlMs ?? leaseMs) > 0)
        await this.keep(hold, call, ttlMs, leaseMs);
      hold.users++;
      return new Lock(this, hold, kv);
    } catch (reason) {
      if (this.isInDoubt(call, reason)) void this.withdraw(call);
      throw reason;
    } finally {
      const left = (this.joining.get(name) ?? 0) - join;
      if (left > 0) this.joining.set(name, left);
      else this.joining.delete(name);
    }
  }

  async upgrade(hold: Hold, options: WaitOptions): Promise<void> {
    if (hold.mode === 'exclusive') return;
    if (hold.mode === 'permit') throw invalidArgument('a permit cannot be upgraded');
    if (hold.upgrading !== undefined) throw invalidArgument('an upgrade is under way already');
    const wait = waitOf(options.waitMs ?? Number.POSITIVE_INFINITY);
    if (typeof wait !== 'number') throw wait;
    const { signal } = options;
    const abort = new AbortController();
    const give = (): void => abort.abort(signal?.reason);
    signal?.addEventListener('abort', give);
    if (signal?.aborted === true) give();
    const ended = this.upgradeNow(hold, wait, abort.signal);
    hold.upgrading = { abort, ended: ended.catch(() => undefined) };
    try {
      await ended;
    } finally {
      hold.upgrading = undefined;
      signal?.removeEventListener('abort', give);
    }
  }

  private async upgradeNow(hold: Hold, wait: number, signal: AbortSignal): Promise<void> {
    const flags = LOCK_EXCLUSIVE | FLAG_UPGRADE;
    const call = lockCall(hold.name, flags, wait, 0, hold.token);
    try {
      const { revision } = await this.ask(call, signal);
      this.renumber(hold, call.id, revision);
      hold.mode = 'exclusive';
    } catch (reason) {
      if (this.isInDoubt(call, reason)) {
        // Granted after all: the hold has another token now, and becomes shared again.
        const token = await this.cancel(call);
        if (token !== 0) {
          this.renumber(hold, call.id, token);
          hold.mode = 'exclusive';
          await this.downgrade(hold);
        }
      }
      throw reason;
    }
  }

  async downgrade(hold: Hold): Promise<void> {
    if (hold.mode === 'permit') throw invalidArgument('a permit cannot be downgraded');
    await this.submit(operation(OperationCode.Downgrade, hold.name, 0, hold.token));
    hold.mode = 'shared';
  }

  async release(hold: Hold): Promise<void> {
    const { upgrading } = hold;
    if (upgrading !== undefined) {
      upgrading.abort.abort();
      await upgrading.ended;
    }
    hold.users--;
    if (hold.users === 0) {
      hold.keepAlive?.stop();
      this.holds.delete(keyOf(hold));
    }
    if (hold.signal.aborted) return;
    if (hold.users > 0) {
      // Sent again it might count again, against those who hold on; what is left goes with the last of them.
      await this.submit(unlock(hold)).catch(() => undefined);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      this.free(hold, reject).then(resolve, reject);
    });
  }

  /** The lock that a request was granted, which another one of this client may have been granted before. */
  private holdOf(call: Call, token: number, mode: HoldMode): Hold {
    const { session, router } = this.context;
    if (session.id === 0 || call.sentAt < session.beganAt) {
      throw new RondoError(
        'SESSION_UNKNOWN',
        `${call.subject}: it was granted to a session that has ended since; take it again`,
      );
    }
    const hold = new Hold(session.id, call.id, call.key, token, mode);
    const held = this.holds.get(keyOf(hold));
    if (held !== undefined) return held;
    router.heldIds.add(call.id);
    this.holds.set(keyOf(hold), hold);
    return hold;
  }

  /** Extends the lease of a lock for as long as it is held. */
  private async keep(hold: Hold, call: Call, wanted = 0, leaseMs = 0): Promise<void> {
    const { timeoutMs } = this.context;
    // Taken over from a hold that was just given up, it has the lease of that one.
    const ttlMs = wanted > 0 ? wanted : leaseMs;
    let aliveAt = call.sentAt;
    // How much of the lease is gone nobody knows here: it began when the wait ended.
    const isOld = performance.now() - aliveAt > ttlMs / 3;
    if (isOld) {
      try {
        aliveAt = await this.extend(hold, ttlMs, timeoutMs);
        if (hold.signal.aborted) throw hold.signal.reason;
      } catch (error) {
        hold.keepAlive = undefined;
        this.holds.delete(keyOf(hold));
        void this.free(hold, () => undefined);
        throw error;
      }
    }
    const kept = {
      // While there is no connection the extension waits for one, like any call.
      canRenew: () => true,
      renew: (withinMs: number) => this.extend(hold, ttlMs, withinMs),
      heardAt: () => 0,
      expired: () => this.lose(hold, `its lease of ${ttlMs} ms was not extended in time`),
    };
    hold.keepAlive = new KeepAlive(kept, timeoutMs);
    hold.keepAlive.start(ttlMs, aliveAt);
  }

  /** Returns when the extension was sent. */
  private async extend(hold: Hold, ttlMs: number, timeoutMs: number): Promise<number> {
    const { token } = hold;
    const call = operation(OperationCode.Extend, hold.name, ttlMs, token);
    try {
      await this.context.router.submit<Answer>(call, { timeoutMs }, true);
    } catch (error) {
      // An upgrade that was granted meanwhile has given the hold another token.
      const isSame = hold.token === token && hold.upgrading === undefined;
      if (isSame && codeOf(error) === 'NOT_HOLDER') this.lose(hold, 'its lease has run out');
      throw error;
    }
    return call.sentAt;
  }

  private lose(hold: Hold, why: string): void {
    this.holds.delete(keyOf(hold));
    this.context.router.heldIds.delete(hold.id);
    hold.lose(
      new RondoError(
        'NOT_HOLDER',
        `lock ${JSON.stringify(hold.name)}: ${why}; stop what it guards, and take it again`,
      ),
    );
  }

  private renumber(hold: Hold, id: number, token: number): void {
    const { heldIds } = this.context.router;
    const isKept = this.holds.delete(keyOf(hold));
    heldIds.delete(hold.id);
    hold.id = id;
    hold.token = token;
    if (!isKept) return;
    heldIds.add(id);
    this.holds.set(keyOf(hold), hold);
  }

  /** Gives a hold back until the node has it; `onTrouble` hears why it takes longer. */
  private async free(hold: Hold, onTrouble: (error: unknown) => void): Promise<void> {
    const { router } = this.context;
    const isUsed = (): boolean => this.holds.has(keyOf(hold)) || this.joining.has(hold.name);
    let left = 1;
    while (left > 0) {
      const answer = await this.insist(hold.session, () => unlock(hold), onTrouble, isUsed);
      // A request that was repeated may have counted twice; nobody else would give that back.
      left = answer instanceof RondoError || isUsed() ? 0 : answer.count;
    }
    if (!this.holds.has(keyOf(hold))) router.heldIds.delete(hold.id);
  }

  /** Withdraws a request whose caller has gone; what it was granted is freed. */
  private async withdraw(call: Call): Promise<void> {
    const { id: session } = this.context.session;
    const token = await this.cancel(call);
    if (token === 0) return;
    await this.free(new Hold(session, call.id, call.key, token, 'exclusive'), () => undefined);
  }

  /** Withdraws a request. Returns the token where it had been granted already, else 0. */
  private async cancel(call: Call): Promise<number> {
    const answer = await this.insist(
      this.context.session.id,
      () => operation(OperationCode.CancelLock, call.key, 0, call.id),
      () => undefined,
    );
    const isGranted = answer instanceof RondoError && answer.code === 'ALREADY_EXISTS';
    return isGranted ? (answer.revision ?? 0) : 0;
  }

  /**
   * Sends an operation again and again until the node has answered, the session is over, or `isEnough` says
   * that once must do.
   */
  private async insist(
    session: number,
    make: () => Call,
    onTrouble: (error: unknown) => void,
    isEnough = (): boolean => false,
  ): Promise<Answer | RondoError> {
    const { repeatDelayMsMin, repeatDelayMsMax, random } = this.context;
    for (let attempt = 1; ; attempt++) {
      if (session !== this.context.session.id) return sessionRequired('lock');
      try {
        return await this.submit(make());
      } catch (error) {
        if (!(error instanceof RondoError) || !mayPass(error)) return error as RondoError;
        onTrouble(error);
        if (isEnough()) return error;
      }
      const delayMs = backoffMs(attempt, repeatDelayMsMin, repeatDelayMsMax, random);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }

  private ask(call: Call, signal: AbortSignal | undefined): Promise<Answer> {
    return this.context.router.submit(call, { signal }, false);
  }

  /** Taken while the client drains, too. */
  private submit(call: Call): Promise<Answer> {
    return this.context.router.submit(call, undefined, true);
  }

  /** Whether the node may have granted, or may yet grant, a request that has failed here. */
  private isInDoubt(call: Call, error: unknown): boolean {
    const { session } = this.context;
    const isOfSession = session.id !== 0 && call.id !== 0 && call.sentAt >= session.beganAt;
    return isOfSession && WITHOUT_ANSWER.has(codeOf(error));
  }
}

const WITHOUT_ANSWER = new Set(['TIMEOUT', 'CANCELLED', 'CONNECTION_LOST', 'PROTOCOL_ERROR']);

/** Whether the same may succeed later in the same session. */
function mayPass(error: RondoError): boolean {
  return WITHOUT_ANSWER.has(error.code) || (error.retryable && error.code !== 'SESSION_UNKNOWN');
}

function codeOf(error: unknown): string {
  return error instanceof RondoError ? error.code : '';
}

function keyOf({ name, token }: Hold): string {
  return `${token} ${name}`;
}

function lockCall(name: string, flags: number, wait: number, ttlMs: number, of: number): Call {
  const { Lock: code } = OperationCode;
  return new Call(code, Shape.Answer, flags, name, undefined, wait, ttlMs, of, undefined);
}

function unlock({ name, token }: Hold): Call {
  return operation(OperationCode.Unlock, name, 0, token);
}

function operation(code: OperationCode, name: string, ttlMs: number, of: number): Call {
  return new Call(code, Shape.Answer, 0, name, undefined, 0, ttlMs, of, undefined);
}
