// Puts a node together from its settings: tokens, engine, transport, and one worker on this thread or a
// supervisor of several. Used by `rondo serve` and by tests; reads no environment and ends no process.

import type { Logger } from 'pino';
import { chooseEngine, type EngineChoice } from '../ts/engine/load.js';
import { type Clock, realClock } from './clock.js';
import { workersOf } from './config/config.js';
import { checkExposure } from './config/exposure.js';
import type { Settings } from './config/settings.js';
import { readTokenFile, type Tokens } from './config/tokens.js';
import type { LogError } from './log/log.js';
import type { RecoveryProgress } from './log/open-log.js';
import { openState, type State, type StateOptions } from './state.js';
import { Supervisor, type SupervisorOptions } from './supervisor.js';
import type { Death } from './thread-messages.js';
import { chooseTransport, type TransportChoice } from './transport/load.js';
import { VERSION } from './version.js';
import { Worker } from './worker.js';
import type { WorkerOptions } from './worker-options.js';

export interface ServerOptions {
  readonly settings: Settings;
  readonly logger: Logger;
  // With one worker only, since threads can be handed nothing but data:
  readonly clock?: Clock;
  /** In place of the one that the settings name. */
  readonly engine?: EngineChoice;
  readonly transport?: TransportChoice;
  /** See `WorkerOptions.watches`. */
  readonly watches?: WorkerOptions['watches'];
  /** In place of the state that the settings name; for tests and simulations. */
  readonly openState?: (options: StateOptions) => Promise<State>;

  // With several workers only:
  /** See `SupervisorOptions`. */
  readonly supervisor?: Pick<SupervisorOptions, 'onLine' | 'deathsMax'>;

  /** The node has stopped serving and the process must end: an invariant, the log or a worker is broken. */
  readonly onFatal: (error: unknown) => void;
  /** See `StateOptions.onRecovery`. */
  readonly onRecovery?: (progress: RecoveryProgress) => void;
}

export interface Server {
  /** Where clients connect, such as `ws://127.0.0.1:7400`. */
  readonly url: string;
  readonly port: number;
  readonly workers: number;
  /** The only one. Throws where there are several, each on a thread of its own. */
  readonly worker: Worker;
  readonly engine: EngineChoice;
  readonly transport: TransportChoice;
  /** `Worker.stop`, and ends the log behind it. Rejects with `LogError` where that has failed. */
  stop(): Promise<void>;
  /** Ends all at once, so that the process can end too. */
  abandon(): Promise<void>;
  /** Starts one worker again, or all, one after the other, while the others serve. Only where there are several. */
  restartWorker(index: number): Promise<void>;
  restartWorkers(): Promise<void>;
  /** Has a worker break down, for tests. Only where there are several. */
  killWorker(index: number, how: Death): void;
}

/**
 * Starts serving. Rejects with `NodeError` (tokens, host, transport, port), `LogError` (data directory)
 * or `EngineError` and leaves nothing behind.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { settings, logger } = options;
  const engine = options.engine ?? chooseEngine(settings.engine);
  logger.info(
    { event: 'engine', engine: engine.kind, reason: engine.reason, version: VERSION },
    `engine ${engine.kind}: ${engine.reason}`,
  );
  const transport = options.transport ?? chooseTransport(settings.transport);
  logger.info(
    { event: 'transport', transport: transport.kind, reason: transport.reason },
    `transport ${transport.kind}: ${transport.reason}`,
  );

  const tokenFile = settings.tokenFile === '' ? undefined : readTokenFile(settings.tokenFile);
  for (const warning of tokenFile?.warnings ?? []) logger.warn({ event: 'token_file' }, warning);
  const hasTokens = tokenFile !== undefined;
  const exposure = checkExposure(settings.host, hasTokens, settings.insecure);
  if (exposure) logger.warn({ event: 'insecure' }, exposure);
  if (settings.allowOrigin.includes('*')) {
    logger.warn(
      { event: 'insecure' },
      "INSECURE: --allow-origin '*' lets every page of every site connect from its visitors' browsers",
    );
  }

  const tokens = tokenFile?.tokens;
  const parts = { ...options, engine, transport, tokens, clock: options.clock ?? realClock };
  const workers = workersOf(settings);
  const started = workers === 1 ? await startWorker(parts) : await startWorkers(parts, workers);
  const { port } = started;
  const url = `ws://${urlHost(settings.host)}:${port}`;
  const { partitions, durability } = settings;
  logger.info(
    { event: 'serving', url, port, partitions, durability, workers },
    `serving at ${url}`,
  );
  return {
    url,
    workers,
    engine,
    transport,
    port,
    stop: started.stop,
    abandon: started.abandon,
    restartWorker: started.restartWorker,
    restartWorkers: started.restartWorkers,
    killWorker: started.killWorker,
    get worker() {
      return started.worker;
    },
  };
}

type Parts = ServerOptions & {
  readonly engine: EngineChoice;
  readonly transport: TransportChoice;
  readonly tokens: Tokens | undefined;
  readonly clock: Clock;
};

type Started = Omit<Server, 'url' | 'workers' | 'engine' | 'transport'>;

/** One worker, on this thread. */
async function startWorker(parts: Parts): Promise<Started> {
  const { settings, logger, engine, clock } = parts;
  let worker: Worker | undefined;
  let failure: LogError | undefined;
  const state = await (parts.openState ?? openState)({
    settings,
    engine,
    clock,
    logger,
    ...(parts.onRecovery && { onRecovery: parts.onRecovery }),
    events: {
      onProgress: () => worker?.gate?.onProgress(),
      onFailure: (error) => {
        failure = error;
        worker?.onLogFailure(error);
      },
    },
  });
  worker = new Worker({ ...parts, state, watches: parts.watches });
  let port: number;
  try {
    if (failure !== undefined) throw failure;
    port = await worker.start();
    if (failure !== undefined) throw failure;
  } catch (error) {
    await state.close();
    throw error;
  }
  const stop = once(async () => {
    await worker.stop();
    await state.close();
    if (failure !== undefined) throw failure;
  });
  const several = () => {
    throw new RangeError('there is one worker, and it is the node');
  };
  return {
    port,
    worker,
    stop,
    abandon: () => Promise.resolve(),
    restartWorker: several,
    restartWorkers: several,
    killWorker: several,
  };
}

/** Several, each on a thread of its own. */
async function startWorkers(parts: Parts, workers: number): Promise<Started> {
  const { transport, settings, logger } = parts;
  const supervisor = new Supervisor({
    ...parts,
    ...parts.supervisor,
    workers,
    sharesPorts: transport.sharesPorts,
    onRecovery: parts.onRecovery,
  });
  const port = await supervisor.start();
  if (!transport.sharesPorts) {
    const reason = `${transport.kind} on ${process.platform} can't share a port`;
    const message = `worker 0 alone takes connections at port ${port}: ${reason}; clients that route reach the others at ports of their own`;
    logger.warn({ event: 'one_acceptor', port, host: settings.host }, message);
  }
  return {
    port,
    get worker(): Worker {
      throw new RangeError('there are several workers, each on a thread of its own');
    },
    stop: () => supervisor.stop(),
    abandon: () => supervisor.abandon(),
    restartWorker: (index) => supervisor.restart(index),
    restartWorkers: () => supervisor.restartAll(),
    killWorker: (index, how) => supervisor.kill(index, how),
  };
}

/** Calls `action` the first time and gives its answer every time. */
function once<V>(action: () => V): () => V {
  let answer: { readonly value: V } | undefined;
  return () => {
    answer ??= { value: action() };
    return answer.value;
  };
}

/** The host as it stands in a URL that a client on this machine can use. */
function urlHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
