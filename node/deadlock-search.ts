// The search for deadlocks through several workers, which no engine can see: each knows only the waits for its own
// locks. A wait that has lasted DEADLOCK_DELAY_MS starts a search at its worker: all workers are asked whom its
// session waits for, then whom those wait for, and so on. A cycle may have been put together from moments that
// never were together, so its sessions are asked about once more: a step that is there both times was there all
// the time between, hence all of them at one moment. Then the youngest wait of the cycle is refused.
//
// Two workers that search at the same time see the same cycle and refuse the same wait of it, of which the second
// one finds nothing. A wait is searched for again whenever it has become twice as old: a search gives up where
// a worker goes down, or where there is too much to look at.

import { NOTICE_BYTES_AT } from '../ts/engine/coordination.js';
import { type Engine, OUTCOME_WAITS } from '../ts/engine/engine.js';
import type { Clock, Timer } from './clock.js';
import {
  type Blocker,
  type Cycle,
  cycleText,
  DeadlockGraph,
  readBlockers,
  stepKey,
} from './deadlock-graph.js';
import {
  DEADLOCK_DELAY_MS,
  DEADLOCK_PAIRS_PER_LOOK_MAX,
  DEADLOCK_SESSIONS_ASKED_MAX,
  DEADLOCK_SESSIONS_PER_LOOK_MAX,
  DEADLOCK_STARTS_FILL_MAX,
} from './limits.js';
import { type Links, NOTHING } from './links/links.js';
import { MessageKind } from './links/messages.js';

export interface DeadlockSearchOptions {
  readonly links: Links;
  readonly engine: Pick<Engine, 'outcome' | 'notices' | 'listBlockers'>;
  readonly clock: Clock;
  /** Sessions that have a connection here; only their waits start a search. */
  readonly sessions: () => Iterable<number>;
  /**
   * Has the engine end a wait here (`Engine.refuseWait`), which is not there where another search was faster, and
   * carries out what that leaves. Called in a turn of its own, never from within another call.
   */
  readonly onRefuse: (session: number, id: number, detail: Uint8Array) => void;
}

/** Pairs of a worker; undefined: too many, ask for fewer sessions. */
type Pairs = Blocker[] | undefined;

interface Request {
  readonly worker: number;
  readonly resolve: (pairs: Pairs) => void;
}

export class DeadlockSearch {
  private readonly requests = new Map<number, Request>();
  private lastRequest = 0;
  private timer: Timer | undefined;
  /** Sessions that this pass over all has not come to, and when it and the one before began. */
  private toLookAt: number[] = [];
  private passAt = 0;
  private lastPassAt = 0;
  /** Sessions with waits that are to be searched for. */
  private readonly due = new Set<number>();
  private isSearching = false;
  private isStopped = false;

  constructor(private readonly options: DeadlockSearchOptions) {}

  /** To be called behind calls of the engine: one comparison where no one waits. */
  afterCall(): void {
    if (this.options.engine.outcome[OUTCOME_WAITS] === 0 || this.timer !== undefined) return;
    const { clock, links } = this.options;
    if (links.workers === 1 || this.isStopped) return;
    this.passAt = clock.now();
    this.timer = clock.every(DEADLOCK_DELAY_MS, () => this.look());
  }

  /** Messages of the kinds Blockers, Edges and Refuse. */
  onMessage(worker: number, kind: MessageKind, a: number, b: number, bytes: Uint8Array): void {
    if (this.isStopped) return;
    if (kind === MessageKind.Blockers) {
      const { links } = this.options;
      const sessions = new Float64Array(bytes.slice().buffer);
      const notices = this.listHere(sessions);
      links.send(worker, MessageKind.Edges, a, notices === undefined ? 1 : 0, notices ?? NOTHING);
    } else if (kind === MessageKind.Edges) {
      const request = this.requests.get(a);
      if (request?.worker !== worker) return; // It was given up.
      this.requests.delete(a);
      request.resolve(b === 1 ? undefined : readBlockers(worker, bytes));
    } else if (kind === MessageKind.Refuse) {
      this.options.onRefuse(b, a, bytes.slice());
    }
  }

  /** What it was asked will not be answered; its waits are gone. */
  onDown(worker: number): void {
    for (const [number, request] of this.requests) {
      if (request.worker !== worker) continue;
      this.requests.delete(number);
      request.resolve([]);
    }
  }

  /** No search goes on, and none begins. */
  stop(): void {
    this.isStopped = true;
    this.rest();
    for (const { resolve } of this.requests.values()) resolve([]);
    this.requests.clear();
  }

  /** Until someone waits again. */
  private rest(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.toLookAt = [];
    this.due.clear();
  }

  /** Looks for waits that have lasted long enough, a part of the sessions a turn. */
  private look(): void {
    const { engine, clock, sessions } = this.options;
    if (engine.outcome[OUTCOME_WAITS] === 0) {
      this.rest();
      return;
    }
    const now = clock.now();
    if (this.toLookAt.length === 0) {
      this.lastPassAt = this.passAt;
      this.passAt = now;
      this.toLookAt = Array.from(sessions());
    }
    let [sessionsLeft, pairsLeft] = [DEADLOCK_SESSIONS_PER_LOOK_MAX, DEADLOCK_PAIRS_PER_LOOK_MAX];
    while (this.toLookAt.length > 0 && sessionsLeft > 0 && pairsLeft > 0) {
      const part = this.toLookAt.splice(-DEADLOCK_SESSIONS_ASKED_MAX);
      const pairs = this.blockersHere(part);
      sessionsLeft -= part.length;
      pairsLeft -= pairs.length;
      for (const { session, since } of pairs) {
        if (doublings(now - since) > doublings(this.lastPassAt - since)) this.due.add(session);
      }
    }
    if (this.due.size > 0 && !this.isSearching) void this.searchDue();
  }

  private async searchDue(): Promise<void> {
    this.isSearching = true;
    try {
      while (this.due.size > 0) await this.search();
    } finally {
      this.isSearching = false;
    }
  }

  /** Begins with as many of the sessions that are due as leave room for those that they lead to. */
  private async search(): Promise<void> {
    const graph = new DeadlockGraph();
    const known = new Set<number>();
    const toAsk: number[] = [];
    while (!graph.isFull) {
      const starts = graph.fill <= DEADLOCK_STARTS_FILL_MAX ? this.takeDue(known) : [];
      const asked = starts.length > 0 ? starts : toAsk.splice(0, DEADLOCK_SESSIONS_ASKED_MAX);
      if (asked.length === 0) break;
      for (const pair of await this.ask(asked)) {
        if (!graph.add(pair) || known.has(pair.blocker)) continue;
        known.add(pair.blocker);
        toAsk.push(pair.blocker);
      }
    }
    for (const cycle of graph.cycles()) {
      const sessions = new Set(cycle.map(({ session }) => session));
      const there = new Set((await this.ask(Array.from(sessions))).map(stepKey));
      if (cycle.every((step) => there.has(stepKey(step)))) this.refuse(cycle);
    }
  }

  /** Some of the sessions that are due, which become known; not those that are. */
  private takeDue(known: Set<number>): number[] {
    const taken: number[] = [];
    for (const session of this.due) {
      if (taken.length === DEADLOCK_SESSIONS_ASKED_MAX) break;
      this.due.delete(session);
      if (known.has(session)) continue;
      known.add(session);
      taken.push(session);
    }
    return taken;
  }

  private refuse(cycle: Cycle): void {
    const { links, onRefuse } = this.options;
    const { worker, session, id } = cycle[0]!;
    const detail = new TextEncoder().encode(cycleText(cycle));
    if (worker === links.worker) onRefuse(session, id, detail);
    else links.send(worker, MessageKind.Refuse, id, session, detail);
  }

  /** Whom the sessions wait for, at all workers; without those of one that has too many for one session. */
  private async ask(sessions: readonly number[]): Promise<Blocker[]> {
    const { links } = this.options;
    const answers: Promise<Blocker[]>[] = [];
    for (let worker = 0; worker < links.workers; worker++) {
      if (worker !== links.worker && links.isUp(worker)) {
        answers.push(this.askWorker(worker, sessions));
      }
    }
    const here = this.isStopped ? [] : this.blockersHere(sessions);
    return here.concat(...(await Promise.all(answers)));
  }

  private async askWorker(worker: number, sessions: readonly number[]): Promise<Blocker[]> {
    const pairs = await new Promise<Pairs>((resolve) => {
      const number = (this.lastRequest + 1) >>> 0;
      this.lastRequest = number;
      this.requests.set(number, { worker, resolve });
      const bytes = new Uint8Array(Float64Array.from(sessions).buffer);
      if (this.options.links.send(worker, MessageKind.Blockers, number, 0, bytes)) return;
      this.requests.delete(number);
      resolve([]);
    });
    if (pairs !== undefined || sessions.length === 1) return pairs ?? [];
    const half = sessions.length >> 1;
    const first = await this.askWorker(worker, sessions.slice(0, half));
    return first.concat(await this.askWorker(worker, sessions.slice(half)));
  }

  private blockersHere(sessions: readonly number[]): Blocker[] {
    if (sessions.length === 0) return [];
    const notices = this.listHere(Float64Array.from(sessions));
    if (notices !== undefined) return readBlockers(this.options.links.worker, notices);
    if (sessions.length === 1) return [];
    const half = sessions.length >> 1;
    return this.blockersHere(sessions.slice(0, half)).concat(
      this.blockersHere(sessions.slice(half)),
    );
  }

  /** Notices, valid until the engine's next call; undefined: they had no room. */
  private listHere(sessions: Float64Array): Uint8Array | undefined {
    const { notices } = this.options.engine;
    const count = this.options.engine.listBlockers(sessions);
    if (count < 0) return undefined;
    const view = new DataView(notices.buffer, notices.byteOffset);
    let end = 0;
    for (let at = 0; at < count; at++) end += view.getUint32(end + NOTICE_BYTES_AT, true);
    return notices.subarray(0, end);
  }
}

/** How often a wait has become twice as old, from DEADLOCK_DELAY_MS on; -1: it is younger. */
function doublings(ageMs: number): number {
  return ageMs < DEADLOCK_DELAY_MS ? -1 : Math.floor(Math.log2(ageMs / DEADLOCK_DELAY_MS));
}
