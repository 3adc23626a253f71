// Several workers as their sessions see them: real homes, registries and greetings over engines and links that are
// models. Whatever happens next is chosen from outside, so that a test can go through every order of it.

import { pino } from 'pino';
import { Backlogs, FRAME_DONE } from '../../node/backlog.js';
import { SimulatedClock } from '../../node/clock.js';
import type { Peer } from '../../node/connection.js';
import type { Effects } from '../../node/effects.js';
import { Greeting } from '../../node/greeting.js';
import { GuestEnds } from '../../node/guest-ends.js';
import type { Links } from '../../node/links/links.js';
import type { MessageKind } from '../../node/links/messages.js';
import { type HomesRouting, livesOf, SessionHomes } from '../../node/session-homes.js';
import { SessionRegistry } from '../../node/session-registry.js';
import type { WelcomeSession } from '../../node/welcome.js';
import { sessionText } from '../../ts/engine/coordination.js';
import type { Engine } from '../../ts/engine/engine.js';
import { WORKER_DOWN, WORKER_SERVING, WORKER_STARTING } from '../../ts/shared/layout.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { Status } from '../../ts/wire/status.js';
import { helloOf } from '../drive/hello.js';
import { FakePeer } from './node-fakes.js';
import {
  DIGEST,
  ModelEngine,
  ModelLog,
  type ModelNode,
  PARTITIONS,
  SECRET,
  sessionAt,
  TTL_MS,
} from './session-homes-model.js';

interface Message {
  /** The lives of both ends as the sender sees them. */
  readonly epochs: readonly [from: number, to: number];
  readonly kind: MessageKind;
  readonly a: number;
  readonly b: number;
  readonly bytes: Uint8Array;
}

/** Another worker: which life of it is, or was last, up; -1: none was. */
interface Seen {
  epoch: number;
  isUp: boolean;
}

/** One life of a worker. */
export class ModelWorker {
  readonly engine: ModelEngine;
  readonly registry: SessionRegistry;
  readonly guestEnds: GuestEnds;
  readonly homes: SessionHomes;
  readonly peers: FakePeer[] = [];
  readonly welcomes = new Map<FakePeer, WelcomeSession>();
  /** The session that each connection came for. */
  private readonly wanted = new Map<FakePeer, number>();
  /** Of the others as this one sees them: their lives, and whether they can be sent to. */
  readonly seen: Seen[];
  private readonly greeting: Greeting;
  private readonly waiting: { append: number; act: () => void }[] = [];

  constructor(
    readonly node: Node,
    readonly index: number,
    readonly epoch: number,
  ) {
    this.engine = new ModelEngine(this.log, node, index);
    this.seen = node.epochs.map(() => ({ epoch: -1, isUp: false }));
    this.registry = new SessionRegistry(livesOf(node.routing));
    const engine = this.engine as unknown as Engine;
    const effects = this.effects();
    const logger = pino({ level: 'silent' });
    const refuse = (peer: Peer, status: Status) => this.refuse(peer, status);
    const { registry } = this;
    const { clock, routing } = node;
    const fail = (error: unknown) => {
      throw error;
    };
    const parts = { engine, effects, registry, clock, logger, worker: index, refuse };
    this.guestEnds = new GuestEnds({ ...parts, fail });
    this.homes = new SessionHomes({
      ...parts,
      partitions: PARTITIONS,
      links: this.links(),
      routing,
      guestEnds: this.guestEnds,
    });
    const execute = () => FRAME_DONE;
    const isExecuting = () => true;
    const backlogs = new Backlogs({ clock, bytesMax: 1_000, isExecuting, execute, refuse });
    this.greeting = new Greeting({
      ...parts,
      homes: this.homes,
      backlogs,
      tokens: undefined,
      sessionsMax: 100,
      welcome: (session) => {
        this.welcome = session;
        return new Uint8Array(1);
      },
      send: (peer) => {
        if (this.welcome !== undefined) {
          this.welcomes.set(peer as unknown as FakePeer, this.welcome);
        }
      },
    });
  }

  private welcome: WelcomeSession | undefined;

  get log(): ModelLog {
    return this.node.logs[this.index] as ModelLog;
  }

  get isSettled(): boolean {
    return this.log.durable === this.log.states.length - 1;
  }

  connect(): FakePeer {
    const peer = new FakePeer(this.node.nextPeer++);
    this.peers.push(peer);
    return peer;
  }

  /** A connection that resumes the session. */
  hello(session: number, group = 0, sessionTtlMs = 0): FakePeer {
    const peer = this.connect();
    this.wanted.set(peer, session);
    const hello = helloOf({ session, group, sessionTtlMs, sessionSecret: SECRET });
    this.greeting.answer(peer.asPeer, hello);
    return peer;
  }

  open(group = 0): FakePeer {
    const peer = this.connect();
    this.greeting.answer(peer.asPeer, helloOf({ group, sessionTtlMs: TTL_MS }));
    return peer;
  }

  /** A channel for a connection of another worker. */
  channel(session: number, digest: Uint8Array, group: number): FakePeer {
    const peer = this.connect();
    this.wanted.set(peer, session);
    this.homes.attach(session, digest, group, (status) => {
      if (!peer.isOpen) return;
      if (status !== Status.Ok) this.refuse(peer.asPeer, status);
      else this.registry.bind(peer.asPeer, { session, digest, group, isChannel: true });
    });
    return peer;
  }

  close(peer: FakePeer): void {
    peer.isOpen = false;
    this.registry.unbind(peer.asPeer);
  }

  /** All that was appended is durable. */
  settle(): void {
    this.log.durable = this.log.states.length - 1;
    for (const { act } of this.waiting.splice(0)) act();
  }

  end(session: number): void {
    this.engine.end(session);
    this.tell();
  }

  private refuse(peer: Peer, status: Status): void {
    const fake = peer as unknown as FakePeer;
    const session = this.wanted.get(fake) ?? 0;
    if (status === Status.SessionUnknown && this.node.isThere(session)) {
      throw new Error(`session ${session} was said to be unknown before its end was durable`);
    }
    fake.refuse(status);
    this.registry.unbind(peer);
  }

  private after(act: () => void): void {
    if (this.isSettled) act();
    else this.waiting.push({ append: this.log.states.length - 1, act });
  }

  private disconnect(session: number): void {
    for (const peer of this.registry.end(session)) {
      this.after(() => this.refuse(peer, Status.SessionUnknown));
    }
  }

  private tell(): void {
    for (const session of this.engine.ended.splice(0)) {
      if (!this.homes.isHome(session)) continue;
      this.disconnect(session);
      this.after(() => this.homes.onEnded(session, false));
    }
  }

  private effects(): Effects {
    return {
      store: () => undefined,
      tell: () => this.tell(),
      after: (_: unknown, __: number, act: () => void) => this.after(act),
      afterAll: (act: () => void) => this.after(act),
      disconnect: (session: number) => this.disconnect(session),
    } as unknown as Effects;
  }

  private links(): Links {
    const { node, index } = this;
    return {
      worker: index,
      workers: node.workers,
      isUp: (worker) => this.seen[worker]?.isUp === true,
      send: (worker, kind, a, b, bytes = new Uint8Array(0)) => {
        const seen = this.seen[worker];
        if (seen?.isUp !== true) return false;
        const epochs = [this.epoch, seen.epoch] as const;
        node.queue(index, worker).push({ epochs, kind, a, b, bytes: bytes.slice() });
        return true;
      },
      waitingBytes: () => 0,
    };
  }
}

export class Node implements ModelNode {
  readonly clock = new SimulatedClock();
  readonly logs: ModelLog[];
  readonly epochs: number[];
  readonly states: number[];
  readonly alive: (ModelWorker | undefined)[];
  readonly routing: HomesRouting;
  nextPeer = 1;
  private readonly queues: Message[][];

  constructor(readonly workers: number) {
    const each = <T>(make: (index: number) => T) =>
      Array.from({ length: workers }, (_, i) => make(i));
    this.logs = each(() => new ModelLog());
    this.epochs = each(() => 1);
    this.states = each(() => WORKER_SERVING);
    this.queues = Array.from({ length: workers * workers }, () => []);
    this.routing = {
      workers,
      owners: Uint16Array.from({ length: PARTITIONS }, (_, partition) => partition % workers),
      refresh: () => true,
      stateOf: (worker) => this.states[worker] as number,
      epochOf: (worker) => this.epochs[worker] as number,
    };
    this.alive = each((index) => new ModelWorker(this, index, 1));
    for (const worker of this.alive) worker?.homes.start();
    this.drain();
  }

  homeOf(session: number): number {
    const text = Buffer.from(sessionText(session));
    return this.routing.owners[partitionOfKey(text, 0, text.length, PARTITIONS)] as number;
  }

  isThere(session: number): boolean {
    const { states, durable } = this.logs[this.homeOf(session)] as ModelLog;
    return states[durable]?.sessions.has(session) === true;
  }

  /** How often a worker's log says that all that a session held there was freed. */
  freed(worker: number, session: number): number {
    const held = (this.logs[worker] as ModelLog).states.map(({ holds }) => holds.has(session));
    return held.filter((isHeld, at) => !isHeld && held[at - 1] === true).length;
  }

  worker(index: number): ModelWorker {
    const worker = this.alive[index];
    if (worker === undefined) throw new Error(`worker ${index} is not there`);
    return worker;
  }

  queue(from: number, to: number): Message[] {
    return this.queues[from * this.workers + to] as Message[];
  }

  /** A session that lasts, whose secret is SECRET, made over a connection that is gone. */
  session(home: number, number = 1): number {
    const worker = this.worker(home);
    const id = sessionAt(home, this.workers, number);
    worker.engine.openSession(id, TTL_MS, DIGEST);
    worker.settle();
    return id;
  }

  /** What can happen by itself: a message arrives, a log gets on, a worker sees how another one is. */
  steps(): (() => void)[] {
    const steps: (() => void)[] = [];
    for (const worker of this.alive) {
      if (worker === undefined) continue;
      if (!worker.isSettled) steps.push(() => worker.settle());
      for (let other = 0; other < this.workers; other++) {
        if (other === worker.index) continue;
        if (this.queue(other, worker.index).length > 0)
          steps.push(() => this.deliver(other, worker));
        if (this.isStale(worker, other)) steps.push(() => this.look(worker, other));
      }
    }
    return steps;
  }

  /** All of it, and what timers bring, until nothing is left. */
  drain(): void {
    for (let quiet = 0; quiet < 3; quiet++) {
      for (let steps = this.steps(); steps.length > 0; steps = this.steps()) {
        quiet = 0;
        (steps[0] as () => void)();
      }
      this.clock.advance(1_000);
    }
  }

  crash(index: number): void {
    const log = this.logs[index] as ModelLog;
    log.states.length = log.durable + 1;
    this.alive[index]?.guestEnds.stop();
    this.alive[index] = undefined;
    this.states[index] = WORKER_DOWN;
  }

  /** It comes back in two steps: it runs, and it serves. */
  restart(index: number): void {
    this.epochs[index] = (this.epochs[index] as number) + 1;
    this.states[index] = WORKER_STARTING;
    // A reader that starts anew passes over what was for the old one.
    for (let from = 0; from < this.workers; from++) this.queue(from, index).length = 0;
    const worker = new ModelWorker(this, index, this.epochs[index] as number);
    this.alive[index] = worker;
    worker.homes.start();
  }

  serve(index: number): void {
    if (this.alive[index] !== undefined) this.states[index] = WORKER_SERVING;
  }

  /** A link is up while both serve, until one of them starts anew. */
  private isStale(worker: ModelWorker, other: number): boolean {
    const { epoch, isUp } = worker.seen[other] as Seen;
    const isNew = epoch !== this.epochs[other];
    if (isUp) return isNew || this.states[other] !== WORKER_SERVING;
    const bothServe = [worker.index, other].every((at) => this.states[at] === WORKER_SERVING);
    return isNew && bothServe;
  }

  private look(worker: ModelWorker, other: number): void {
    const seen = worker.seen[other] as Seen;
    if (seen.isUp && this.isStale(worker, other)) {
      seen.isUp = false;
      worker.homes.onDown(other);
    }
    if (seen.isUp || !this.isStale(worker, other)) return;
    seen.epoch = this.epochs[other] as number;
    seen.isUp = true;
    worker.homes.onUp(other);
  }

  private deliver(from: number, to: ModelWorker): void {
    const { epochs, kind, a, b, bytes } = this.queue(from, to.index).shift() as Message;
    const seen = to.seen[from] as Seen;
    const isCurrent = () => seen.isUp && epochs[0] === seen.epoch && epochs[1] === to.epoch;
    // Whoever sends knows that both serve: this one may only not have looked.
    if (!isCurrent()) this.look(to, from);
    if (isCurrent()) to.homes.onMessage(from, kind, a, b, bytes);
  }
}

/** What must be so of a session when nothing is under way any more. */
export function check(node: Node, session: number): string[] {
  const faults: string[] = [];
  const isThere = node.worker(node.homeOf(session)).engine.sessions.has(session);
  const groups = new Set<number>();
  for (const { engine, registry, peers, index, welcomes } of node.alive as ModelWorker[]) {
    if (!isThere && engine.holds.has(session)) faults.push(`holds at ${index} are left`);
    if (!isThere && engine.known.has(session)) faults.push(`a guest at ${index} is left`);
    let direct = 0;
    for (const peer of peers) {
      if (!peer.isOpen) continue;
      const binding = registry.bindingOf(peer.asPeer);
      if (binding === undefined) {
        faults.push(`connection ${peer.id} at ${index} was not answered`);
      } else if (binding.session === session) {
        if (!isThere) faults.push(`connection ${peer.id} at ${index} is of no session`);
        groups.add(binding.group);
        if (!binding.isChannel && ++direct > 1) faults.push(`more than one connection at ${index}`);
        if (!binding.isChannel && !welcomes.has(peer)) faults.push(`no welcome at ${index}`);
      }
    }
  }
  if (groups.size > 1) faults.push(`groups ${[...groups]} share the session`);
  return faults;
}
