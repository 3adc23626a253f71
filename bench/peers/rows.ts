// The rows of the benchmark as data: what is measured (measurements), and what of it is shown against
// whom and with which target (rows). Several rows may come from one measurement, in which all its
// sides take turns.

import type { Target } from './statistics.js';

/** Whom a figure belongs to. `rondo` is the node with the native engine. */
export const SIDES = [
  'rondo',
  'redis',
  'rondo-ts',
  'echo',
  'ioredis',
  'node-redis',
  'etcd',
  'nats',
] as const;
export type Side = (typeof SIDES)[number];

/** Servers live for one stage; stages differ in what the servers hold. */
export const STAGES = ['small', 'large', 'client'] as const;
export type Stage = (typeof STAGES)[number];

export interface Sizes {
  readonly connections: number;
  readonly keys: number;
  readonly keysLarge: number;
  readonly valueBytes: number;
}

export const SIZES_FULL: Sizes = {
  connections: 50,
  keys: 100_000,
  keysLarge: 5_000_000,
  valueBytes: 64,
};
export const SIZES_QUICK: Sizes = { connections: 4, keys: 500, keysLarge: 2_000, valueBytes: 64 };

export type OperationName = 'get' | 'put';

interface MeasurementBase {
  readonly id: string;
  readonly stage: Stage;
  readonly operation: OperationName;
  readonly keys: number;
  readonly valueBytes: number;
}

/** By the load generator; `batch` operations go out in one frame, or one write of a pipeline. */
export interface LoadMeasurement extends MeasurementBase {
  readonly kind: 'closed' | 'open';
  readonly connections: number;
  /** Operations without an answer per connection; in the open loop a bound, not the load. */
  readonly outstanding: number;
  readonly batch: number;
  /** Of the open loop: which measurement gives the peaks, and the share of the slower one. */
  readonly rate?: { readonly peak: string; readonly share: number };
}

/** By callers in one Node process that each await one call after another, over one connection. */
export interface ClientMeasurement extends MeasurementBase {
  readonly kind: 'client';
  readonly calls: number;
}

export type Measurement = LoadMeasurement | ClientMeasurement;

export type Metric = 'operationsPerSecond' | 'p50' | 'p99' | 'p999' | 'bytesPerKey';

export interface RowSpec {
  readonly name: string;
  readonly unit: 'ops/s' | 'µs' | 'bytes/key' | '';
  readonly better: 'higher' | 'lower';
  readonly rondo: Side;
  readonly peer: Side;
  /** What a positive answer to a write means on each side. */
  readonly durability: { readonly rondo: string; readonly peer: string };
  readonly target?: Target;
  /** Undefined: the node has no such thing yet. */
  readonly source?: { readonly measurement: Measurement; readonly metric: Metric };
}

const NONE = { rondo: 'none', peer: 'none' };
const OPERATIONS: readonly OperationName[] = ['get', 'put'];
const OUTSTANDING = [1, 16, 128] as const;
const CALLS = [1, 100, 1_000] as const;
const OPEN_SHARES = [0.2, 0.5, 0.8] as const;
/** Bounds what the open loop may have on the way; reached only by a server that cannot keep up. */
const OPEN_OUTSTANDING_MAX = 1_024;

const KV_TARGETS: Record<(typeof OUTSTANDING)[number], Target> = {
  1: { ratioMin: 1.2, p99NotAbove: true },
  16: { ratioMin: 1.5 },
  128: { ratioMin: 4 },
};

/** All rows, in the order of the table. */
export function rowsFor(sizes: Sizes): RowSpec[] {
  const kv = OPERATIONS.flatMap((operation) =>
    OUTSTANDING.map((outstanding) => ({
      outstanding,
      measurement: load(sizes, operation, outstanding, outstanding),
    })),
  );
  const large: LoadMeasurement = {
    ...load(sizes, 'get', 128, 128),
    id: 'kv.get.large.128',
    stage: 'large',
    keys: sizes.keysLarge,
  };
  const clients = OPERATIONS.flatMap((operation) =>
    CALLS.map((calls) => client(sizes, operation, calls)),
  );
  return [
    ...kv.map(({ outstanding, measurement }) =>
      throughput(measurement, 'rondo', 'redis', measurement.id, KV_TARGETS[outstanding]),
    ),
    ...durableRows(),
    throughput(large, 'rondo', 'redis', large.id, { ratioMin: 4 }),
    {
      ...throughput(large, 'rondo', 'redis', 'kv.memory.large', { ratioMax: 1 }),
      unit: 'bytes/key',
      better: 'lower',
      source: { measurement: large, metric: 'bytesPerKey' },
    },
    ...clients.flatMap((measurement) =>
      (['ioredis', 'node-redis'] as const).map((peer) =>
        throughput(
          measurement,
          'rondo',
          peer,
          `${measurement.id}.${peer}`,
          peer === 'ioredis' && measurement.calls === 100 ? { ratioMin: 2 } : undefined,
        ),
      ),
    ),
    ...openRows(sizes),
    ...OPERATIONS.flatMap((operation) =>
      [1, 16].map((outstanding) => {
        const measurement = load(sizes, operation, outstanding, 1);
        const name = `echo.${operation}.${outstanding}`;
        return throughput(measurement, 'rondo', 'echo', name, { ratioMin: 0.75 });
      }),
    ),
    ...[...kv.map(({ measurement }) => measurement), large, ...clients].map((measurement) =>
      throughput(
        measurement,
        'rondo',
        'rondo-ts',
        `engine.${measurement.id}`,
        measurement.kind !== 'client' && measurement.outstanding === 128
          ? { ratioMin: 3 }
          : undefined,
      ),
    ),
    later('locks', 'etcd'),
    later('streams.jetstream', 'nats'),
    later('streams', 'redis'),
    later('transactions', 'etcd'),
    later('transactions', 'redis'),
    later('pushes', 'nats'),
    later('pushes', 'redis'),
  ];
}

/** Rows whose names have one of the comma-separated patterns in them; `*` stands for anything. */
export function selectRows(rows: readonly RowSpec[], patterns: string): RowSpec[] {
  const expressions = patterns
    .split(',')
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== '')
    .map((pattern) => {
      const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
      return new RegExp(parts.join('.*'));
    });
  return rows.filter(({ name }) => expressions.some((expression) => expression.test(name)));
}

function load(
  sizes: Sizes,
  operation: OperationName,
  outstanding: number,
  batch: number,
): LoadMeasurement {
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

function client(sizes: Sizes, operation: OperationName, calls: number): ClientMeasurement {
  const { keys, valueBytes } = sizes;
  const id = `client.${operation}.${calls}`;
  return { id, kind: 'client', stage: 'client', operation, keys, valueBytes, calls };
}

function throughput(
  measurement: Measurement,
  rondo: Side,
  peer: Side,
  name: string,
  target: Target | undefined,
): RowSpec {
  return {
    name,
    unit: 'ops/s',
    better: 'higher',
    rondo,
    peer,
    durability: NONE,
    ...(target === undefined ? {} : { target }),
    source: { measurement, metric: 'operationsPerSecond' },
  };
}

/** The peak of the open loop has one operation a frame, as the open loop itself has. */
function openRows(sizes: Sizes): RowSpec[] {
  const peak = load(sizes, 'get', 16, 1);
  return OPEN_SHARES.flatMap((share) => {
    const measurement: LoadMeasurement = {
      ...peak,
      id: `open.get.${Math.round(share * 100)}`,
      kind: 'open',
      outstanding: OPEN_OUTSTANDING_MAX,
      rate: { peak: peak.id, share },
    };
    return (['p50', 'p99', 'p999'] as const).map((metric): RowSpec => {
      const row = throughput(
        measurement,
        'rondo',
        'redis',
        `${measurement.id}.${metric}`,
        undefined,
      );
      return { ...row, unit: 'µs', better: 'lower', source: { measurement, metric } };
    });
  });
}

/** The measurement that gives the peaks for an open loop. */
export function peakOf(sizes: Sizes): LoadMeasurement {
  return load(sizes, 'get', 16, 1);
}

function durableRows(): RowSpec[] {
  return [1, 16].flatMap((outstanding) => [
    {
      ...later(`kv.put.durable.${outstanding}`, 'redis'),
      durability: { rondo: 'sync', peer: 'appendfsync always' },
    },
    {
      ...later(`kv.put.durable.${outstanding}`, 'etcd'),
      durability: { rondo: 'sync', peer: 'sync' },
    },
  ]);
}

function later(name: string, peer: Side): RowSpec {
  return {
    name: `${name}.${peer}`,
    unit: '',
    better: 'higher',
    rondo: 'rondo',
    peer,
    durability: { rondo: '', peer: '' },
  };
}
