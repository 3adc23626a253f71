// Several workers in one process: the main thread places the partitions on them, starts a thread for each, tells
// all by the routing table which of them serve, and starts again the one that dies while the others go on. It
// serves nothing itself. Where workers die again and again, or one does not come back to its event loop, what
// is wrong is not the worker: the process ends with the reason.

import type { Logger } from 'pino';
import type { EngineChoice } from '../ts/engine/load.js';
import { placePartitions } from '../ts/engine/ring.js';
import { Doorbell } from '../ts/shared/doorbell.js';
import {
  WORKER_DOWN,
  WORKER_SERVING,
  WORKER_STARTING,
  WORKER_STOPPING,
} from '../ts/shared/layout.js';
import { makeSharedMemory } from '../ts/shared/memory.js';
import { RoutingWriter } from '../ts/shared/routing-table.js';
import type { Clock, Timer } from './clock.js';
import { parseDurability } from './config/durability.js';
import type { Settings } from './config/settings.js';
import type { Tokens } from './config/tokens.js';
import { FIGURES_LENGTH, retire } from './counters.js';
import { NodeError } from './errors.js';
import { HangWatch } from './hang-watch.js';
import {
  ABANDON_DEADLINE_MS,
  DEATH_WINDOW_MS,
  DEATHS_MAX,
  HANG_CHECK_MS,
  HANG_DEADLINE_MS,
  SHARED_PORT_TRIES_MAX,
  THREAD_GONE_DEADLINE_MS,
  WORKERS_STOP_DEADLINE_MS,
} from './limits.js';
import type { NativeRecoveryAddon } from './log/local/native-recovery.js';
import { prepareWorkers } from './log/local/redistribution.js';
import type { RecoveryProgress } from './log/open-log.js';
import { Member, type StartedThread } from './member.js';
import { type StartThread, startThread } from './thread.js';
import type { Death } from './thread-messages.js';
import { freeListenPort, probeListen } from './transport/listen-failure.js';

export interface SupervisorOptions {
  readonly settings: Settings;
  readonly workers: number;
  /** Undefined: no authentication. */
  readonly tokens: Tokens | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What workers choose as well. */
  readonly engine: Pick<EngineChoice, 'addon'>;
  /** Of the transport that workers choose: whether each of them can listen at the port that clients know. */
  readonly sharesPorts: boolean;
  readonly onRecovery: ((progress: RecoveryProgress) => void) | undefined;
  /** The process must end; all workers have. */
  readonly onFatal: (error: unknown) => void;
  /** Gets the log lines of threads, which otherwise write them to standard error. */
  readonly onLine?: ((line: string) => void) | undefined;
  /** In place of DEATHS_MAX; for tests. */
  readonly deathsMax?: number | undefined;
  /** In place of threads; for tests. */
  readonly startThread?: StartThread | undefined;
}

export class Supervisor {
  private readonly routing: RoutingWriter;
  private readonly members: readonly Member[];
  private readonly blocks: readonly Float64Array[];
  private readonly hangs: HangWatch;
  private readonly doorbells: readonly Doorbell[];
  private readonly owners: Uint16Array;
  /** How far each worker's recovery is; undefined where it has not begun. */
  private readonly recoveries: (RecoveryProgress | undefined)[];
  private phase: 'starting' | 'serving' | 'ending' = 'starting';
  private port = 0;
  /** When workers died, within the last DEATH_WINDOW_MS. */
  private deaths: number[] = [];
  private watch: Timer | undefined;
  private closeData: () => void = () => {};
  private stopping: Promise<void> | undefined;
  /** Why a worker died that had come up while others still started. */
  private earlyDeath: Error | undefined;
  /** One restart at a time. */
  private restarting: Promise<void> = Promise.resolve();

  constructor(private readonly options: SupervisorOptions) {
    const { workers, settings, tokens, onLine } = options;
    const { partitions } = settings;
    this.owners = placePartitions(partitions, workers);
    const memory = makeSharedMemory({ workers, partitions, figures: FIGURES_LENGTH });
    this.routing = new RoutingWriter(memory.routing);
    this.routing.init(this.owners, workers);
    this.blocks = memory.figures.map((block) => new Float64Array(block));
    this.hangs = new HangWatch(options.clock, this.blocks);
    this.doorbells = memory.figures.map((_, index) => new Doorbell(memory.doorbells, index));
    this.recoveries = memory.figures.map(() => undefined);
    this.members = memory.figures.map((_, worker) => {
      const start = {
        worker,
        workers,
        memory,
        settings,
        tokenDigests: tokens?.digests,
        sendsLog: onLine !== undefined,
      };
      return new Member(worker, start, options.startThread ?? startThread, {
        onRecovery: (index, progress) => this.recovers(index, progress),
        onLine: (line) => onLine?.(line),
        onDeath: (member, error) => this.died(member, error),
      });
    });
  }

  /**
   * Returns the port when all workers serve. Rejects with `NodeError`, `LogError` or `EngineError`, and leaves
   * nothing behind.
   */
  async start(): Promise<number> {
    const { settings, clock } = this.options;
    try {
      await this.prepareData();
      if (settings.port !== 0) await this.probe(settings.port);
      await Promise.all(this.members.map((member) => this.bring(member)));
      this.port = await this.acceptFirst();
      await Promise.all(this.members.slice(1).map((member) => this.accept(member)));
      if (this.earlyDeath !== undefined) throw this.earlyDeath;
    } catch (error) {
      this.phase = 'ending';
      await Promise.all(this.members.map((member) => member.end()));
      this.closeData();
      throw error;
    }
    this.phase = 'serving';
    this.watch = clock.every(HANG_CHECK_MS, () => this.look());
    return this.port;
  }

  /** Stops all workers, gently. Rejects with `LogError` where a log failed meanwhile, or `NodeError`. */
  stop(): Promise<void> {
    this.stopping ??= this.stopAll().then((failure) => {
      if (failure !== undefined) throw failure;
    });
    return this.stopping;
  }

  /** Ends all workers at once, as far as they can: a process that ends while their sockets are open is aborted. */
  async abandon(): Promise<void> {
    this.phase = 'ending';
    const ended = Promise.all(this.members.map((member) => member.end()));
    await this.within(ABANDON_DEADLINE_MS, ended);
  }

  /** One worker after the other, each while all others serve. */
  async restartAll(): Promise<void> {
    for (const { index } of this.members) await this.restart(index);
  }

  /** Stops a worker gently and starts it again. */
  restart(index: number): Promise<void> {
    const member = this.memberOf(index);
    const done = this.restarting.then(() => this.restartOnce(member));
    this.restarting = done.catch(() => undefined);
    return done;
  }

  /** For tests. */
  kill(index: number, how: Death): void {
    this.memberOf(index).post({ kind: 'die', how });
  }

  private memberOf(index: number): Member {
    const member = this.members[index];
    if (member === undefined) throw new RangeError(`there is no worker ${index}`);
    return member;
  }

  private async prepareData(): Promise<void> {
    const { settings, workers, engine, clock, logger, onRecovery } = this.options;
    if (parseDurability(settings.durability)?.mode === 'none') return;
    const { close } = await prepareWorkers(settings.dataDir, {
      partitions: settings.partitions,
      workers,
      owners: this.owners,
      addon: engine.addon as NativeRecoveryAddon | undefined,
      clock,
      logger,
      onProgress: onRecovery,
    });
    this.closeData = close;
  }

  /** Nobody else may have the port: where it is shared, the second node of a machine would listen too. */
  private async probe(port: number): Promise<void> {
    const problem = await probeListen(this.options.settings.host, port);
    if (problem !== undefined) throw problem;
  }

  /** Starts a worker's thread and lets all know when it serves. */
  private async bring(member: Member): Promise<void> {
    const { index } = member;
    const starting = member.begin();
    this.tell(index, { state: WORKER_STARTING, epoch: member.epoch });
    const { port, node }: StartedThread = await starting;
    member.isServing = true;
    this.tell(index, { state: WORKER_SERVING, port, node });
  }

  /** Has the first worker listen at the port that clients know, and returns it. */
  private async acceptFirst(): Promise<number> {
    const { settings, sharesPorts } = this.options;
    const first = this.memberOf(0);
    if (!sharesPorts || settings.port !== 0) return first.accept(settings.port, sharesPorts);
    for (let tries = 1; ; tries++) {
      try {
        return await first.accept(await freeListenPort(settings.host), true);
      } catch (error) {
        // Somebody has taken it in between.
        const isTaken = error instanceof NodeError && error.code === 'PORT_IN_USE';
        if (!isTaken || tries === SHARED_PORT_TRIES_MAX) throw error;
      }
    }
  }

  /** Has a worker take its part of the connections, where workers can share a port; else the first takes all. */
  private async accept(member: Member): Promise<void> {
    const { sharesPorts, logger } = this.options;
    if (!sharesPorts && member.index !== 0) return;
    try {
      await member.accept(this.port, sharesPorts);
    } catch (error) {
      if (!member.isServing) throw error;
      const { index: worker } = member;
      const message = `worker ${worker} can't listen at port ${this.port}: clients reach it through the others`;
      logger.warn({ event: 'port_not_shared', worker, err: error }, message);
    }
  }

  private died(member: Member, error: Error): void {
    const { clock, logger, deathsMax = DEATHS_MAX } = this.options;
    const { index: worker } = member;
    member.isServing = false;
    this.tell(worker, { state: WORKER_DOWN });
    if (this.phase === 'starting') this.earlyDeath ??= error;
    if (this.phase !== 'serving') return;
    logger.error(
      { event: 'worker_died', worker, err: error },
      `worker ${worker} died: ${error.message}`,
    );
    this.watchEnd(member);
    const now = clock.monotonic();
    this.deaths = [...this.deaths.filter((at) => at > now - DEATH_WINDOW_MS), now];
    if (this.deaths.length >= deathsMax) {
      const times = `${this.deaths.length} times in ${DEATH_WINDOW_MS / 1000} s`;
      logger.fatal({ event: 'workers_die', worker }, `workers died ${times}: the node ends`);
      void this.fail(error);
      return;
    }
    member.revival = member.ended.then(() => this.revive(member));
  }

  /** A thread cannot be ended from outside: where one that has broken down stays, the process has to end. */
  private watchEnd(member: Member): void {
    const overdue = this.options.clock.after(THREAD_GONE_DEADLINE_MS, () => {
      const message = `the thread of worker ${member.index} has broken down and does not end`;
      void this.fail(new NodeError('WORKER_HANGS', message), member);
    });
    void member.ended.then(() => overdue.cancel());
  }

  /** A start that fails is a death of its own. */
  private async revive(member: Member): Promise<void> {
    if (this.phase !== 'serving') return;
    retire(this.blocks[member.index] as Float64Array);
    try {
      await this.bring(member);
      await this.accept(member);
    } catch {
      return;
    }
    const { index: worker } = member;
    this.options.logger.info(
      { event: 'worker_restarted', worker },
      `worker ${worker} serves again`,
    );
  }

  private async restartOnce(member: Member): Promise<void> {
    const { index } = member;
    await this.whenAllServe();
    if (this.phase !== 'serving' || !member.isServing) return;
    this.options.logger.info(
      { event: 'worker_restarts', worker: index },
      `restarting worker ${index}`,
    );
    this.tell(index, { state: WORKER_STOPPING });
    const failure = await member.stop();
    member.isServing = false;
    this.tell(index, { state: WORKER_DOWN });
    if (failure !== undefined) this.died(member, failure);
    else await this.revive(member);
  }

  /**
   * Waits until no worker is away, or for the end of all. What follows in the same turn finds them all: one that died
   * while another was waited for has a restart of its own on the way, and two threads must not have one log.
   */
  private async whenAllServe(): Promise<void> {
    let awaited: Promise<void> | undefined;
    for (;;) {
      const away = this.members.find(({ isServing }) => !isServing);
      if (away === undefined || away.revival === awaited) return;
      awaited = away.revival;
      await awaited;
    }
  }

  /** Whether each event loop has turned since the last look. */
  private look(): void {
    for (const member of this.members) {
      if (this.hangs.look(member) < HANG_DEADLINE_MS) continue;
      const { index } = member;
      const seconds = HANG_DEADLINE_MS / 1000;
      const error = new NodeError('WORKER_HANGS', `worker ${index} has hung for ${seconds} s`);
      void this.fail(error, member);
      return;
    }
  }

  /** Stops what can be stopped, and ends the process. */
  private async fail(error: unknown, hung?: Member): Promise<void> {
    if (this.phase === 'ending') return;
    this.stopping ??= this.stopAll(hung).then(() => undefined);
    await this.stopping.catch(() => undefined);
    this.options.onFatal(error);
  }

  /** Stops all workers, lets go of the data, and returns what went wrong. */
  private async stopAll(hung?: Member): Promise<Error | undefined> {
    this.phase = 'ending';
    this.watch?.cancel();
    const members = this.members.filter((member) => member !== hung);
    for (const { index, isServing } of members) {
      if (isServing) this.tell(index, { state: WORKER_STOPPING });
    }
    const stopping = Promise.all(members.map((member) => this.stopOne(member)));
    const failures = await this.within(WORKERS_STOP_DEADLINE_MS, stopping);
    if (failures === undefined) {
      const seconds = WORKERS_STOP_DEADLINE_MS / 1000;
      return new NodeError('WORKER_HANGS', `workers did not stop within ${seconds} s`);
    }
    if (hung === undefined) this.closeData();
    return failures.find((failure) => failure !== undefined);
  }

  private async stopOne(member: Member): Promise<Error | undefined> {
    const failure = await Promise.race([member.stop(), this.hangs.hanging(member)]);
    member.isServing = false;
    this.tell(member.index, { state: WORKER_DOWN });
    return failure;
  }

  /** Undefined where it takes longer. */
  private async within<V>(ms: number, promise: Promise<V>): Promise<V | undefined> {
    let timer: Timer | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = this.options.clock.after(ms, () => resolve(undefined));
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      timer?.cancel();
    }
  }

  private tell(index: number, change: Parameters<RoutingWriter['setWorker']>[1]): void {
    this.routing.setWorker(index, change);
    for (const doorbell of this.doorbells) doorbell.ring();
  }

  private recovers(index: number, progress: RecoveryProgress): void {
    if (this.phase !== 'starting') return;
    this.recoveries[index] = progress;
    const sum = (name: 'bytesDone' | 'bytesTotal') =>
      this.recoveries.reduce((all, of) => all + (of?.[name] ?? 0), 0);
    const { phase } = progress;
    this.options.onRecovery?.({
      phase,
      bytesDone: sum('bytesDone'),
      bytesTotal: sum('bytesTotal'),
    });
  }
}
