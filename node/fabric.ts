// The place of a worker among several: what it shares with the others, and how it speaks to them. A worker
// that is alone has none.

import type { SharedMemory } from '../ts/shared/memory.js';
import type { RoutingReader } from '../ts/shared/routing-table.js';
import { encodeRouting } from '../ts/wire/routing.js';
import type { WorkerLinks } from './links/links.js';

export interface Fabric {
  /** Index of this worker, and how many there are. */
  readonly worker: number;
  readonly workers: number;
  readonly memory: SharedMemory;
  /** Read by several parts, so that `refresh` tells one of them only: what matters to each is the version. */
  readonly routing: RoutingReader;
  readonly links: WorkerLinks;
}

/** The routing table as clients get it. */
export function routingBytesOf(routing: RoutingReader): Uint8Array<ArrayBuffer> {
  const { version, owners } = routing;
  const workers = Array.from({ length: routing.workers }, (_, index) => ({
    node: routing.nodeOf(index),
    port: routing.portOf(index),
    isServing: routing.isServing(index),
  }));
  return encodeRouting({ version, workers, owners });
}
