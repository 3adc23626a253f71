// Sessions of several workers. The home of a session is the worker of its partition: it alone has the session's
// record, its deadline and its secret. Elsewhere the session is a guest of the engine, known once its home has said
// that it is there. This part speaks for both sides: it asks homes, and is the home of some.
//
// EXACTLY ONCE. What a session has at a worker is freed by that worker's engine, by one append, when the home says
// ENDED, which it does when the end is durable. Links are in order, so ENDED never comes before the ATTACHED that
// made the guest. What a link may have lost with one of its workers is asked for again: whenever a worker sees
// another come up it sends CHECK with its guests of that home, which answers with ENDED for what is not there. Where
// writes are refused the end of a guest is tried again until it is done.
//
// GROUPS. A session is of one group of connections at a time, which its home knows. A hello takes it over from every
// other group, at all workers: MOVED leaves before the answer, and in the order of take-overs, so that all agree on
// the last one. A channel does not: one that comes late, of a group that has lost the session, is refused. A home
// that has started anew knows no groups: then whoever speaks first has the session, and the others lose it.

import { sessionText } from '../ts/engine/coordination.js';
import { type Engine, OUTCOME_COUNT } from '../ts/engine/engine.js';
import { WORKER_DOWN, WORKER_STOPPING } from '../ts/shared/layout.js';
import { readU64, writeU64 } from '../ts/wire/layout.js';
import { SESSION_SECRET_BYTES } from '../ts/wire/limits.js';
import { partitionOfKey } from '../ts/wire/partition.js';
import { Status } from '../ts/wire/status.js';
import type { Clock } from './clock.js';
import type { Peer } from './connection.js';
import type { Effects } from './effects.js';
import type { GuestEnds } from './guest-ends.js';
import { SESSIONS_PER_CHECK } from './limits.js';
import type { Links } from './links/links.js';
import { MessageKind } from './links/messages.js';
import type { SessionRegistry } from './session-registry.js';

/** What is needed of the routing table; `RoutingReader` has it. */
export interface HomesRouting {
  readonly workers: number;
  readonly owners: Uint16Array;
  refresh(): boolean;
  stateOf(worker: number): number;
  epochOf(worker: number): number;
}

export interface SessionHomesOptions {
  readonly worker: number;
  readonly partitions: number;
  readonly engine: Engine;
  readonly links: Links;
  readonly routing: HomesRouting;
  readonly registry: SessionRegistry;
  readonly effects: Effects;
  readonly clock: Clock;
  readonly guestEnds: GuestEnds;
  readonly refuse: (peer: Peer, status: Status) => void;
}

/**
 * The home's answer. Ok: the session is known to the engine here from now on, and lives `ttlMs` without a sign of
 * life. `answersRemembered`: no worker has died since it was made. UNAVAILABLE: its home is not there.
 */
export type HomeAnswer = (status: Status, ttlMs: number, answersRemembered: boolean) => void;

interface Request {
  readonly home: number;
  readonly session: number;
  readonly done: HomeAnswer;
}

/** What a home knows of a session beside its engine, since it was made or first spoke to this process. */
interface Known {
  readonly group: number;
  /** `lives` when it was made; undefined: this process does not know. */
  readonly since: number | undefined;
}

// ATTACH: u64 group, digest, u8 1 for a hello, which takes the session over.
const DIGEST_AT = 8;
const TAKES_OVER_AT = DIGEST_AT + SESSION_SECRET_BYTES;
const ATTACH_BYTES = TAKES_OVER_AT + 1;
/** No session's digest, to ask an engine whether a session is there. */
const NO_DIGEST = new Uint8Array(SESSION_SECRET_BYTES);

/** A figure that changes with every worker that dies or stops, and not when it comes back. */
export function livesOf(routing: HomesRouting): () => number {
  return () => {
    routing.refresh();
    let lives = 0;
    for (let worker = 0; worker < routing.workers; worker++) {
      const state = routing.stateOf(worker);
      const isOver = state === WORKER_DOWN || state === WORKER_STOPPING;
      lives += routing.epochOf(worker) + (isOver ? 1 : 0);
    }
    return lives;
  };
}

export class SessionHomes {
  private readonly lives: () => number;
  /** Of sessions of this home. */
  private readonly known = new Map<number, Known>();
  private readonly requests = new Map<number, Request>();
  /** Does not begin where an earlier life of this worker did: answers that come late for that one fit nothing. */
  private nextRequest: number;

  constructor(private readonly options: SessionHomesOptions) {
    const { routing, worker } = options;
    this.lives = livesOf(routing);
    this.nextRequest = (routing.epochOf(worker) * 2 ** 24) >>> 0;
  }

  /** To be called once, when the engine has its state: ends what sessions of this home left that are not there. */
  start(): void {
    this.options.guestEnds.start((session) => this.isHome(session));
  }

  /** Whether this worker is the session's home. */
  isHome(session: number): boolean {
    return this.homeOf(session) === this.options.worker;
  }

  /** A session was made here, for a connection of this group. */
  opened(session: number, group: number): void {
    this.known.set(session, { group, since: this.lives() });
  }

  /**
   * A session of this home goes on over a connection of this group: it loses those of all others, here and
   * elsewhere. Returns whether no worker has died since it was made.
   */
  takeOver(session: number, group: number): boolean {
    const known = this.known.get(session);
    if (known?.group !== group) {
      this.known.set(session, { group, since: known?.since });
      const bytes = new Uint8Array(8);
      writeU64(new DataView(bytes.buffer), 0, group);
      this.broadcast(MessageKind.Moved, session, bytes);
      this.close(session, group);
    }
    return known?.since === this.lives();
  }

  /**
   * Asks the home, on behalf of a channel, for a session that its connection already has. Everything may be
   * answered before this returns. SESSION_MOVED: another group has the session.
   */
  attach(session: number, digest: Uint8Array, group: number, done: HomeAnswer): void {
    this.ask(session, digest, group, false, done);
  }

  /** Asks the home on behalf of a hello, which takes the session over from all other groups. */
  resume(session: number, digest: Uint8Array, group: number, done: HomeAnswer): void {
    this.ask(session, digest, group, true, done);
  }

  /** A session of this home has ended, and that is durable. `isAsked`: by its client. */
  onEnded(session: number, isAsked: boolean): void {
    this.known.delete(session);
    this.broadcast(MessageKind.Ended, session, endedBytes(isAsked));
  }

  onMessage(worker: number, kind: MessageKind, a: number, b: number, bytes: Uint8Array): void {
    if (kind === MessageKind.Attach) this.onAttach(worker, a, b, bytes);
    else if (kind === MessageKind.Attached) this.onAttached(a, b, bytes);
    else if (kind === MessageKind.Ended) this.options.guestEnds.end(b, bytes[0] === 1);
    else if (kind === MessageKind.Moved) this.close(b, readU64(viewOf(bytes), 0));
    else if (kind === MessageKind.Check) this.onCheck(worker, bytes);
  }

  onUp(worker: number): void {
    // What it was asked before, it does not know.
    this.onDown(worker);
    this.sendCheck(worker);
  }

  onDown(worker: number): void {
    for (const [id, { home, done }] of [...this.requests]) {
      if (home !== worker) continue;
      this.requests.delete(id);
      done(Status.Unavailable, 0, false);
    }
  }

  private homeOf(session: number): number {
    const { partitions, routing } = this.options;
    const text = Buffer.from(sessionText(session));
    return routing.owners[partitionOfKey(text, 0, text.length, partitions)] as number;
  }

  private ask(
    session: number,
    digest: Uint8Array,
    group: number,
    takesOver: boolean,
    done: HomeAnswer,
  ): void {
    const home = this.homeOf(session);
    if (home === this.options.worker) {
      this.answer(session, digest, group, takesOver, done);
      return;
    }
    const bytes = new Uint8Array(ATTACH_BYTES);
    writeU64(viewOf(bytes), 0, group);
    bytes.set(digest, DIGEST_AT);
    bytes[TAKES_OVER_AT] = takesOver ? 1 : 0;
    const id = this.nextRequest;
    this.nextRequest = (id + 1) >>> 0;
    if (this.options.links.send(home, MessageKind.Attach, id, session, bytes)) {
      this.requests.set(id, { home, session, done });
    } else {
      done(Status.Unavailable, 0, false);
    }
  }

  /** As the session's home. */
  private answer(
    session: number,
    digest: Uint8Array,
    group: number,
    takesOver: boolean,
    done: HomeAnswer,
  ): void {
    const { engine, effects, clock } = this.options;
    let status = engine.resumeSession(session, digest, clock.now());
    const ttlMs = engine.outcome[OUTCOME_COUNT] as number;
    effects.store();
    effects.tell(undefined);
    if (status === Status.SessionUnknown) {
      // Not before its end is durable: else it might be there again, after a crash.
      effects.afterAll(() => done(Status.SessionUnknown, 0, false));
      return;
    }
    let remembered = false;
    if (status === Status.Ok) {
      const { group: present = group } = this.known.get(session) ?? {};
      if (takesOver || present === group) remembered = this.takeOver(session, group);
      else status = Status.SessionMoved;
    }
    done(status, ttlMs, remembered);
  }

  private onAttach(worker: number, id: number, session: number, bytes: Uint8Array): void {
    const group = readU64(viewOf(bytes), 0);
    // A copy: what is shared is not for the engine.
    const digest = bytes.slice(DIGEST_AT, TAKES_OVER_AT);
    const takesOver = bytes[TAKES_OVER_AT] === 1;
    this.answer(session, digest, group, takesOver, (status, ttlMs, remembered) => {
      const answer = Uint8Array.of(status, remembered ? 1 : 0);
      this.options.links.send(worker, MessageKind.Attached, id, ttlMs, answer);
    });
  }

  private onAttached(id: number, ttlMs: number, bytes: Uint8Array): void {
    const request = this.requests.get(id);
    if (request === undefined) return;
    this.requests.delete(id);
    const status = bytes[0] as Status;
    if (status === Status.Ok) this.options.engine.admitSession(request.session);
    request.done(status, ttlMs, bytes[1] === 1);
  }

  /** Closes what a session has here of other groups. */
  private close(session: number, group: number): void {
    const { registry, refuse } = this.options;
    for (const peer of registry.displacedBy(session, group, false)) {
      refuse(peer, Status.SessionMoved);
    }
  }

  /** Asks a home for those of its sessions that are guests here. */
  private sendCheck(worker: number): void {
    const { engine, links } = this.options;
    const guests = engine.guests().filter((session) => this.homeOf(session) === worker);
    for (let first = 0; first < guests.length; first += SESSIONS_PER_CHECK) {
      const some = guests.slice(first, first + SESSIONS_PER_CHECK);
      links.send(worker, MessageKind.Check, 0, 0, new Uint8Array(some.buffer));
    }
  }

  private onCheck(worker: number, bytes: Uint8Array): void {
    const { engine, effects, clock, links } = this.options;
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.length; at += 8) {
      const session = view.getFloat64(at, true);
      // Forbidden where it is there, and then no sign of life.
      const status = engine.resumeSession(session, NO_DIGEST, clock.now());
      effects.store();
      effects.tell(undefined);
      if (status !== Status.SessionUnknown) continue;
      effects.afterAll(() => {
        links.send(worker, MessageKind.Ended, 0, session, endedBytes(false));
      });
    }
  }

  private broadcast(kind: MessageKind, session: number, bytes: Uint8Array): void {
    const { links, worker } = this.options;
    for (let other = 0; other < links.workers; other++) {
      if (other !== worker) links.send(other, kind, 0, session, bytes);
    }
  }
}

function endedBytes(isAsked: boolean): Uint8Array {
  return Uint8Array.of(isAsked ? 1 : 0);
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}
