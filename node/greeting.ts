// Carries out a hello: lets the connection in, makes or resumes the session that it asks for, and answers
// with the welcome. The secret of a session is shown once, in the welcome that it begins with, and only
// when the session is durable; the engine keeps a digest of it.

import { createHash, randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { sessionText } from '../ts/engine/coordination.js';
import { type Engine, OUTCOME_COUNT, OUTCOME_SESSIONS } from '../ts/engine/engine.js';
import type { HelloFrame } from '../ts/wire/hello.js';
import { SESSION_SECRET_BYTES } from '../ts/wire/limits.js';
import { Status } from '../ts/wire/status.js';
import type { Backlogs } from './backlog.js';
import type { Clock } from './clock.js';
import type { Tokens } from './config/tokens.js';
import { describe, type Peer } from './connection.js';
import type { Effects } from './effects.js';
import { judgeHello } from './hello.js';
import { LOGGED_TEXT_MAX, SESSION_DRAWS_MAX } from './limits.js';
import type { SessionRegistry } from './session-registry.js';
import { NO_SESSION, resumedSession, type WelcomeSession } from './welcome.js';

export interface GreetingOptions {
  readonly engine: Engine;
  readonly effects: Effects;
  readonly registry: SessionRegistry;
  readonly backlogs: Backlogs;
  /** Undefined: no authentication. */
  readonly tokens: Tokens | undefined;
  readonly sessionsMax: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly welcome: (session: WelcomeSession) => Uint8Array;
  readonly send: (peer: Peer, bytes: Uint8Array) => void;
  readonly refuse: (peer: Peer, status: Status) => void;
  /** In place of the system's source of randomness, for tests. */
  readonly randomBytes?: (length: number) => Buffer;
}

export class Greeting {
  constructor(private readonly options: GreetingOptions) {}

  /** Takes the first frame of a connection: refuses it, or lets the connection in. */
  greet(peer: Peer, message: ArrayBuffer): void {
    const { tokens, refuse } = this.options;
    const state = peer.data;
    const { status, hello } = judgeHello(message, state.authorization, tokens);
    state.client = hello?.client.slice(0, LOGGED_TEXT_MAX) ?? '';
    if (hello === undefined || status !== Status.Ok) {
      refuse(peer, status);
      return;
    }
    state.isGreeted = true;
    state.helloTimer?.cancel();
    this.answer(peer, hello);
  }

  /** Answers a hello that lets its connection in. Frames behind it wait until the welcome has left. */
  answer(peer: Peer, hello: HelloFrame): void {
    if (hello.session !== 0) {
      this.resume(peer, hello);
    } else if (hello.sessionTtlMs !== 0) {
      this.open(peer, hello.sessionTtlMs);
    } else {
      this.options.send(peer, this.options.welcome(NO_SESSION));
      this.log(peer, 'connection_greeted', 'client greeted');
    }
  }

  /** Counts as a sign of life of a peer's session what does not reach the engine. */
  renew(peer: Peer): void {
    const { engine, effects, clock } = this.options;
    const { session, sessionDigest } = peer.data;
    if (sessionDigest === undefined) return;
    engine.resumeSession(session, sessionDigest, clock.now());
    effects.store();
    effects.tell(undefined);
  }

  private resume(peer: Peer, hello: HelloFrame): void {
    const { engine, effects, backlogs, clock, refuse } = this.options;
    const { session, sessionSecret, sessionTtlMs } = hello;
    if (sessionSecret.length !== SESSION_SECRET_BYTES) {
      refuse(peer, Status.SessionForbidden);
      return;
    }
    const digest = digestOf(sessionSecret);
    const status = engine.resumeSession(session, digest, clock.now());
    const ttlMs = engine.outcome[OUTCOME_COUNT] as number;
    effects.store();
    if (status === Status.Ok) {
      this.take(peer, session, digest, ttlMs);
    } else if (status !== Status.SessionUnknown) {
      refuse(peer, status);
    } else if (sessionTtlMs === 0) {
      // Not before its end is durable: else it might be there again, after a crash.
      backlogs.block(peer);
      effects.after(peer, 1, () => refuse(peer, status));
    }
    effects.tell(undefined);
    if (status === Status.SessionUnknown && sessionTtlMs !== 0) this.open(peer, sessionTtlMs);
  }

  /** The session goes on over this connection. Whoever knows its secret knows it to be durable. */
  private take(peer: Peer, session: number, digest: Uint8Array, ttlMs: number): void {
    const { registry, welcome, send, refuse } = this.options;
    const former = registry.peerOf(session);
    if (former !== undefined) refuse(former, Status.SessionMoved);
    const answersRemembered = registry.hasHeard(session);
    registry.bind(peer, session, digest);
    send(peer, welcome(resumedSession(session, ttlMs, answersRemembered)));
    this.log(peer, 'session_resumed', 'session resumed');
  }

  private open(peer: Peer, ttlMs: number): void {
    const { engine, effects, sessionsMax, refuse } = this.options;
    if ((engine.outcome[OUTCOME_SESSIONS] as number) >= sessionsMax) {
      refuse(peer, Status.ResourceExhausted);
      return;
    }
    const secret = this.random(SESSION_SECRET_BYTES);
    let status: Status = Status.AlreadyExists;
    for (let draw = 0; draw < SESSION_DRAWS_MAX && status === Status.AlreadyExists; draw++) {
      status = this.openAs(peer, this.drawSession(), ttlMs, secret);
      effects.tell(undefined);
    }
    // Ids are not used up: whoever draws them does not draw at random.
    if (status === Status.AlreadyExists) refuse(peer, Status.Internal);
    else if (status !== Status.Ok) refuse(peer, status);
  }

  private openAs(peer: Peer, session: number, ttlMs: number, secret: Uint8Array): Status {
    const { engine, effects, registry, backlogs, clock, welcome, send } = this.options;
    const digest = digestOf(secret);
    const status = engine.openSession(session, ttlMs, digest, clock.now());
    effects.store();
    if (status !== Status.Ok) return status;
    registry.bind(peer, session, digest);
    registry.hear(peer);
    const bytes = welcome({ ...NO_SESSION, session, ttlMs, secret });
    backlogs.block(peer);
    effects.after(peer, 1, () => {
      if (!peer.isOpen) return;
      send(peer, bytes);
      this.log(peer, 'session_opened', 'session opened');
      backlogs.unblock(peer);
    });
    return status;
  }

  /** An id of 53 random bits that is not 0. */
  private drawSession(): number {
    const bytes = this.random(7);
    const session = bytes.readUIntBE(0, 6) * 32 + ((bytes[6] as number) & 31);
    return session === 0 ? 1 : session;
  }

  private random(length: number): Buffer {
    return (this.options.randomBytes ?? randomBytes)(length);
  }

  private log(peer: Peer, event: string, message: string): void {
    const { session } = peer.data;
    const fields = session === 0 ? {} : { session: sessionText(session) };
    this.options.logger.debug({ event, ...fields, ...describe(peer) }, message);
  }
}

/** What stands for a secret: whoever reads it from the log cannot resume the session. */
function digestOf(secret: Uint8Array): Uint8Array {
  return createHash('sha256').update(secret).digest().subarray(0, SESSION_SECRET_BYTES);
}
