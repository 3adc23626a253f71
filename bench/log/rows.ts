// The rows of the log's benchmark as data: which figure of which series, held against what.

import { KINDS, type Kind } from './tasks.js';

/** What gives one sample a round. */
export type SeriesId =
  | `recovery.${Shape}.${Kind}`
  | `append.${Kind}`
  | `lonely.${Kind}`
  | 'lonely.disk'
  | `compaction.${Kind}`
  | 'gets.beside'
  | 'gets.alone';

export type Metric = 'megabytesPerSecond' | 'p50' | 'p99' | 'p999';

/** What a log that is recovered consists of. */
export const SHAPES = ['batches', 'single', 'snapshot'] as const;
export type Shape = (typeof SHAPES)[number];

export interface LogTarget {
  readonly min?: number;
  readonly ratioMax?: number;
}

export interface LogRowSpec {
  readonly name: string;
  readonly unit: 'MB/s' | 'µs';
  readonly metric: Metric;
  readonly series: SeriesId;
  readonly against?: { readonly series: SeriesId; readonly name: string };
  readonly target?: LogTarget;
  /** What is done, for the reader. */
  readonly what: string;
}

/** Of what is recovered, MB/s. */
const RECOVERY_TARGETS: Record<Kind, LogTarget> = { native: { min: 300 }, ts: { min: 60 } };
const LANGUAGES: Record<Kind, string> = { native: 'native', ts: 'TypeScript' };
const SHAPE_TEXTS: Record<Shape, string> = {
  batches: 'batches of 15 KB',
  single: 'one record a batch',
  snapshot: 'a snapshot',
};

export function logRows(): LogRowSpec[] {
  return [
    ...SHAPES.flatMap((shape) =>
      KINDS.map((kind): LogRowSpec => {
        const series = `recovery.${shape}.${kind}` as const;
        return {
          ...speed(series, `recovery of ${SHAPE_TEXTS[shape]}, ${LANGUAGES[kind]}`),
          target: RECOVERY_TARGETS[kind],
        };
      }),
    ),
    ...KINDS.map((kind) => speed(`append.${kind}`, `appends of 15 KB, ${LANGUAGES[kind]} writer`)),
    ...KINDS.map(
      (kind): LogRowSpec => ({
        name: `append.lonely.${kind}`,
        unit: 'µs',
        metric: 'p50',
        series: `lonely.${kind}`,
        against: { series: 'lonely.disk', name: 'bare write and sync' },
        what: `one append until it is durable, ${LANGUAGES[kind]} writer`,
      }),
    ),
    ...KINDS.map((kind) => speed(`compaction.${kind}`, `compaction, ${LANGUAGES[kind]}`)),
    ...(['p50', 'p99', 'p999'] as const).map(
      (metric): LogRowSpec => ({
        name: `compaction.gets.${metric}`,
        unit: 'µs',
        metric,
        series: 'gets.beside',
        against: { series: 'gets.alone', name: 'without' },
        ...(metric === 'p999' ? { target: { ratioMax: 2 } } : {}),
        what: `${metric} of gets beside a compaction`,
      }),
    ),
  ];
}

function speed(series: SeriesId, what: string): LogRowSpec {
  const name = series.startsWith('append.')
    ? series.replace('append.', 'append.throughput.')
    : series;
  return { name, unit: 'MB/s', metric: 'megabytesPerSecond', series, what };
}
