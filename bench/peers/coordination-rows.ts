// The rows of locks and pushes. Locks are durable on both sides: etcd's through its own Lock service, where
// one call does what its client library otherwise does in several. Pushes are compared with those of Redis,
// which keeps none: the node keeps none either there.

import type { LoadMeasurement, Sizes } from './measurements.js';
import { type Promises, type RowSpec, rowOf } from './row-spec.js';
import type { Target } from './statistics.js';

const SYNC: Promises = { rondo: 'sync', peer: 'sync' };
/** Writes on the way, where throughput is what counts; the most of them is judged. */
const PUSHES_OUTSTANDING = [16, 128] as const;
const JUDGED_OUTSTANDING = 128;

export function coordinationRows(sizes: Sizes): RowSpec[] {
  const own = lockOf(sizes, 'locks.own', sizes.connections);
  const contended = lockOf(sizes, 'locks.contended', 1);
  const handOver: RowSpec = {
    ...rowOf(contended, 'rondo-sync', 'etcd', 'locks.handover.p99.etcd', { ratioMax: 1 }, SYNC),
    unit: 'µs',
    better: 'lower',
    source: { measurement: contended, metric: 'handoverP99' },
  };
  return [
    rowOf(own, 'rondo-sync', 'etcd', 'locks.own.etcd', { ratioMin: 20 }, SYNC),
    rowOf(contended, 'rondo-sync', 'etcd', 'locks.contended.etcd', { ratioMin: 10 }, SYNC),
    handOver,
    ...sizes.watchers.flatMap((watchers) => pushRows(sizes, watchers)),
  ];
}

function pushRows(sizes: Sizes, watchers: number): RowSpec[] {
  const one = pushOf(sizes, watchers, 1);
  // The targets are those of the middle one.
  const isJudged = watchers === sizes.watchers[1];
  const target = (of: Target): Target | undefined => (isJudged ? of : undefined);
  const latency: RowSpec = {
    ...rowOf(one, 'rondo', 'redis', `${one.id}.p99.redis`, target({ ratioMax: 1 })),
    unit: 'µs',
    better: 'lower',
    source: { measurement: one, metric: 'p99' },
  };
  return [
    latency,
    ...PUSHES_OUTSTANDING.map((outstanding) => {
      const many = pushOf(sizes, watchers, outstanding);
      const judged = outstanding === JUDGED_OUTSTANDING ? target({ ratioMin: 1.5 }) : undefined;
      return rowOf(many, 'rondo', 'redis', `${many.id}.redis`, judged);
    }),
  ];
}

function lockOf(sizes: Sizes, id: string, names: number): LoadMeasurement {
  return {
    id,
    kind: 'closed',
    stage: 'durable',
    operation: 'lock',
    keys: names,
    valueBytes: sizes.valueBytes,
    connections: sizes.connections,
    outstanding: 1,
    batch: 1,
  };
}

/** Each watcher has a connection. */
function pushOf(sizes: Sizes, watchers: number, outstanding: number): LoadMeasurement {
  return {
    id: `pushes.${watchers}.${outstanding}`,
    kind: 'closed',
    stage: 'pushes',
    operation: 'event',
    keys: 1,
    valueBytes: sizes.valueBytes,
    connections: watchers,
    outstanding,
    batch: outstanding,
  };
}
