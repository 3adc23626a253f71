// Puts the parts of a worker together: what stands between its connections, its engine, its log and the other
// workers. What they ask of the worker itself comes in as `ports`.

import { Backlogs } from './backlog.js';
import type { Peer } from './connection.js';
import { DeadlockSearch } from './deadlock-search.js';
import { Delivery } from './delivery.js';
import { Effects } from './effects.js';
import type { Fabric } from './fabric.js';
import type { Figures } from './figures.js';
import { Gate } from './gate.js';
import { Greeting } from './greeting.js';
import { GuestEnds } from './guest-ends.js';
import { ChannelServer } from './links/channel-server.js';
import { Exchange } from './links/exchange.js';
import { Forwarder } from './links/forwarder.js';
import { Overload } from './overload.js';
import { livesOf, SessionHomes } from './session-homes.js';
import { SessionRegistry } from './session-registry.js';
import type { Watches } from './watch/watches.js';
import { watchHubOf } from './watch-ports.js';
import type { WelcomeSession } from './welcome.js';
import type { WorkerOptions } from './worker-options.js';

export interface WorkerPorts {
  readonly options: WorkerOptions;
  readonly frameBytesMax: number;
  readonly figures: Figures;
  /** Executes a frame from an operation on, up to one reply; see `BacklogOptions.execute`. */
  readonly execute: (peer: Peer, frame: ArrayBuffer, first: number) => number;
  /** Executes a frame, or has it wait behind earlier ones. */
  readonly take: (peer: Peer, frame: ArrayBuffer) => void;
  readonly isExecuting: (peer: Peer) => boolean;
  /** To be called behind each call of the engine that is no frame's. */
  readonly afterCall: () => void;
  /** Work of the engine is due soon. */
  readonly hasten: () => void;
  readonly welcome: (session: WelcomeSession) => Uint8Array;
  readonly onDrain: (peer: Peer) => void;
  readonly onClose: (peer: Peer, code: number, reason: string) => void;
  /** An invariant is broken: ends serving. */
  readonly fail: (error: unknown) => void;
}

export interface WorkerParts {
  readonly delivery: Delivery;
  readonly watches: Watches;
  readonly overload: Overload;
  readonly backlogs: Backlogs;
  readonly sessions: SessionRegistry;
  readonly gate: Gate | undefined;
  readonly effects: Effects;
  readonly greeting: Greeting;
  readonly guestEnds: GuestEnds;
  /** Undefined where there is one worker. */
  readonly exchange: Exchange | undefined;
}

export function makeWorkerParts(ports: WorkerPorts): WorkerParts {
  const { options, frameBytesMax, figures, afterCall, fail } = ports;
  const { settings, clock, logger, fabric } = options;
  const { engine, log, isWaiting } = options.state;
  const { counters } = figures;
  const sessions = new SessionRegistry(fabric && livesOf(fabric.routing));
  const delivery = new Delivery(settings, frameBytesMax, counters, logger);
  const { send, refuse, dismiss } = delivery;
  const makeWatches = options.watches ?? watchHubOf;
  const watches = makeWatches({ ...options, engine, send, afterCall, fail });
  const overload = new Overload({
    frameBytesMax,
    outstandingMax: settings.outstandingMax,
    counters,
    logger,
    send,
    refuse,
  });
  const { execute, isExecuting } = ports;
  const bytesMax = settings.sendBufferBytesMax;
  const backlogs = new Backlogs({ clock, bytesMax, isExecuting, execute, refuse });
  const gate =
    log &&
    new Gate({
      engine,
      log,
      isWaiting,
      clock,
      logger,
      send: (peer, reply, operations) => {
        send(peer, reply, operations);
        backlogs.schedule(peer);
      },
      overload: (peer, reply) => overload.replace(peer, reply),
      onDurable: (append) => watches.onDurable(append),
    });
  let homes: SessionHomes | undefined;
  const effects = new Effects({
    engine,
    partitions: settings.partitions,
    gate,
    isWaiting: log !== undefined && isWaiting,
    registry: sessions,
    watches,
    counters,
    logger,
    send,
    refuse,
    dismiss,
    homes: () => homes,
    onMore: ports.hasten,
  });
  const guestEnds = new GuestEnds({ engine, effects, clock, logger, fail });
  homes = fabric && homesOf(ports, fabric, { sessions, effects, delivery, guestEnds });
  const greeting = new Greeting({
    engine,
    effects,
    registry: sessions,
    homes,
    worker: fabric?.worker ?? 0,
    backlogs,
    tokens: options.tokens,
    get sessionsMax() {
      return settings.sessionsMax - figures.sessionsElsewhere();
    },
    clock,
    logger,
    welcome: ports.welcome,
    send: (peer, bytes) => send(peer, bytes, 0),
    refuse,
  });
  const parts = { delivery, watches, overload, backlogs, sessions, gate, effects, greeting };
  const exchange = fabric && homes && exchangeOf(ports, fabric, homes, parts);
  return { ...parts, guestEnds, exchange };
}

function homesOf(
  { options }: WorkerPorts,
  { worker, links, routing }: Fabric,
  parts: Pick<WorkerParts, 'sessions' | 'effects' | 'delivery' | 'guestEnds'>,
): SessionHomes {
  const { sessions, effects, delivery, guestEnds } = parts;
  const { settings, clock } = options;
  return new SessionHomes({
    worker,
    partitions: settings.partitions,
    engine: options.state.engine,
    links,
    routing,
    registry: sessions,
    effects,
    clock,
    guestEnds,
    refuse: delivery.refuse,
  });
}

function exchangeOf(
  { options, figures, take, afterCall, onDrain, onClose, fail }: WorkerPorts,
  fabric: Fabric,
  homes: SessionHomes,
  {
    delivery,
    overload,
    backlogs,
    sessions,
  }: Pick<WorkerParts, 'delivery' | 'overload' | 'backlogs' | 'sessions'>,
): Exchange {
  const { clock } = options;
  const { links } = fabric;
  const { send, refuse, relay } = delivery;
  const forwarder = new Forwarder({
    fabric,
    engine: options.state.engine,
    clock,
    counters: figures.counters,
    registry: sessions,
    send,
    relay,
    answerAll: (peer, frame, status) => overload.answerAll(peer, frame, status),
  });
  const channels = new ChannelServer({
    links,
    clock,
    backlogs,
    registry: sessions,
    homes,
    refuse,
    answerAll: (peer, frame, status) => overload.answerAll(peer, frame, status),
    serve: take,
    onDrain,
    onClose,
  });
  const { engine } = options.state;
  const deadlocks = new DeadlockSearch({
    links,
    engine,
    clock,
    sessions: () => sessions.sessions(),
    onRefuse: (session, id, detail) => {
      try {
        engine.refuseWait(session, id, detail, clock.now());
        afterCall();
      } catch (error) {
        fail(error);
      }
    },
  });
  return new Exchange({ links, forwarder, channels, homes, deadlocks, fail });
}
