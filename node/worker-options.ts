// What a worker is made from: everything comes in here, so that each of several threads can host one.

import type { Logger } from 'pino';
import type { Engine } from '../ts/engine/engine.js';
import type { EngineChoice } from '../ts/engine/load.js';
import type { Clock } from './clock.js';
import type { Settings } from './config/settings.js';
import type { Tokens } from './config/tokens.js';
import type { Send } from './connection.js';
import type { Refuse } from './delivery.js';
import type { State } from './state.js';
import type { TransportChoice } from './transport/load.js';
import type { Watches } from './watch/watches.js';

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
  /** Makes what serves the watches of the worker's connections; without it they are answered UNAVAILABLE. */
  readonly watches?: ((ports: WatchPorts) => Watches) | undefined;
  /** An invariant is broken: the worker has stopped serving and the process must end. */
  readonly onFatal: (error: unknown) => void;
}

/** What watches need of their worker. */
export interface WatchPorts {
  readonly settings: Settings;
  readonly engine: Engine;
  readonly state: State;
  /** Hands a frame to a peer; with how many operations it answers. */
  readonly send: Send;
  readonly refuse: Refuse;
  /** To be called right behind each call of the engine: stores its records and hands out its notices. */
  readonly afterCall: () => void;
  /** An invariant is broken: ends serving. */
  readonly fail: (error: unknown) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}
