// Carries out a hello: lets the connection in, makes or resumes the session that it asks for, and answers
// with the welcome. Where the session's home is another worker, that one is asked first; new ones are made at home. The secret of a session is shown once, in the welcome that it begins with, and only
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
import { LOGGED_TEXT_MAX, SESSION_DRAWS_MAX, SESSION_HOME_DRAWS_MAX } from './limits.js';
import type { SessionHomes } from './session-homes.js';
import { groupOf, type SessionRegistry } from './session-registry.js';
import { NO_SESSION, resumedSession, type WelcomeSession } from './welcome.js';

/** The close code of a connection whose client has another to the same worker. */
const CLOSE_REPLACED = 1000;

export interface GreetingOptions {
  readonly engine: Engine;
  readonly effects: Effects;
  readonly registry: SessionRegistry;
  /** Undefined: there is one worker, the home of all sessions. */
  readonly homes: SessionHomes | undefined;
  /** The index of this worker. */
  readonly worker: number;
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
      this.open(peer, hello);
    } else {
      this.options.send(peer, this.options.welcome(NO_SESSION));
      this.log(peer, 'connection_greeted', 'client greeted');
    }
  }

  /** Counts as a sign of life of a peer's session what does not reach the engine. */
  renew(peer: Peer): void {
    const { engine, effects, clock } = this.options;
    const { session, sessionDigest } = peer.data;
    // At other workers than its home nothing is one.
    if (sessionDigest === undefined || !this.isHome(session)) return;
    engine.resumeSession(session, sessionDigest, clock.now());
    effects.store();
    effects.tell(undefined);
  }

  private isHome(session: number): boolean {
    const { homes } = this.options;
    return homes === undefined || homes.isHome(session);
  }

  private resume(peer: Peer, hello: HelloFrame): void {
    const { session, sessionSecret } = hello;
    if (sessionSecret.length !== SESSION_SECRET_BYTES) {
      this.options.refuse(peer, Status.SessionForbidden);
      return;
    }
    const digest = digestOf(sessionSecret);
    const { homes } = this.options;
    if (homes === undefined || homes.isHome(session)) this.resumeHere(peer, hello, digest);
    else this.resumeElsewhere(peer, hello, digest, homes);
  }

  private resumeHere(peer: Peer, hello: HelloFrame, digest: Uint8Array): void {
    const { engine, effects, homes, clock, refuse } = this.options;
    const { session, sessionTtlMs } = hello;
    const status = engine.resumeSession(session, digest, clock.now());
    const ttlMs = engine.outcome[OUTCOME_COUNT] as number;
    effects.store();
    if (status === Status.Ok) {
      const isRemembered = homes?.takeOver(session, this.groupOf(peer, hello)) ?? false;
      this.take(peer, hello, digest, ttlMs, isRemembered);
    } else if (status !== Status.SessionUnknown) {
      refuse(peer, status);
    } else if (sessionTtlMs === 0) {
      // Not before its end is durable: else it might be there again, after a crash.
      this.block(peer);
      effects.after(peer, 1, () => refuse(peer, status));
    }
    effects.tell(undefined);
    if (status === Status.SessionUnknown && sessionTtlMs !== 0) this.open(peer, hello);
  }

  private resumeElsewhere(
    peer: Peer,
    hello: HelloFrame,
    digest: Uint8Array,
    homes: SessionHomes,
  ): void {
    this.block(peer);
    const group = this.groupOf(peer, hello);
    homes.resume(hello.session, digest, group, (status, ttlMs, isRemembered) => {
      if (!peer.isOpen) return;
      if (status === Status.Ok) {
        this.take(peer, hello, digest, ttlMs, isRemembered);
        this.options.backlogs.unblock(peer);
      } else if (status === Status.SessionUnknown && hello.sessionTtlMs !== 0) {
        this.open(peer, hello);
      } else {
        this.options.refuse(peer, status);
      }
    });
  }

  /** The session goes on over this connection. Whoever knows its secret knows it to be durable. */
  private take(
    peer: Peer,
    hello: HelloFrame,
    digest: Uint8Array,
    ttlMs: number,
    isRemembered: boolean,
  ): void {
    const { registry, welcome, send, refuse } = this.options;
    const { session } = hello;
    const group = this.groupOf(peer, hello);
    for (const former of registry.displacedBy(session, group, true)) {
      // One that is told of a move gives the session up for good.
      const isOfClient = registry.bindingOf(former)?.group === group;
      if (isOfClient) former.close(CLOSE_REPLACED, 'a newer connection of this client is here');
      else refuse(former, Status.SessionMoved);
    }
    const answersRemembered = isRemembered || registry.hasHeard(session);
    registry.bind(peer, { session, digest, group, isChannel: false });
    send(peer, welcome(resumedSession(session, ttlMs, answersRemembered)));
    this.log(peer, 'session_resumed', 'session resumed');
  }

  private open(peer: Peer, hello: HelloFrame): void {
    const { engine, effects, sessionsMax, refuse } = this.options;
    if ((engine.outcome[OUTCOME_SESSIONS] as number) >= sessionsMax) {
      refuse(peer, Status.ResourceExhausted);
      return;
    }
    const secret = this.random(SESSION_SECRET_BYTES);
    let status: Status = Status.AlreadyExists;
    for (let draw = 0; draw < SESSION_DRAWS_MAX && status === Status.AlreadyExists; draw++) {
      const session = this.drawHomeSession();
      if (session === 0) {
        // A worker without a partition is no home.
        refuse(peer, Status.Unavailable);
        return;
      }
      status = this.openAs(peer, session, hello, secret);
      effects.tell(undefined);
    }
    // Ids are not used up: whoever draws them does not draw at random.
    if (status === Status.AlreadyExists) refuse(peer, Status.Internal);
    else if (status !== Status.Ok) refuse(peer, status);
  }

  private openAs(peer: Peer, session: number, hello: HelloFrame, secret: Uint8Array): Status {
    const { engine, effects, registry, homes, backlogs, clock, welcome, send } = this.options;
    const ttlMs = hello.sessionTtlMs;
    const digest = digestOf(secret);
    const status = engine.openSession(session, ttlMs, digest, clock.now());
    effects.store();
    if (status !== Status.Ok) return status;
    const group = this.groupOf(peer, hello);
    registry.bind(peer, { session, digest, group, isChannel: false });
    registry.hear(peer);
    homes?.opened(session, group);
    const bytes = welcome({ ...NO_SESSION, session, ttlMs, secret });
    this.block(peer);
    effects.after(peer, 1, () => {
      if (!peer.isOpen) return;
      send(peer, bytes);
      this.log(peer, 'session_opened', 'session opened');
      backlogs.unblock(peer);
    });
    return status;
  }

  private groupOf(peer: Peer, hello: HelloFrame): number {
    return groupOf(hello.group, this.options.worker, peer.id);
  }

  /** Frames that came behind the hello may wait already. */
  private block(peer: Peer): void {
    if (peer.data.backlog === undefined) this.options.backlogs.block(peer);
  }

  /** An id whose home is here; 0 where none was found. */
  private drawHomeSession(): number {
    for (let draw = 0; draw < SESSION_HOME_DRAWS_MAX; draw++) {
      const session = this.drawSession();
      if (this.isHome(session)) return session;
    }
    return 0;
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
