// The data plane: one transport, one engine and their connections, run to completion on one thread.
// Holds nothing global: everything comes in through the options, so that each of several threads can
// host one.

import type { Logger } from 'pino';
import {
  type Engine,
  OUTCOME_COUNT,
  OUTCOME_GATE,
  OUTCOME_KEYS,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NEXT,
  OUTCOME_RECORD_BYTES,
} from '../ts/engine/engine.js';
import type { EngineChoice } from '../ts/engine/load.js';
import { frameBytesMaxFor } from '../ts/wire/limits.js';
import { CLOSE_CODE_BASE, Status, statusName } from '../ts/wire/status.js';
import { Backlog, mustPause } from './backlog.js';
import { BadOperations } from './bad-operations.js';
import type { Clock } from './clock.js';
import type { Settings } from './config/settings.js';
import type { Tokens } from './config/tokens.js';
import { ConnectionState, describe, logClose, type Peer, type Send } from './connection.js';
import { Counters } from './counters.js';
import { Expiry } from './expiry.js';
import { Gate } from './gate.js';
import { judgeHello } from './hello.js';
import { Endpoints } from './http/endpoints.js';
import { judgeUpgrade } from './http/upgrade.js';
import {
  FAILURE_LINGER_MS,
  FRAMES_PER_TIMED_FRAME,
  LOGGED_TEXT_MAX,
  PAYLOAD_SLACK_BYTES,
  REFUSAL_REPORT_INTERVAL_MS,
  STOP_DEADLINE_MS,
} from './limits.js';
import type { LogError } from './log/log.js';
import { Overload } from './overload.js';
import { closeReason } from './refusal.js';
import { ReplyViews } from './reply-views.js';
import type { State } from './state.js';
import type { TransportChoice } from './transport/load.js';
import type {
  HttpReply,
  HttpRequest,
  SendOutcome,
  Transport,
  TransportHandler,
  UpgradeAnswer,
  UpgradeRequest,
} from './transport/transport.js';
import { welcomeOf } from './welcome.js';

export interface WorkerOptions {
  readonly settings: Settings;
  readonly engine: EngineChoice;
  readonly transport: TransportChoice;
  /** Undefined: no authentication. */
  readonly tokens: Tokens | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The engine and its log; whoever opened them closes them, when the worker has stopped. */
  readonly state: State;
  /** An invariant is broken: the worker has stopped serving and the process must end. */
  readonly onFatal: (error: unknown) => void;
}

export type WorkerPhase = 'starting' | 'serving' | 'stopping' | 'stopped' | 'failed';

/** The close code of a node that stops (RFC 6455: going away). */
const CLOSE_GOING_AWAY = 1001;

export class Worker implements TransportHandler<ConnectionState> {
  phase: WorkerPhase = 'starting';
  readonly engine: Engine;
  readonly counters = new Counters();
  readonly connections = new Set<Peer>();
  readonly frameBytesMax: number;
  private readonly transport: Transport;
  private readonly replies: ReplyViews;
  private readonly overload: Overload;
  readonly gate: Gate | undefined;
  private readonly endpoints: Endpoints;
  private readonly startedAt: number;
  private timers: readonly { stop(): void }[] = [];
  /** False once a stop has executed what had arrived, and after a failure: frames are dropped. */
  private isExecuting = true;
  /** After a failure of the log: resolves when the peers were told. */
  private failing: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  constructor(readonly options: WorkerOptions) {
    const { settings, clock, logger } = options;
    this.frameBytesMax = frameBytesMaxFor(settings.valueBytesMax);
    const { engine, log, isWaiting } = options.state;
    this.engine = engine;
    this.replies = new ReplyViews(engine.reply);
    this.overload = new Overload({
      frameBytesMax: this.frameBytesMax,
      outstandingMax: settings.outstandingMax,
      counters: this.counters,
      logger,
      send: (peer, reply, operations) => this.send(peer, reply, operations),
      refuse: (peer, status) => this.refuse(peer, status),
    });
    if (log) {
      const overload = this.overload.answer.bind(this.overload);
      const send: Send = (peer, reply, operations) => {
        this.send(peer, reply, operations);
        if (peer.data.backlog !== undefined) this.schedule(peer, peer.data.backlog);
      };
      this.gate = new Gate({ engine, log, isWaiting, clock, logger, send, overload });
    }
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
    const expiry = new Expiry(
      this.engine,
      clock,
      () => this.storeRecords(),
      (error) => this.fail(error),
    );
    let port: number;
    try {
      port = await this.transport.listen(settings.host, settings.port);
    } catch (error) {
      expiry.stop();
      await this.transport.close(0);
      throw error;
    }
    const badOperations = new BadOperations(this.engine, logger);
    const report = clock.every(REFUSAL_REPORT_INTERVAL_MS, () => badOperations.report());
    const stopReport = () => {
      report.cancel();
      badOperations.report();
    };
    this.timers = [expiry, { stop: stopReport }];
    if (this.phase !== 'starting') for (const timer of this.timers) timer.stop();
    else this.phase = 'serving';
    return port;
  }

  /**
   * Takes no new connection, answers the frames that have arrived, waits for the log, and closes each
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
    if (!state.isGreeted) {
      this.greet(peer, message);
    } else if (state.backlog !== undefined) {
      this.defer(peer, state.backlog, message);
    } else {
      const next = this.execute(peer, message, 0);
      if (next > 0) this.postpone(peer, message, next);
    }
  }

  /** Executes a frame from `first` on, up to one reply. The operation to go on with; 0: it is done. */
  private execute(peer: Peer, frame: ArrayBuffer, first: number): number {
    const { engine, counters } = this;
    const { outcome } = engine;
    const { clock } = this.options;
    const isTimed = (counters.frames++ & (FRAMES_PER_TIMED_FRAME - 1)) === 0;
    const startedAt = isTimed ? clock.monotonic() : 0;
    let next = 0;
    try {
      if (first === 0 && this.overload.refuses(peer, frame)) return 0;
      const length = engine.execute(frame, first, clock.now());
      if (length < 0) {
        this.refuse(peer, -length);
        return 0;
      }
      next = outcome[OUTCOME_NEXT] as number;
      if ((outcome[OUTCOME_RECORD_BYTES] as number) > 0) this.storeRecords();
      const append = outcome[OUTCOME_GATE] as number;
      if (append === 0) this.send(peer, this.replies.of(length), next - first);
      else (this.gate as Gate).hold(append, peer, frame, first, next, this.replies.of(length));
    } catch (error) {
      this.fail(error);
    }
    if (isTimed) counters.frameDurations.observe(clock.monotonic() - startedAt);
    return next < (outcome[OUTCOME_COUNT] as number) ? next : 0;
  }

  onUpgrade(request: UpgradeRequest): UpgradeAnswer<ConnectionState> {
    const { settings } = this.options;
    const refusal = judgeUpgrade(request, {
      isServing: this.phase === 'serving',
      connections: this.connections.size,
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
      this.refuse(peer, Status.HelloTimeout);
    });
  }

  onText(peer: Peer): void {
    if (this.isExecuting) this.refuse(peer, Status.TextNotSupported);
  }

  onDrain(peer: Peer): void {
    peer.data.outstanding = 0;
    peer.data.isOverloaded = false;
    // Not from within this event: uWebSockets.js loses track of what is sent there and has to wait.
    if (peer.data.backlog !== undefined) this.schedule(peer, peer.data.backlog);
  }

  onClose(peer: Peer, code: number, reason: string): void {
    this.connections.delete(peer);
    peer.data.helloTimer?.cancel();
    logClose(this.options.logger, peer, code, reason);
  }

  onHttp(request: HttpRequest): HttpReply | Promise<HttpReply> {
    return this.endpoints.answer(request);
  }

  get uptimeMs(): number {
    return Math.floor(this.options.clock.monotonic() - this.startedAt);
  }

  get keys(): number {
    return this.engine.outcome[OUTCOME_KEYS] as number;
  }

  get memoryBytes(): number {
    return this.engine.outcome[OUTCOME_MEMORY_BYTES] as number;
  }

  private greet(peer: Peer, message: ArrayBuffer): void {
    const state = peer.data;
    const { status, hello } = judgeHello(message, state.authorization, this.options.tokens);
    state.client = hello?.client.slice(0, LOGGED_TEXT_MAX) ?? '';
    if (status !== Status.Ok) {
      this.refuse(peer, status);
      return;
    }
    state.isGreeted = true;
    state.helloTimer?.cancel();
    const welcome = welcomeOf(this);
    this.counters.sentBytes += welcome.length;
    peer.send(welcome);
    this.options.logger.debug({ event: 'connection_greeted', ...describe(peer) }, 'client greeted');
  }

  /** Keeps the rest of a frame for later turns. */
  private postpone(peer: Peer, frame: ArrayBuffer, next: number): void {
    if (!peer.isOpen) return;
    peer.data.backlog = new Backlog(frame, next);
    this.schedule(peer, peer.data.backlog);
  }

  /** Keeps a frame that came behind an unfinished one. */
  private defer(peer: Peer, backlog: Backlog, frame: ArrayBuffer): void {
    const bytes = backlog.push(frame);
    if (bytes > this.options.settings.sendBufferBytesMax) this.refuse(peer, Status.SlowReader);
  }

  private schedule(peer: Peer, backlog: Backlog): void {
    if (backlog.isScheduled) return;
    backlog.isScheduled = true;
    this.options.clock.soon(() => {
      backlog.isScheduled = false;
      // Asked in a turn of its own: within a message's, bytes that are about to leave still count.
      if (!mustPause(peer)) this.resume(peer);
    });
  }

  /** One more reply of what a peer is owed. */
  private resume(peer: Peer): void {
    const { backlog } = peer.data;
    if (backlog?.frame === undefined || !peer.isOpen || !this.isExecuting) return;
    backlog.goOn(this.execute(peer, backlog.frame, backlog.next));
    if (backlog.frame === undefined) peer.data.backlog = undefined;
    else this.schedule(peer, backlog);
  }

  /** Hands a reply to the transport. */
  private send(peer: Peer, reply: Uint8Array, operations: number): void {
    const sent = peer.send(reply);
    if (sent !== 'dropped') this.counters.sentBytes += reply.length;
    if (sent !== 'sent') this.await(peer, sent, operations);
  }

  /** A reply waits for the peer to read: counts its operations and bounds its bytes. */
  private await(peer: Peer, sent: SendOutcome, operations: number): void {
    if (!peer.isOpen) return;
    peer.data.outstanding += operations;
    // A reply that a transport drops can't be made good: the connection must not go on without it.
    if (sent === 'dropped' || peer.bufferedBytes > this.options.settings.sendBufferBytesMax) {
      this.refuse(peer, Status.SlowReader);
    }
  }

  /** Closes with `CLOSE_CODE_BASE + status`, and one line for the operator. */
  private refuse(peer: Peer, status: Status): void {
    const reason = closeReason(status, {
      frameBytesMax: this.frameBytesMax,
      sendBufferBytesMax: this.options.settings.sendBufferBytesMax,
      helloDeadlineMs: this.options.settings.helloDeadlineMs,
    });
    const name = statusName(status);
    this.counters.refused[status] = (this.counters.refused[status] ?? 0) + 1;
    this.options.logger.warn(
      { event: 'connection_refused', status: name, reason, ...describe(peer) },
      `connection refused: ${name}`,
    );
    peer.close(CLOSE_CODE_BASE + status, reason);
  }

  /** Gives the log what the engine's last call made. */
  private storeRecords(): void {
    const bytes = this.engine.outcome[OUTCOME_RECORD_BYTES] as number;
    this.counters.recordBytes += bytes;
    if (bytes > 0) this.gate?.store();
  }

  /**
   * The log has failed: what is not durable must not be shown, and nothing more is served. Peers are
   * told, then the process ends.
   */
  onLogFailure(error: LogError): void {
    if (!this.endServing()) return;
    for (const peer of [...this.connections]) this.refuse(peer, Status.LogFailed);
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
    await this.gate?.settle();
    if ((this.phase as WorkerPhase) === 'failed') return;
    for (const peer of [...this.connections]) {
      if (peer.data.held > 0) this.refuse(peer, Status.LogFailed);
      else peer.close(CLOSE_GOING_AWAY, 'the node is stopping; connect again later or elsewhere');
    }
    for (const timer of this.timers) timer.stop();
    await this.transport.close(STOP_DEADLINE_MS);
    if ((this.phase as WorkerPhase) !== 'failed') this.phase = 'stopped';
  }
}
