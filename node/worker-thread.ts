// The thread of one of several workers: its engine, log, transport and `Worker`, started and ended as the
// supervisor says. Whatever goes wrong here is reported, and the thread then closes its sockets and its log
// by itself: a thread that is ended from outside with an open uWebSockets.js app takes the process with it.

import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Logger } from 'pino';
import { chooseEngine } from '../ts/engine/load.js';
import { RoutingReader } from '../ts/shared/routing-table.js';
import { realClock } from './clock.js';
import { Tokens } from './config/tokens.js';
import { NodeError } from './errors.js';
import { FIGURES_INTERVAL_MS, THREAD_END_DEADLINE_MS, THREAD_END_ERRORS_MAX } from './limits.js';
import { RingLinks } from './links/ring-links.js';
import type { LogError } from './log/log.js';
import { createLogger, createLoggerTo } from './logger.js';
import { openState, type State } from './state.js';
import {
  type Death,
  type FromThread,
  failureOf,
  type ThreadStart,
  type ToThread,
} from './thread-messages.js';
import { chooseTransport, type TransportChoice } from './transport/load.js';
import type { Transport } from './transport/transport.js';
import { Worker } from './worker.js';

class WorkerThread {
  private readonly logger: Logger;
  private readonly links: RingLinks;
  private readonly routing: RoutingReader;
  private state: State | undefined;
  private transport: Transport | undefined;
  private worker: Worker | undefined;
  private logFailure: LogError | undefined;
  /** `leaving` is the last: nothing is waited for any more but the log. */
  private phase: 'running' | 'stopping' | 'leaving' = 'running';
  /** Errors that nobody caught. */
  private failures = 0;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly port: MessagePort,
    private readonly start: ThreadStart,
  ) {
    this.logger = this.makeLogger();
    const { memory, worker } = start;
    this.routing = new RoutingReader(memory.routing);
    this.links = new RingLinks({ memory, worker, routing: this.routing, clock: realClock });
  }

  async run(): Promise<void> {
    process.on('uncaughtException', (error) => this.fail(error));
    process.on('unhandledRejection', (reason) => this.fail(reason));
    this.port.on('message', (message: ToThread) => this.obey(message));
    try {
      await this.serve();
    } catch (error) {
      this.fail(error);
    }
  }

  private async serve(): Promise<void> {
    const { worker: index, workers, memory, settings, tokenDigests } = this.start;
    const { logger, links, routing } = this;
    const engine = chooseEngine(settings.engine);
    const fabric = { worker: index, workers, memory, routing, links };
    this.state = await openState({
      settings,
      engine,
      clock: realClock,
      logger,
      place: fabric,
      onRecovery: (progress) => this.post({ kind: 'recovery', progress }),
      events: {
        onProgress: () => this.worker?.gate?.onProgress(),
        onFailure: (error) => {
          this.logFailure = error;
          this.worker?.onLogFailure(error);
        },
      },
    });
    const worker = new Worker({
      // The worker's own port; the one that clients know comes with `accept`.
      settings: { ...settings, port: 0 },
      engine,
      transport: this.keptTransport(chooseTransport(settings.transport)),
      tokens: tokenDigests && new Tokens(tokenDigests),
      clock: realClock,
      logger,
      state: this.state,
      fabric,
      onFatal: (error) => this.fail(error),
    });
    this.worker = worker;
    if (this.logFailure !== undefined) throw this.logFailure;
    const port = await worker.start();
    if (this.logFailure !== undefined) throw this.logFailure;
    if (this.phase !== 'running') return;
    worker.figures.beat();
    realClock.every(FIGURES_INTERVAL_MS, () => worker.figures.beat());
    this.post({ kind: 'started', port, node: this.state.node });
  }

  private obey(message: ToThread): void {
    switch (message.kind) {
      case 'accept':
        void this.accept(message.port, message.isShared);
        break;
      case 'stop':
        void this.stop();
        break;
      case 'end':
        void this.leave();
        break;
      case 'die':
        this.die(message.how);
        break;
    }
  }

  private async accept(port: number, isShared: boolean): Promise<void> {
    const { host } = this.start.settings;
    try {
      const listening = (await this.transport?.listen(host, port, { isShared })) ?? 0;
      this.post({ kind: 'accepting', port: listening });
    } catch (error) {
      this.post({ kind: 'refused', failure: failureOf(error) });
    }
  }

  /** Gently; the supervisor asks for it once the worker serves. */
  private async stop(): Promise<void> {
    if (this.phase !== 'running') return;
    this.phase = 'stopping';
    let failure: unknown;
    try {
      await this.worker?.stop();
      await this.closeState();
      failure = this.logFailure;
    } catch (error) {
      failure = error;
    }
    this.post({ kind: 'stopped', failure: failure === undefined ? undefined : failureOf(failure) });
    await this.leave();
  }

  private fail(error: unknown): void {
    if (this.phase === 'running' && this.failures === 0) {
      this.post({ kind: 'failed', failure: failureOf(error) });
      // In a turn of its own: Node goes round for ever where an immediate throws and others are cancelled meanwhile.
      setTimeout(() => void this.leave(), 0);
    } else {
      this.logger.error({ event: 'worker_end', err: error }, 'an error while the worker ends');
      if (this.failures > THREAD_END_ERRORS_MAX) process.exit();
    }
    this.failures++;
  }

  /** Closes all that is open, and ends the thread. */
  private async leave(): Promise<void> {
    if (this.phase === 'leaving') return;
    this.phase = 'leaving';
    setTimeout(() => process.exit(), THREAD_END_DEADLINE_MS);
    this.links.close();
    await this.transport?.close(0);
    // What failed before fails here again.
    await this.closeState().catch(() => undefined);
    process.exit();
  }

  private closeState(): Promise<void> {
    this.closing ??= this.state?.close() ?? Promise.resolve();
    return this.closing;
  }

  private die(how: Death): void {
    const error = new NodeError('WORKER_DIED', `the worker was told to die: ${how}`);
    if (how === 'throw') {
      setImmediate(() => {
        throw error;
      });
    } else if (how === 'reject') {
      void Promise.reject(error);
    } else {
      for (;;);
    }
  }

  /** Keeps hold of the worker's transport, which listens at more than the worker's own port. */
  private keptTransport(choice: TransportChoice): TransportChoice {
    return {
      ...choice,
      create: (options, handler) => {
        const transport = choice.create(options, handler);
        this.transport = transport;
        return transport;
      },
    };
  }

  private makeLogger(): Logger {
    const { settings, sendsLog, worker } = this.start;
    const stream = { write: (line: string) => this.post({ kind: 'line', line }) };
    const logger = sendsLog ? createLoggerTo(stream, settings.logLevel) : createLogger(settings);
    return logger.child({ worker });
  }

  private post(message: FromThread): void {
    this.port.postMessage(message);
  }
}

const data = workerData as { readonly rondoWorker?: ThreadStart } | null;
if (!isMainThread && parentPort !== null && data?.rondoWorker !== undefined) {
  void new WorkerThread(parentPort, data.rondoWorker).run();
}
