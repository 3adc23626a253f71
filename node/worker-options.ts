// What a worker is made from: everything comes in here, so that each of several threads can host one.

import type { Logger } from 'pino';
import type { EngineChoice } from '../ts/engine/load.js';
import type { Clock } from './clock.js';
import type { Settings } from './config/settings.js';
import type { Tokens } from './config/tokens.js';
import type { Fabric } from './fabric.js';
import type { State } from './state.js';
import type { TransportChoice } from './transport/load.js';
import type { Watches } from './watch/watches.js';
import type { WatchPorts } from './watch-ports.js';

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
  /** Undefined: there is one worker. Its links are opened and closed by the worker. */
  readonly fabric?: Fabric | undefined;
  /** In place of the hub that a worker has: for tests, with bounds of their own. */
  readonly watches?: ((ports: WatchPorts) => Watches) | undefined;
  /** An invariant is broken: the worker has stopped serving and the process must end. */
  readonly onFatal: (error: unknown) => void;
}
