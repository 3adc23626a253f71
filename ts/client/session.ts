// The session of a client: what it holds on the node outlives its connections. It begins with a welcome and is
// resumed by the next ones; it ends with the client, or is lost, and with it everything held.
//
// It is lost when the node says so, and also when no sign of life was answered for its time to live: then
// the node may have ended it, whether or not it can say so. What this side gives up is given up for good: the
// next connection asks for a new session, and what the old one still has ends by itself.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import type { HelloFrame } from '../wire/hello.js';
import { SESSION_SECRET_BYTES } from '../wire/limits.js';
import { Call, Shape } from './call.js';
import { RondoError } from './errors.js';
import { violation } from './failures.js';
import { KeepAlive } from './keep-alive.js';
import type { Router } from './router.js';
import type { Welcome } from './status.js';

const NO_SECRET = new Uint8Array(0);

export interface SessionOptions {
  /** Milliseconds; 0: the client wants none. */
  readonly ttlMs: number;
  /** Milliseconds that a call may take. */
  readonly timeoutMs: number;
}

export class Session {
  /** 0: there is none. */
  id = 0;
  /** Since when this is the session: what was sent before was sent under another one. */
  beganAt = 0;
  /** It was, or is about to be, ended by this client. */
  isEnding = false;
  /** Told when the session is lost. */
  readonly holders = new Set<(reason: RondoError) => void>();
  private secret: Uint8Array = NO_SECRET;
  private ttlMs = 0;
  private readonly keepAlive: KeepAlive;

  constructor(
    private readonly options: SessionOptions,
    private readonly router: Router,
  ) {
    const kept = {
      canRenew: () => router.isConnected,
      renew: (timeoutMs: number) => this.renew(timeoutMs),
      heardAt: () => router.heardAt,
      expired: () => this.expired(),
    };
    this.keepAlive = new KeepAlive(kept, options.timeoutMs);
  }

  get isWanted(): boolean {
    return this.options.ttlMs > 0;
  }

  /** What the next hello asks for. */
  hello(): Pick<HelloFrame, 'sessionTtlMs' | 'session' | 'sessionSecret'> {
    return { sessionTtlMs: this.options.ttlMs, session: this.id, sessionSecret: this.secret };
  }

  /**
   * A welcome has come to a hello that was sent at `helloAt` and asked for the session `asked`. Returns whether
   * the session goes on, or why the welcome cannot be.
   */
  welcomed(welcome: Welcome, helloAt: number, asked: number): boolean | RondoError {
    const { session: id, sessionResumed, sessionSecret, sessionTtlMs } = welcome;
    if (asked !== this.id) {
      return new RondoError('SESSION_UNKNOWN', 'another connection has a new session meanwhile');
    }
    if (sessionResumed ? id === 0 || id !== this.id : id !== 0 && id === this.id) {
      return violation('a welcome with a session that was not asked for');
    }
    if (id !== 0 && (!this.isWanted || sessionTtlMs === 0)) {
      return violation('a welcome with a session that cannot be');
    }
    if (id !== 0 && !sessionResumed && sessionSecret.length !== SESSION_SECRET_BYTES) {
      return violation('a welcome without the secret of its session');
    }
    if (!sessionResumed) {
      this.lose(
        new RondoError('SESSION_UNKNOWN', 'the session has ended, and what it held is lost'),
      );
      this.id = id;
      this.secret = sessionSecret;
      this.beganAt = performance.now();
    }
    this.ttlMs = sessionTtlMs;
    if (id !== 0) this.keepAlive.start(sessionTtlMs, helloAt);
    return sessionResumed;
  }

  /** A connection has come up or gone. */
  connectionChanged(): void {
    this.keepAlive.look(performance.now());
  }

  /** It is over, and with it all that it held. */
  lose(reason: RondoError): void {
    if (this.id === 0) return;
    this.id = 0;
    this.secret = NO_SECRET;
    this.keepAlive.stop();
    this.router.sessionLost(reason);
    for (const holder of [...this.holders]) holder(reason);
  }

  /** Ends it on the node, as far as that can be heard; the next connection would have another. */
  async end(): Promise<void> {
    this.isEnding = true;
    if (this.id === 0 || !this.router.isConnected) return;
    const call = operation(OperationCode.EndSession);
    try {
      await this.router.submit(call, undefined, true);
      this.lose(new RondoError('CLOSED', 'the client has ended its session'));
    } catch {
      // Then it ends by itself, when nobody has renewed it.
    }
  }

  private async renew(timeoutMs: number): Promise<number> {
    const { router } = this;
    const call = operation(OperationCode.Renew);
    try {
      await router.submit(call, { timeoutMs }, true);
      return call.sentAt;
    } catch (error) {
      // A third of the time is left, and may be enough to resume over another connection.
      if (error instanceof RondoError && error.code === 'TIMEOUT') router.giveUpSilent(call, error);
      throw error;
    }
  }

  private expired(): void {
    const reason = new RondoError(
      'SESSION_UNKNOWN',
      `nothing sent within ${this.ttlMs} ms was answered; the session counts as lost`,
    );
    this.lose(reason);
    this.router.abandon(reason);
  }
}

function operation(code: OperationCode): Call {
  return new Call(code, Shape.Answer, 0, '', undefined, 0, 0, 0, undefined);
}
