// What is measured: who takes part, how much there is to hold, and the loops that make the load.

/**
 * Whom a figure belongs to. `rondo` is the node with the native engine and nothing durable, as is
 * `rondo-ts`; `rondo-sync` answers a write when it is on the disk, as `redis-always` and `etcd` do.
 */
export const SIDES = [
  'rondo',
  'redis',
  'rondo-ts',
  'echo',
  'ioredis',
  'node-redis',
  'rondo-sync',
  'redis-always',
  'etcd',
  'disk',
  'nats',
] as const;
export type Side = (typeof SIDES)[number];

/** Servers live for one stage; stages differ in what the servers hold. */
export const STAGES = ['small', 'durable', 'pushes', 'large', 'client'] as const;
export type Stage = (typeof STAGES)[number];

export interface Sizes {
  readonly connections: number;
  readonly keys: number;
  readonly keysLarge: number;
  readonly valueBytes: number;
  /** Watchers of what is pushed: few, some, many. */
  readonly watchers: readonly [number, number, number];
}

export const SIZES_FULL: Sizes = {
  connections: 50,
  keys: 100_000,
  keysLarge: 5_000_000,
  valueBytes: 64,
  watchers: [1, 100, 10_000],
};
export const SIZES_QUICK: Sizes = {
  connections: 4,
  keys: 500,
  keysLarge: 2_000,
  valueBytes: 64,
  watchers: [1, 3, 20],
};

export type OperationName = 'get' | 'put';
/** A pair of lock and unlock; an event that a watcher is told of. */
export type LoadOperation = OperationName | 'lock' | 'event';

interface MeasurementBase {
  readonly id: string;
  readonly stage: Stage;
  readonly keys: number;
  readonly valueBytes: number;
}

/** By the load generator; `batch` operations go out in one frame, or one write of a pipeline. */
export interface LoadMeasurement extends MeasurementBase {
  readonly kind: 'closed' | 'open';
  readonly operation: LoadOperation;
  readonly connections: number;
  /** Operations without an answer per connection; in the open loop a bound, not the load. */
  readonly outstanding: number;
  readonly batch: number;
  /** Of the open loop: which measurement gives the peaks, and the share of the slower one. */
  readonly rate?: { readonly peak: string; readonly share: number };
}

/** Of values, which is all that is profiled. */
export interface ValueMeasurement extends LoadMeasurement {
  readonly operation: OperationName;
}

/** By callers in one Node process that each await one call after another, over one connection. */
export interface ClientMeasurement extends MeasurementBase {
  readonly kind: 'client';
  readonly operation: OperationName;
  readonly calls: number;
}

export type Measurement = LoadMeasurement | ClientMeasurement;

export function loadOf(
  sizes: Sizes,
  operation: OperationName,
  outstanding: number,
  batch: number,
): ValueMeasurement {
  const suffix = batch === outstanding ? '' : `x${batch}`;
  return {
    id: `kv.${operation}.${outstanding}${suffix}`,
    kind: 'closed',
    stage: 'small',
    operation,
    keys: sizes.keys,
    valueBytes: sizes.valueBytes,
    connections: sizes.connections,
    outstanding,
    batch,
  };
}

export function clientOf(sizes: Sizes, operation: OperationName, calls: number): ClientMeasurement {
  const { keys, valueBytes } = sizes;
  const id = `client.${operation}.${calls}`;
  return { id, kind: 'client', stage: 'client', operation, keys, valueBytes, calls };
}
