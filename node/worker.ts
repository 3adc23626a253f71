// The data plane: one transport, one engine and their connections, run to completion on one thread.
// Holds nothing global: everything comes in through the options, so that each of several threads can
// host one.

import {
  type Engine,
  INPUT_FORWARDED,
  INPUT_SESSION,
  OUTCOME_COUNT,
  OUTCOME_FORWARD_BYTES,
  OUTCOME_GATE,
  OUTCOME_KEYS,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NEXT,
} from '../ts/engine/engine.js';
import { VECTOR_LENGTH_AT } from '../ts/wire/layout.js';
import { frameBytesMaxFor } from '../ts/wire/limits.js';
import { Status } from '../ts/wire/status.js';
import { type Backlogs, FRAME_DONE } from './backlog.js';
import { BadOperations } from './bad-operations.js';
import { ConnectionState, logClose, type Peer } from './connection.js';
import type { Counters } from './counters.js';
import type { Delivery } from './delivery.js';
import type { Effects } from './effects.js';
import { Expiry } from './expiry.js';
import { Figures } from './figures.js';
import type { Gate } from './gate.js';
import type { Greeting } from './greeting.js';
import type { GuestEnds } from './guest-ends.js';
import { Endpoints } from './http/endpoints.js';
import { judgeUpgrade } from './http/upgrade.js';
import {
  FAILURE_LINGER_MS,
  FRAMES_PER_TIMED_FRAME,
  PAYLOAD_SLACK_BYTES,
  REFUSAL_REPORT_INTERVAL_MS,
  STOP_DEADLINE_MS,
} from './limits.js';
import type { Exchange } from './links/exchange.js';
import type { LogError } from './log/log.js';
import type { Overload } from './overload.js';
import { ReplyViews } from './reply-views.js';
import type { SessionRegistry } from './session-registry.js';
import type {
  HttpReply,
  HttpRequest,
  Transport,
  TransportHandler,
  UpgradeAnswer,
  UpgradeRequest,
} from './transport/transport.js';
import type { Watches } from './watch/watches.js';
import { welcomeOf } from './welcome.js';
import type { WorkerOptions } from './worker-options.js';
import { makeWorkerParts } from './worker-parts.js';

export type WorkerPhase = 'starting' | 'serving' | 'stopping' | 'stopped' | 'failed';

/** The close code of a node that stops (RFC 6455: going away). */
const CLOSE_GOING_AWAY = 1001;

export class Worker implements TransportHandler<ConnectionState> {
  phase: WorkerPhase = 'starting';
  readonly engine: Engine;
  readonly figures: Figures;
  readonly counters: Counters;
  /** Where it listens; 0 before that. */
  port = 0;
  readonly connections = new Set<Peer>();
  readonly frameBytesMax: number;
  readonly sessions: SessionRegistry;
  readonly watches: Watches;
  readonly gate: Gate | undefined;
  /** Told apart from every other node and every log. */
  readonly node: number;
  private readonly transport: Transport;
  private readonly replies: ReplyViews;
  private readonly replyView: DataView;
  private readonly delivery: Delivery;
  private readonly overload: Overload;
  private readonly backlogs: Backlogs;
  private readonly effects: Effects;
  private readonly greeting: Greeting;
  private readonly guestEnds: GuestEnds;
  /** Undefined where there is one worker. */
  private readonly exchange: Exchange | undefined;
  private readonly endpoints: Endpoints;
  private readonly startedAt: number;
  private expiry: Expiry | undefined;
  private timers: readonly { stop(): void }[] = [];
  /** False once a stop has executed what had arrived, and after a failure: frames are dropped. */
  private isExecuting = true;
  /** After a failure of the log: resolves when the peers were told. */
  private failing: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  constructor(readonly options: WorkerOptions) {
    const { settings, clock } = options;
    this.frameBytesMax = frameBytesMaxFor(settings.valueBytesMax);
    const figures = new Figures(this, options.fabric);
    this.figures = figures;
    this.counters = figures.counters;
    const { engine } = options.state;
    this.engine = engine;
    this.node = options.state.node;
    this.replies = new ReplyViews(engine.reply);
    this.replyView = new DataView(engine.reply.buffer, engine.reply.byteOffset);
    const parts = makeWorkerParts({
      options,
      frameBytesMax: this.frameBytesMax,
      figures,
      execute: (peer, frame, first) => this.execute(peer, frame, first),
      take: (peer, frame) => this.take(peer, frame),
      isExecuting: (peer) => this.isExecutingOf(peer),
      afterCall: () => this.afterCall(),
      hasten: () => this.expiry?.hasten(),
      welcome: (session) => welcomeOf(this, session),
      onDrain: (peer) => this.onDrain(peer),
      onClose: (peer, code, reason) => this.onClose(peer, code, reason),
      fail: (error) => this.fail(error),
    });
    this.sessions = parts.sessions;
    this.watches = parts.watches;
    this.gate = parts.gate;
    this.delivery = parts.delivery;
    this.overload = parts.overload;
    this.backlogs = parts.backlogs;
    this.effects = parts.effects;
    this.greeting = parts.greeting;
    this.guestEnds = parts.guestEnds;
    this.exchange = parts.exchange;
    this.endpoints = new Endpoints(this);
    this.transport = options.transport.create<ConnectionState>(
      { payloadBytesMax: this.frameBytesMax + PAYLOAD_SLACK_BYTES },
      this,
    );
    this.startedAt = clock.monotonic();
  }

  /**
   * Returns the port. Rejects with `NodeError`: `PORT_IN_USE` or `LISTEN_FAILED`. Does not serve where
   * `onFatal` is called meanwhile.
   */
  async start(): Promise<number> {
    const { settings, clock, logger } = this.options;
    const afterStep = () => this.afterCall();
    const expiry = new Expiry(this.engine, clock, afterStep, (error) => this.fail(error));
    this.expiry = expiry;
    try {
      this.port = await this.transport.listen(settings.host, settings.port);
    } catch (error) {
      expiry.stop();
      this.watches.stop();
      this.exchange?.close();
      await this.transport.close(0);
      throw error;
    }
    const badOperations = new BadOperations(this.engine, logger);
    const report = clock.every(REFUSAL_REPORT_INTERVAL_MS, () => badOperations.report());
    const stopReport = () => {
      report.cancel();
      badOperations.report();
    };
    // With one worker all sessions are of this one, and so are their ends.
    if (this.exchange === undefined) this.guestEnds.start(() => true);
    else this.exchange.open();
    this.timers = [expiry, this.guestEnds, this.watches, { stop: stopReport }];
    if (this.phase !== 'starting') for (const timer of this.timers) timer.stop();
    else this.phase = 'serving';
    return this.port;
  }

  /**
   * Takes no new connection, answers the frames that have arrived, waits for other workers and the log, and closes each
   * connection with 1001 behind its last reply; peers have STOP_DEADLINE_MS to take them. An operation without a
   * reply at a 1001 was not executed; where the log did not take it in time, the close is LOG_FAILED. Called
   * again, returns the same promise.
   */
  stop(): Promise<void> {
    this.stopping ??= this.stopOnce();
    return this.stopping;
  }

  // The hot path: one engine call and one send a frame.
  onMessage(peer: Peer, message: ArrayBuffer): void {
    const state = peer.data;
    if (!this.isExecuting) return;
    this.counters.receivedBytes += message.byteLength;
    if (state.isGreeted) this.take(peer, message);
    else this.greet(peer, message);
  }

  /** Executes a frame of a socket here or at another worker, or has it wait behind earlier ones. */
  private take(peer: Peer, frame: ArrayBuffer): void {
    const { backlog } = peer.data;
    if (backlog !== undefined) {
      this.backlogs.defer(peer, backlog, frame);
    } else {
      const next = this.execute(peer, frame, 0);
      if (next !== FRAME_DONE) this.backlogs.postpone(peer, frame, next);
    }
  }

  /** Executes a frame from `first` on, up to one reply. The operation to go on with, or FRAME_DONE. */
  private execute(peer: Peer, frame: ArrayBuffer, first: number): number {
    const { engine, counters } = this;
    const { outcome } = engine;
    const { clock } = this.options;
    const isTimed = (counters.frames++ & (FRAMES_PER_TIMED_FRAME - 1)) === 0;
    const startedAt = isTimed ? clock.monotonic() : 0;
    let next = 0;
    let count = 0;
    try {
      if (peer.data.isUnheard) this.sessions.hear(peer);
      if (first === 0 && this.overload.refuses(peer, frame)) {
        this.greeting.renew(peer);
        return FRAME_DONE;
      }
      engine.input[INPUT_SESSION] = peer.data.session;
      engine.input[INPUT_FORWARDED] = peer.data.forwarded;
      const length = engine.execute(frame, first, clock.now());
      if (length < 0) {
        this.delivery.refuse(peer, -length);
        return FRAME_DONE;
      }
      next = outcome[OUTCOME_NEXT] as number;
      count = outcome[OUTCOME_COUNT] as number;
      this.effects.store();
      if ((outcome[OUTCOME_FORWARD_BYTES] as number) > 0) this.exchange?.forward(peer);
      this.reply(peer, length, next - first);
      this.effects.tell(peer);
      this.exchange?.afterCall();
    } catch (error) {
      this.fail(error);
    }
    if (isTimed) counters.frameDurations.observe(clock.monotonic() - startedAt);
    return next < count ? next : FRAME_DONE;
  }

  /** Whether frames that wait of this peer are executed. */
  private isExecutingOf({ data }: Peer): boolean {
    return data.forwarded === 0 ? this.isExecuting : this.exchange?.isServing === true;
  }

  /** What follows a call of the engine that is no frame of a peer. */
  private afterCall(): void {
    this.effects.store();
    this.effects.tell(undefined);
    this.exchange?.afterCall();
  }

  /** Hands on the engine's reply to so many operations, some of which may be answered later. */
  private reply(peer: Peer, length: number, operations: number): void {
    const results = this.replyView.getUint32(VECTOR_LENGTH_AT, true);
    if (results === 0) return;
    const reply = this.replies.of(length);
    // What waits has no result: it must not count as a reply that the peer leaves unread.
    const answered = Math.min(operations, results);
    const append = this.engine.outcome[OUTCOME_GATE] as number;
    if (append === 0) this.delivery.send(peer, reply, answered);
    else (this.gate as Gate).hold(append, peer, reply, answered, this.effects.hasChanged);
  }

  onUpgrade(request: UpgradeRequest): UpgradeAnswer<ConnectionState> {
    const { settings } = this.options;
    const refusal = judgeUpgrade(request, {
      isServing: this.phase === 'serving',
      connections: this.figures.connections(),
      connectionsMax: settings.connectionsMax,
      allowOrigin: settings.allowOrigin,
    });
    if (!refusal) return { data: new ConnectionState(request.authorization) };
    return { refusal: this.endpoints.refuseUpgrade(request, refusal) };
  }

  onOpen(peer: Peer): void {
    const { clock, settings } = this.options;
    this.connections.add(peer);
    this.counters.connections++;
    peer.data.helloTimer = clock.after(settings.helloDeadlineMs, () => {
      this.delivery.refuse(peer, Status.HelloTimeout);
    });
  }

  onText(peer: Peer): void {
    if (this.isExecuting) this.delivery.refuse(peer, Status.TextNotSupported);
  }

  onDrain(peer: Peer): void {
    peer.data.outstanding = 0;
    peer.data.isOverloaded = false;
    // Not from within this event: uWebSockets.js loses track of what is sent there and has to wait.
    this.backlogs.schedule(peer);
    this.watches.onDrain(peer);
    this.exchange?.onDrain(peer);
  }

  onClose(peer: Peer, code: number, reason: string): void {
    this.connections.delete(peer);
    peer.data.helloTimer?.cancel();
    this.sessions.unbind(peer);
    this.watches.onClose(peer);
    this.exchange?.onClose(peer);
    logClose(this.options.logger, peer, code, reason);
  }

  onHttp(request: HttpRequest): HttpReply | Promise<HttpReply> {
    return this.endpoints.answer(request);
  }

  get uptimeMs(): number {
    return Math.floor(this.options.clock.monotonic() - this.startedAt);
  }

  get keys(): number {
    return this.outcomeOf(OUTCOME_KEYS);
  }

  get memoryBytes(): number {
    return this.outcomeOf(OUTCOME_MEMORY_BYTES);
  }

  /** A figure of the engine's last call, by OUTCOME_*. */
  outcomeOf(index: number): number {
    return this.engine.outcome[index] as number;
  }

  private greet(peer: Peer, message: ArrayBuffer): void {
    const routing = this.options.fabric?.routing;
    if (routing !== undefined) {
      routing.refresh();
      // The welcome has this version or a later one, of which the peer may be told once more.
      peer.data.routingVersion = routing.version;
    }
    try {
      this.greeting.greet(peer, message);
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * The log has failed: what is not durable must not be shown, and nothing more is served. Peers are
   * told, then the process ends.
   */
  onLogFailure(error: LogError): void {
    if (!this.endServing()) return;
    for (const peer of [...this.connections]) this.delivery.refuse(peer, Status.LogFailed);
    const end = () => this.options.onFatal(error);
    this.failing = this.transport.close(FAILURE_LINGER_MS).then(end, end);
  }

  /** What the engine holds can no longer be trusted: nothing is served from here on. */
  private fail(error: unknown): void {
    if (this.endServing()) this.options.onFatal(error);
  }

  /** False where serving has ended before. */
  private endServing(): boolean {
    if (this.phase === 'failed' || this.phase === 'stopped') return false;
    this.phase = 'failed';
    this.isExecuting = false;
    this.exchange?.close();
    this.transport.stopAccepting();
    for (const timer of this.timers) timer.stop();
    return true;
  }

  private async stopOnce(): Promise<void> {
    if (this.phase !== 'failed') await this.stopServing();
    await this.failing;
  }

  private async stopServing(): Promise<void> {
    this.phase = 'stopping';
    this.transport.stopAccepting();
    // Two turns of the event loop: frames that the sockets already hold are read and answered.
    for (let turn = 0; turn < 2; turn++) {
      await new Promise<void>((resolve) => this.options.clock.soon(resolve));
    }
    // What was executed from here on might not get its reply.
    this.isExecuting = false;
    await this.exchange?.settle();
    if ((this.phase as WorkerPhase) === 'failed') return;
    // What falls due from here on is left to the next start: its answers would not be durable in time.
    for (const timer of this.timers) timer.stop();
    await this.gate?.settle();
    if ((this.phase as WorkerPhase) === 'failed') return;
    this.exchange?.close();
    for (const peer of [...this.connections]) {
      if (peer.data.held > 0) this.delivery.refuse(peer, Status.LogFailed);
      else peer.close(CLOSE_GOING_AWAY, 'the node is stopping; connect again later or elsewhere');
    }
    await this.transport.close(STOP_DEADLINE_MS);
    if ((this.phase as WorkerPhase) !== 'failed') this.phase = 'stopped';
  }
}
