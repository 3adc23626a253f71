// The rows of the benchmark as data: what of the measurements is shown against whom and with which
// target. Several rows may come from one measurement, in which all its sides take turns.

import { coordinationRows } from './coordination-rows.js';
import { durableRows } from './durable-rows.js';
import {
  clientOf,
  type LoadMeasurement,
  loadOf,
  type OperationName,
  type Side,
  type Sizes,
} from './measurements.js';
import { type RowSpec, rowOf } from './row-spec.js';
import type { Target } from './statistics.js';

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
      measurement: loadOf(sizes, operation, outstanding, outstanding),
    })),
  );
  const large: LoadMeasurement = {
    ...loadOf(sizes, 'get', 128, 128),
    id: 'kv.get.large.128',
    stage: 'large',
    keys: sizes.keysLarge,
  };
  const clients = OPERATIONS.flatMap((operation) =>
    CALLS.map((calls) => clientOf(sizes, operation, calls)),
  );
  return [
    ...kv.map(({ outstanding, measurement }) =>
      rowOf(measurement, 'rondo', 'redis', measurement.id, KV_TARGETS[outstanding]),
    ),
    ...durableRows(sizes),
    ...coordinationRows(sizes),
    rowOf(large, 'rondo', 'redis', large.id, { ratioMin: 4 }),
    {
      ...rowOf(large, 'rondo', 'redis', 'kv.memory.large', { ratioMax: 1 }),
      unit: 'bytes/key',
      better: 'lower',
      source: { measurement: large, metric: 'bytesPerKey' },
    },
    ...clients.flatMap((measurement) =>
      (['ioredis', 'node-redis'] as const).map((peer) =>
        rowOf(
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
        const measurement = loadOf(sizes, operation, outstanding, 1);
        const name = `echo.${operation}.${outstanding}`;
        return rowOf(measurement, 'rondo', 'echo', name, { ratioMin: 0.75 });
      }),
    ),
    ...[...kv.map(({ measurement }) => measurement), large, ...clients].map((measurement) =>
      rowOf(
        measurement,
        'rondo',
        'rondo-ts',
        `engine.${measurement.id}`,
        measurement.kind !== 'client' && measurement.outstanding === 128
          ? { ratioMin: 3 }
          : undefined,
      ),
    ),
    later('streams.jetstream', 'nats'),
    later('streams', 'redis'),
    later('transactions', 'etcd'),
    later('transactions', 'redis'),
    later('pushes', 'nats'),
  ];
}

/** Rows whose names have one of the comma-separated patterns in them; `*` stands for anything. */
export function selectRows<T extends { readonly name: string }>(
  rows: readonly T[],
  patterns: string,
): T[] {
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

/** The peak of the open loop has one operation a frame, as the open loop itself has. */
function openRows(sizes: Sizes): RowSpec[] {
  const peak = loadOf(sizes, 'get', 16, 1);
  return OPEN_SHARES.flatMap((share) => {
    const measurement: LoadMeasurement = {
      ...peak,
      id: `open.get.${Math.round(share * 100)}`,
      kind: 'open',
      outstanding: OPEN_OUTSTANDING_MAX,
      rate: { peak: peak.id, share },
    };
    return (['p50', 'p99', 'p999'] as const).map((metric): RowSpec => {
      const row = rowOf(measurement, 'rondo', 'redis', `${measurement.id}.${metric}`, undefined);
      return { ...row, unit: 'µs', better: 'lower', source: { measurement, metric } };
    });
  });
}

/** The measurement that gives the peaks for an open loop. */
export function peakOf(sizes: Sizes): LoadMeasurement {
  return loadOf(sizes, 'get', 16, 1);
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
