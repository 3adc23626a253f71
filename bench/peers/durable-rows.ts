// The rows of durable writes: every answer means that the write is on the disk. All sides keep their data
// on one file system; `disk` is what it can do at best.

import { type LoadMeasurement, loadOf, type OperationName, type Sizes } from './measurements.js';
import { type Promises, type RowSpec, rowOf } from './row-spec.js';
import type { Target } from './statistics.js';

/**
 * As Redis has it with `appendonly yes` and `no-appendfsync-on-rewrite no`, its default. Its file is
 * never rewritten (`auto-aof-rewrite-percentage 0`), which would only cost it.
 */
export const REDIS_PROMISE = 'appendfsync always, no rewrite';
const REDIS: Promises = { rondo: 'sync', peer: REDIS_PROMISE };
const ETCD: Promises = { rondo: 'sync', peer: 'sync' };
const DISK: Promises = { rondo: 'sync', peer: 'fdatasync' };
const OWN: Promises = { rondo: 'sync', peer: 'none' };

const REDIS_TARGETS: readonly (readonly [outstanding: number, target?: Target])[] = [
  [1, { ratioMin: 2 }],
  [16, { ratioMin: 2 }],
  [128],
];
const ETCD_TARGET: Target = { ratioMin: 10 };
/** More, and etcd refuses some: what it has agreed on runs ahead of what it has stored. */
const ETCD_OUTSTANDING = [1, 16];

export function durableRows(sizes: Sizes): RowSpec[] {
  const single: LoadMeasurement = {
    ...measurement(sizes, 'put', 1, 'kv.put.durable.single'),
    connections: 1,
  };
  const full = measurement(sizes, 'put', 128);
  const latency = (row: RowSpec): RowSpec => ({
    ...row,
    unit: 'µs',
    better: 'lower',
    source: { measurement: single, metric: 'p50' },
  });
  return [
    ...REDIS_TARGETS.map(([outstanding, target]) => {
      const put = measurement(sizes, 'put', outstanding);
      return rowOf(put, 'rondo-sync', 'redis-always', `${put.id}.redis`, target, REDIS);
    }),
    ...ETCD_OUTSTANDING.map((outstanding) => {
      const put = measurement(sizes, 'put', outstanding);
      return rowOf(put, 'rondo-sync', 'etcd', `${put.id}.etcd`, ETCD_TARGET, ETCD);
    }),
    latency(rowOf(single, 'rondo-sync', 'disk', `${single.id}.disk`, { ratioMax: 1.5 }, DISK)),
    latency(rowOf(single, 'rondo-sync', 'redis-always', `${single.id}.redis`, undefined, REDIS)),
    rowOf(full, 'rondo-sync', 'rondo', 'kv.put.durable.share', { ratioMin: 0.5 }, OWN),
    rowOf(
      measurement(sizes, 'get', 16),
      'rondo-sync',
      'rondo',
      'kv.get.durable.16',
      undefined,
      OWN,
    ),
  ];
}

function measurement(
  sizes: Sizes,
  operation: OperationName,
  outstanding: number,
  id = `kv.${operation}.durable.${outstanding}`,
): LoadMeasurement {
  return { ...loadOf(sizes, operation, outstanding, outstanding), id, stage: 'durable' };
}
