// One row of the benchmark, before it has figures.

import type { Measurement, Side } from './measurements.js';
import type { Target } from './statistics.js';

export type Metric = 'operationsPerSecond' | 'p50' | 'p99' | 'p999' | 'bytesPerKey' | 'handoverP99';

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

/** What a positive answer to a write means on both sides of a row. */
export type Promises = RowSpec['durability'];

const NONE: Promises = { rondo: 'none', peer: 'none' };

/** A row of throughput. */
export function rowOf(
  measurement: Measurement,
  rondo: Side,
  peer: Side,
  name: string,
  target?: Target,
  durability = NONE,
): RowSpec {
  return {
    name,
    unit: 'ops/s',
    better: 'higher',
    rondo,
    peer,
    durability,
    ...(target === undefined ? {} : { target }),
    source: { measurement, metric: 'operationsPerSecond' },
  };
}
