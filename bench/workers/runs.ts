// What is measured: nodes of one and of several workers, and on each the same load with nothing, some or
// all of it forwarded.

import type { ValueMeasurement } from '../peers/measurements.js';

export type Durability = 'none' | 'sync';
/** Nothing is forwarded, as it comes over the shared port, all is forwarded. */
export const ROUTES = ['direct', 'any', 'forward'] as const;
export type Route = (typeof ROUTES)[number];
export type Operation = ValueMeasurement['operation'];

export interface Sizes {
  readonly connections: number;
  readonly keys: number;
  readonly valueBytes: number;
}

/** Who is measured: a node, and which way operations reach the worker that has them. */
export interface Side {
  readonly workers: number;
  readonly route: Route;
}

/** One load; its sides take turns. */
export interface Series {
  /** `throughput` with all connections, `latency` with one operation at a time over one connection. */
  readonly kind: 'throughput' | 'latency';
  readonly durability: Durability;
  readonly operation: Operation;
  readonly batch: number;
  readonly sides: readonly Side[];
}

const OPERATIONS: readonly Operation[] = ['get', 'put'];

export function seriesOf(
  workers: readonly number[],
  batches: readonly number[],
  durabilities: readonly Durability[],
): Series[] {
  const throughput = durabilities.flatMap((durability) =>
    OPERATIONS.flatMap((operation) =>
      batches.map((batch): Series => {
        const sides = workers.flatMap(sidesOf);
        return { kind: 'throughput', durability, operation, batch, sides };
      }),
    ),
  );
  const latency = OPERATIONS.map((operation): Series => {
    const sides = workers
      .flatMap(sidesOf)
      .filter(({ workers, route }) => workers === 1 || route !== 'any');
    return { kind: 'latency', durability: 'none', operation, batch: 1, sides };
  });
  return [...throughput, ...latency];
}

/** With one worker there is nobody to forward to, and all ways are one. */
function sidesOf(workers: number): Side[] {
  return workers === 1
    ? [{ workers, route: 'any' }]
    : ROUTES.map((route): Side => ({ workers, route }));
}

export function nameOf({ kind, durability, operation, batch }: Series): string {
  const load = kind === 'latency' ? 'alone' : `${batch}`;
  return `kv.${operation}.${load}${durability === 'none' ? '' : `.${durability}`}`;
}

export function measurementOf(series: Series, sizes: Sizes): ValueMeasurement {
  const { kind, operation, batch, durability } = series;
  return {
    id: nameOf(series),
    kind: 'closed',
    stage: durability === 'sync' ? 'durable' : 'small',
    operation,
    keys: sizes.keys,
    valueBytes: sizes.valueBytes,
    connections: kind === 'latency' ? 1 : sizes.connections,
    outstanding: batch,
    batch,
  };
}
