// A connection to one worker's own port, beside the client's first one. Calls for the worker go over it while it is
// up, or may soon be; otherwise they go over the first connection, whose worker passes them on. What was sent
// the one way is answered before anything goes the other, so that calls keep their order.

import { CLOSE_CODE_BASE, Status } from '../wire/status.js';
import { backoffMs } from './backoff.js';
import { type Call, SENT, UNSENT } from './call.js';
import {
  CLOSE_NORMAL,
  Connection,
  type ConnectionOptions,
  type ConnectionOwner,
} from './connection.js';
import { Dispatcher } from './dispatcher.js';
import type { RondoError } from './errors.js';
import type { Intake } from './intake.js';
import type { DispatcherOptions } from './options.js';
import type { Session } from './session.js';
import type { Welcome } from './status.js';

/** Milliseconds that calls wait for a connection of their own before they go the other way. */
const OPEN_MS_MAX = 300;
/** Tries to make a lost connection again before calls go the other way. */
const RESUME_TRIES_MAX = 3;
/** Milliseconds between two tries while calls go the other way. */
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;

export interface LaneOptions extends Omit<DispatcherOptions, 'onSilence'>, ConnectionOptions {}

/** What a lane needs of the router. */
export interface LaneHost {
  /** Where the worker listens by itself; undefined where there is no use in trying. */
  urlOf(worker: number): string | undefined;
  /** It is up: what is unsent elsewhere may come over, and what was sent is to be awaited. */
  laneUp(lane: Lane, welcome: Welcome): void;
  /** Its calls go over the first connection from now on. */
  laneDown(lane: Lane): void;
  /** A welcome that fits has come over one of the connections. */
  greeted(by: Connection, welcome: Welcome, resumed: boolean): void;
  sessionOver(reason: RondoError, by: Connection): void;
  finish(reason: RondoError | undefined): void;
}

export class Lane implements ConnectionOwner {
  readonly dispatcher: Dispatcher;
  readonly connection: Connection;
  /** Whether calls for the worker are given to this lane. */
  takesCalls: boolean;
  isUp = false;
  private wasUp = false;
  /** Tries that have failed since it was up. */
  private tries = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** What went the other way and has no answer yet. */
  private awaited: Call[] = [];

  constructor(
    readonly worker: number,
    private readonly options: LaneOptions,
    private readonly intake: Intake,
    session: Session,
    private readonly host: LaneHost,
  ) {
    const onSilence = (reason: RondoError): void => this.connection.abandon(reason, true);
    this.dispatcher = new Dispatcher({ ...options, onSilence }, intake);
    // However often it fails there is another way.
    const attempts = Number.POSITIVE_INFINITY;
    this.connection = new Connection({ ...options, attempts }, this.dispatcher, session, this);
    // Who does not wait for a connection does not wait for this one.
    this.takesCalls = !options.failFast;
  }

  /** Tries now. */
  open(): void {
    if (this.isUp || this.connection.isOpening) return;
    if (this.host.urlOf(this.worker) === undefined) {
      this.fallBack();
      return;
    }
    clearTimeout(this.timer);
    if (this.takesCalls) this.timer = setTimeout(() => this.fallBack(), OPEN_MS_MAX);
    this.connection.open();
  }

  /** The routing table, or the session, is another: what was in vain may not be any more. */
  look(): void {
    if (this.isUp) return;
    if (this.host.urlOf(this.worker) !== undefined) this.open();
    else if (this.takesCalls) this.fallBack();
  }

  /** Ends it. Returns what it has not sent, or may send again. */
  retire(reason: RondoError): Call[] {
    clearTimeout(this.timer);
    this.connection.stop();
    if (this.isUp) this.dispatcher.detach(reason, true);
    else this.dispatcher.noteAbsence(reason);
    this.isUp = false;
    const { recovery } = this.dispatcher;
    const calls = recovery.handOver(() => true);
    this.intake.forget(recovery.queue);
    return calls;
  }

  /** Sends nothing before these have been answered. */
  await(calls: Call[]): void {
    this.awaited = calls;
    this.dispatcher.isHeld = calls.length > 0;
  }

  /** Looks whether what it waits for has been answered, over another connection than this one's. */
  lookAwaited(): void {
    if (!this.dispatcher.isHeld) return;
    this.awaited = this.awaited.filter(({ state, id, carrier }) => {
      return state === SENT || (state === UNSENT && id !== 0 && carrier !== this.dispatcher);
    });
    if (this.awaited.length === 0) this.release();
  }

  release(): void {
    this.awaited = [];
    this.dispatcher.release();
  }

  // Of its connection

  url(): string | undefined {
    return this.host.urlOf(this.worker);
  }

  welcomed(welcome: Welcome, resumed: boolean): boolean {
    this.host.greeted(this.connection, welcome, resumed);
    return welcome.worker === this.worker && welcome.routing.length > 0;
  }

  connected(welcome: Welcome): void {
    clearTimeout(this.timer);
    this.isUp = true;
    this.wasUp = true;
    this.tries = 0;
    this.takesCalls = true;
    this.host.laneUp(this, welcome);
  }

  received(): void {
    // Only what was sent over the first connection is waited for.
  }

  lost(_reason: RondoError, attempt: number): number {
    if (!this.isUp) this.tries++;
    this.isUp = false;
    this.release();
    const triesMax = this.wasUp ? RESUME_TRIES_MAX : 0;
    const { failFast, random, repeatDelayMsMin, repeatDelayMsMax } = this.options;
    const isInVain = this.tries > triesMax || failFast || this.url() === undefined;
    if (this.takesCalls && isInVain) this.fallBack();
    return this.takesCalls
      ? backoffMs(attempt, repeatDelayMsMin, repeatDelayMsMax, random)
      : backoffMs(attempt, RETRY_MS_MIN, RETRY_MS_MAX, random);
  }

  sessionEnded(reason: RondoError): void {
    this.host.sessionOver(reason, this.connection);
  }

  finish(reason: RondoError | undefined): void {
    this.host.finish(reason);
  }

  isFinal(closeCode: number): boolean {
    const status = closeCode - CLOSE_CODE_BASE;
    // The first connection has come to the same worker.
    if (closeCode === CLOSE_NORMAL) this.tries = Infinity;
    return status === Status.SessionMoved || status === Status.SessionForbidden;
  }

  private fallBack(): void {
    clearTimeout(this.timer);
    if (this.isUp) return;
    this.takesCalls = false;
    this.host.laneDown(this);
  }
}
