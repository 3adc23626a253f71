// Puts a node together from its settings: tokens, engine, transport, worker. Used by `rondo serve` and
// by tests; reads no environment and ends no process.

import type { Logger } from 'pino';
import { chooseEngine, type EngineChoice } from '../ts/engine/load.js';
import { type Clock, realClock } from './clock.js';
import { checkExposure } from './config/exposure.js';
import type { Settings } from './config/settings.js';
import { readTokenFile } from './config/tokens.js';
import type { LogError } from './log/log.js';
import type { RecoveryProgress } from './log/open-log.js';
import { openState, type State, type StateOptions } from './state.js';
import { chooseTransport, type TransportChoice } from './transport/load.js';
import { VERSION } from './version.js';
import { Worker } from './worker.js';
import type { WorkerOptions } from './worker-options.js';

export interface ServerOptions {
  readonly settings: Settings;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** In place of the one that the settings name. */
  readonly engine?: EngineChoice;
  readonly transport?: TransportChoice;
  /** See `WorkerOptions.onFatal`. */
  readonly onFatal: (error: unknown) => void;
  /** See `StateOptions.onRecovery`. */
  readonly onRecovery?: (progress: RecoveryProgress) => void;
  /** See `WorkerOptions.watches`. */
  readonly watches?: WorkerOptions['watches'];
  /** In place of the state that the settings name; for tests and simulations. */
  readonly openState?: (options: StateOptions) => Promise<State>;
}

export interface Server {
  /** Where clients connect, such as `ws://127.0.0.1:7400`. */
  readonly url: string;
  readonly port: number;
  readonly worker: Worker;
  readonly engine: EngineChoice;
  readonly transport: TransportChoice;
  /** `Worker.stop`, and ends the log behind it. Rejects with `LogError` where that has failed. */
  stop(): Promise<void>;
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

  const clock = options.clock ?? realClock;
  let worker: Worker | undefined;
  let failure: LogError | undefined;
  const state = await (options.openState ?? openState)({
    settings,
    engine,
    clock,
    logger,
    ...(options.onRecovery && { onRecovery: options.onRecovery }),
    events: {
      onProgress: () => worker?.gate?.onProgress(),
      onFailure: (error) => {
        failure = error;
        worker?.onLogFailure(error);
      },
    },
  });
  worker = new Worker({
    settings,
    engine,
    transport,
    tokens: tokenFile?.tokens,
    clock,
    logger,
    state,
    watches: options.watches,
    onFatal: options.onFatal,
  });
  let port: number;
  try {
    if (failure !== undefined) throw failure;
    port = await worker.start();
    if (failure !== undefined) throw failure;
  } catch (error) {
    await state.close();
    throw error;
  }
  const url = `ws://${urlHost(settings.host)}:${port}`;
  const { partitions, durability } = settings;
  logger.info({ event: 'serving', url, port, partitions, durability }, `serving at ${url}`);
  const stop = once(async () => {
    await worker.stop();
    await state.close();
    if (failure !== undefined) throw failure;
  });
  return { url, port, worker, engine, transport, stop };
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
