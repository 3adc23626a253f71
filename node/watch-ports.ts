// What watches need of their worker, and the hub made from it.

import type { Engine } from '../ts/engine/engine.js';
import type { Clock } from './clock.js';
import type { Settings } from './config/settings.js';
import type { Send } from './connection.js';
import type { State } from './state.js';
import { engineScan } from './watch/engine-scan.js';
import { WatchHub } from './watch/hub.js';

export interface WatchFabric {
  readonly worker: number;
  readonly routing: { readonly owners: Uint16Array };
}

export interface WatchPorts {
  readonly settings: Settings;
  readonly state: State;
  readonly clock: Clock;
  readonly engine: Engine;
  /** Where there are several workers: this one, and who has which partition. */
  readonly fabric?: WatchFabric | undefined;
  /** Hands a frame to a peer; with how many operations it answers. */
  readonly send: Send;
  /** To be called right behind each call of the engine: stores its records and hands out its notices. */
  readonly afterCall: () => void;
  /** An invariant is broken: ends serving. */
  readonly fail: (error: unknown) => void;
}

/** The watches of a worker; `more` in place of what follows from the ports. */
export function watchHubOf(
  ports: WatchPorts,
  more: Partial<ConstructorParameters<typeof WatchHub>[0]> = {},
): WatchHub {
  const { settings, state, clock, engine, fabric, send, afterCall, fail } = ports;
  const address = fabric === undefined ? 0 : fabric.worker + 1;
  return new WatchHub({
    clock,
    send,
    scan: engineScan(engine, clock, afterCall, address),
    node: state.node,
    history: state.history,
    partitions: settings.partitions,
    // A worker that has none has no watches that tell of anything.
    ownPartition: Math.max(0, fabric?.routing.owners.indexOf(fabric.worker) ?? 0),
    sendBufferBytesMax: settings.sendBufferBytesMax,
    revisionOf: (partition) => engine.revisionOf(partition),
    partitionOf: (key) => engine.partitionOf(key),
    onError: fail,
    ...more,
  });
}
