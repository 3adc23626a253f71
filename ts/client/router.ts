// Which connection a call leaves over. A node with one worker has one connection, and everything leaves over it. Of
// a node with several, the first connection, to whichever worker took it, tells the routing table; each other
// worker gets a connection to its own port when the first call for it is made. Where that cannot be had (a
// proxy, a page loaded over https) or is not wanted, the first connection carries the call, and the node passes
// it on.

import type { Routing } from '../wire/routing.js';
import { decodeRouting } from '../wire/routing.js';
import { backoffMs } from './backoff.js';
import type { Call } from './call.js';
import { Connection, type ConnectionOwner, isPermanent } from './connection.js';
import { Dispatcher } from './dispatcher.js';
import { RondoError } from './errors.js';
import { Intake } from './intake.js';
import { Lane, type LaneHost, type LaneOptions } from './lane.js';
import type { CallOptions } from './options.js';
import type { Pushes } from './pushes.js';
import { EVERY_WORKER, isOfPrefix, Routes } from './routes.js';
import type { Session } from './session.js';
import type { StatusFeed, Welcome } from './status.js';
import type { Origin } from './watch-token.js';

export interface RouterOptions extends LaneOptions {
  readonly url: string;
  readonly idFirst: number;
  /** Tries in a row of the first connection. */
  readonly attempts: number;
  /** Only the first connection is used. */
  readonly isSingle: boolean;
}

/** What hears of watches' connections, and of workers' comings. */
export interface RouteWatcher extends Pushes {
  /** Operations for a worker may find another way than before. */
  routesChanged(): void;
}

export class Router implements ConnectionOwner, LaneHost {
  readonly intake: Intake;
  /** Of the first connection. */
  readonly dispatcher: Dispatcher;
  readonly session: Session;
  /** Undefined where the node has one worker, or has not said yet. */
  routes: Routes | undefined;
  private watcher: RouteWatcher | undefined;
  private readonly connection: Connection;
  /** The worker that has the first connection, or had it last. */
  private here = 0;
  private readonly lanes = new Map<number, Lane>();
  /** The session that was last told of. */
  private toldSession = 0;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly options: RouterOptions,
    private readonly feed: StatusFeed,
    makeSession: (router: Router) => Session,
  ) {
    this.intake = new Intake(options.idFirst);
    const onSilence = (reason: RondoError): void => this.connection.abandon(reason, true);
    this.dispatcher = new Dispatcher({ ...options, onSilence }, this.intake);
    this.session = makeSession(this);
    this.connection = new Connection(options, this.dispatcher, this.session, this);
  }

  /** Begins to connect; `watcher` hears of pushes. */
  open(watcher: RouteWatcher): void {
    this.watcher = watcher;
    this.dispatcher.pushes = watcher;
    this.connection.open();
  }

  /** Takes a call; its promise tells the end. Never throws. `isPart`: of a whole that has begun. */
  submit<R>(call: Call, options: CallOptions | undefined, isPart: boolean): Promise<R> {
    const { routes } = this;
    const dispatcher = routes === undefined ? this.dispatcher : this.dispatcherFor(call, routes);
    return dispatcher.submit(call, options, isPart);
  }

  private dispatcherFor(call: Call, routes: Routes): Dispatcher {
    const { id } = this.session;
    const worker = routes.workerOf(call, id, this.here);
    call.worker = worker === EVERY_WORKER ? this.here : worker;
    return this.laneOf(call.worker)?.dispatcher ?? this.dispatcher;
  }

  /** The lane that takes calls for a worker; undefined: they go over the first connection. */
  private laneOf(worker: number): Lane | undefined {
    let lane = this.lanes.get(worker);
    if (lane === undefined) {
      const { routes, intake } = this;
      if (worker === this.here || this.options.isSingle) return undefined;
      if (routes?.workers[worker] === undefined || intake.refusal !== undefined) return undefined;
      lane = new Lane(worker, this.options, intake, this.session, this);
      lane.dispatcher.pushes = this.watcher;
      this.lanes.set(worker, lane);
      lane.open();
    }
    return lane.takesCalls ? lane : undefined;
  }

  /** Whether the session's worker can be reached. */
  get isConnected(): boolean {
    return this.dispatcher.isConnected || this.homeLane?.dispatcher.isConnected === true;
  }

  /**
   * When the newest of the frames was sent whose answer shows that the session is alive. Of several workers only
   * that of the session keeps it, so that answers of others say nothing.
   */
  get heardAt(): number {
    return this.routes === undefined ? this.dispatcher.heardAt : 0;
  }

  /** Ids of holds and watches, which live on after their answers: no call gets one of them. */
  get heldIds(): Set<number> {
    return this.intake.outstanding.held;
  }

  /** Whose the positions are that a worker's watches tell. */
  originOf(worker: number, over: Dispatcher): Origin | undefined {
    const { routes } = this;
    const { origin } = over;
    if (origin === undefined || routes === undefined || over.worker === worker) return origin;
    return { node: routes.workers[worker]?.node ?? 0, partitions: routes.partitions };
  }

  /** Whether a call for the worker would leave now. */
  canReach(worker: number): boolean {
    return (this.laneOf(worker)?.dispatcher ?? this.dispatcher).isConnected;
  }

  /** The node has a new routing table. */
  learn(routing: Routing): void {
    if (this.routes?.update(routing) === false) return;
    for (const lane of this.lanes.values()) lane.look();
    this.watcher?.routesChanged();
  }

  /** Takes no new calls: they fail with the code of `reason`. What has begun goes on. */
  refuse(reason: RondoError): void {
    this.intake.draining ??= reason;
    for (const { dispatcher } of this.all()) dispatcher.refuseWaits(reason);
  }

  /** A sign of life was not answered in time: where nothing else came either, its connection counts as dead. */
  giveUpSilent(call: Call, reason: RondoError): void {
    for (const { dispatcher, connection } of this.all()) {
      const isSilent = call.id !== 0 && dispatcher.receivedAt <= call.sentAt;
      if (call.carrier === dispatcher && isSilent) connection.abandon(reason, true);
    }
  }

  /** Makes every connection anew. */
  abandon(reason: RondoError): void {
    for (const { connection } of this.all()) connection.abandon(reason, true);
  }

  /** The session is over; so is what only it could have repeated. */
  sessionLost(reason: RondoError): void {
    for (const { dispatcher } of this.all()) dispatcher.sessionLost(reason);
  }

  /** Ends for good: no more tries, and whatever has no answer fails with CLOSED. Again: the same. */
  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  private async closeOnce(): Promise<void> {
    const closed = this.all().map(({ connection }) => connection.closed());
    this.finish(undefined);
    await Promise.all(closed);
  }

  finish(reason: RondoError | undefined): void {
    if (this.feed.current.state === 'closed' || this.intake.refusal !== undefined) return;
    const end = reason ?? new RondoError('CLOSED', 'the client was closed; connect again');
    this.intake.refusal = end;
    if (this.homeLane?.dispatcher.farewell() !== true) {
      this.all().some(({ dispatcher }) => dispatcher.farewell());
    }
    for (const { dispatcher } of this.all()) dispatcher.shutdown(end);
    this.session.lose(end);
    this.feed.publish({ state: 'closed', reason });
    for (const { connection } of this.all()) connection.stop();
    for (const lane of this.lanes.values()) lane.retire(end);
  }

  // Of the first connection

  url(): string {
    return this.options.url;
  }

  welcomed(welcome: Welcome, resumed: boolean): boolean {
    const routing = decodeRouting(welcome.routing);
    const isSeveral = routing !== undefined && routing.workers.length > 1;
    const moved: Call[] = [];
    const reason = new RondoError('CONNECTION_LOST', 'another connection takes its place');
    const drop = (lane: Lane): void => {
      this.lanes.delete(lane.worker);
      moved.push(...lane.retire(reason));
    };
    const isSame = isSeveral ? this.routes?.update(routing) === true : this.routes === undefined;
    if (!isSame) {
      for (const lane of [...this.lanes.values()]) drop(lane);
      this.routes = isSeveral ? new Routes(routing) : undefined;
    }
    this.here = isSeveral ? welcome.worker : 0;
    // Of a session the node keeps one connection to each worker, the newest; without one a lane goes on.
    const lane = this.lanes.get(this.here);
    if (lane !== undefined && this.session.isWanted) drop(lane);
    this.greeted(this.connection, welcome, resumed);
    this.dispatcher.takeOver(moved);
    if (!isSame) this.reroute();
    return true;
  }

  connected(welcome: Welcome, resumed: boolean): void {
    const id = this.session.id;
    const isSame = resumed && id === this.toldSession;
    this.toldSession = id;
    const session = id === 0 ? undefined : { id, resumed: isSame };
    this.feed.publish({ state: 'connected', welcome, session });
    for (const lane of this.lanes.values()) lane.look();
    if (this.routes !== undefined) this.watcher?.routesChanged();
  }

  received(): void {
    if (this.lanes.size > 0) for (const lane of this.lanes.values()) lane.lookAwaited();
  }

  lost(reason: RondoError, attempt: number): number {
    // What the other connections can carry does not wait for this one.
    for (const lane of this.lanes.values()) {
      if (!lane.isUp) continue;
      lane.dispatcher.takeOver(
        this.dispatcher.recovery.handOver(({ worker }) => worker === lane.worker),
      );
      lane.release();
    }
    const { repeatDelayMsMin, repeatDelayMsMax, random } = this.options;
    const delayMs = backoffMs(attempt, repeatDelayMsMin, repeatDelayMsMax, random);
    this.feed.publish({ state: 'reconnecting', attempt, delayMs, reason });
    return delayMs;
  }

  sessionEnded(reason: RondoError): void {
    this.sessionOver(reason, this.connection);
  }

  isFinal(closeCode: number): boolean {
    return isPermanent(closeCode);
  }

  // Of the lanes

  urlOf(worker: number): string | undefined {
    const { routes, session } = this;
    const to = routes?.workers[worker];
    // A lane resumes a session, and makes none: the first connection does.
    if (to === undefined || !to.isServing || to.port === 0) return undefined;
    if (session.isWanted && session.id === 0) return undefined;
    const url = new URL(this.options.url);
    url.port = String(to.port);
    return url.href;
  }

  laneUp(lane: Lane, welcome: Welcome): void {
    const { dispatcher } = this;
    const ofLane = (call: Call): boolean =>
      call.worker === lane.worker && (!call.isInDoubt || welcome.answersRemembered);
    lane.dispatcher.takeOver(dispatcher.recovery.handOver(ofLane));
    lane.await(this.intake.sentTo(lane.worker, dispatcher));
    this.watcher?.routesChanged();
  }

  laneDown(lane: Lane): void {
    // Whether the worker remembers answers only a welcome tells: that of the first connection where it is to come.
    if (this.dispatcher.isConnected) lane.dispatcher.recovery.decide(true, undefined);
    this.dispatcher.takeOver(lane.dispatcher.recovery.handOver(() => true));
    this.watcher?.routesChanged();
  }

  greeted(by: Connection, { answersRemembered }: Welcome, resumed: boolean): void {
    const { id } = this.session;
    const reason = new RondoError(
      'SESSION_UNKNOWN',
      'the session has ended, and what it held is lost',
    );
    // A later welcome may say that all is remembered, and speaks of what was sent from here on: what was sent before,
    // over whichever connection, and is lost with it, is in doubt.
    if (!answersRemembered) this.intake.forgottenAt = performance.now();
    for (const { connection, dispatcher } of this.all()) {
      if (connection === by) continue;
      // It may be of the session that is no more.
      if (!resumed && connection.session !== id) connection.abandon(reason, true);
      if (!answersRemembered && !dispatcher.isConnected)
        dispatcher.recovery.decide(true, undefined);
    }
  }

  sessionOver(reason: RondoError, by: Connection): void {
    this.session.lose(reason);
    for (const { connection } of this.all()) {
      if (connection !== by) connection.abandon(reason, true);
    }
  }

  private get homeLane(): Lane | undefined {
    const { routes, session } = this;
    if (routes === undefined || session.id === 0) return undefined;
    return this.lanes.get(routes.workerOfSession(session.id));
  }

  private all(): { readonly dispatcher: Dispatcher; readonly connection: Connection }[] {
    const { dispatcher, connection } = this;
    return [{ dispatcher, connection }, ...this.lanes.values()];
  }

  /** Gives every call that waits to the connection that it belongs to now. */
  private reroute(): void {
    const { routes, session, dispatcher } = this;
    const targets = new Map<Dispatcher, Call[]>();
    for (const call of dispatcher.recovery.handOver(() => true)) {
      const worker = routes?.workerOf(call, session.id, this.here) ?? 0;
      if (worker === EVERY_WORKER || (isOfPrefix(call) && call.ttlMs > 0)) {
        // Who has asked did not know of these workers, and asks each of them anew.
        call.resolve(undefined);
        this.intake.settled(call);
        continue;
      }
      call.worker = worker;
      const target = this.laneOf(worker)?.dispatcher ?? dispatcher;
      const calls = targets.get(target);
      if (calls === undefined) targets.set(target, [call]);
      else calls.push(call);
    }
    for (const [target, calls] of targets) target.takeOver(calls);
  }
}
