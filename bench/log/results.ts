// From samples to judged rows, and their table. Pure, so that it is tested without a disk.

import { ratioOf, type Spread, spreadOf } from '../peers/statistics.js';
import type { LogRowSpec, LogTarget, Metric, SeriesId } from './rows.js';

export type LogSample = Partial<Record<Metric, number>>;
export type LogSamples = ReadonlyMap<SeriesId, readonly LogSample[]>;

/** As it stands in `log.json`. */
export interface LogRow {
  readonly name: string;
  readonly what: string;
  readonly unit: string;
  readonly status: 'ok' | 'not measured';
  /** Why there are no figures. */
  readonly reason?: string;
  readonly figure: Spread | null;
  readonly against: (Spread & { readonly name: string }) | null;
  readonly ratio: number | null;
  /** Of neighbouring rounds: how far the noise carries the ratio. */
  readonly ratioSpread: { readonly min: number; readonly max: number } | null;
  readonly target: LogTarget | null;
  readonly met: boolean | null;
}

export function makeLogRow(spec: LogRowSpec, samples: LogSamples, reason = ''): LogRow {
  const { name, what, unit, target = null } = spec;
  const base = { name, what, unit, target };
  const ours = figuresOf(samples.get(spec.series), spec.metric);
  const theirs = spec.against && figuresOf(samples.get(spec.against.series), spec.metric);
  const isWhole = ours.length > 0 && (theirs === undefined || theirs.length > 0);
  if (!isWhole) {
    if (reason === '') throw new Error(`${name} has no samples`);
    const none = { figure: null, against: null, ratio: null, ratioSpread: null, met: null };
    return { ...base, ...none, status: 'not measured', reason };
  }
  const figure = spreadOf(ours);
  const ratio = theirs && ratioOf(ours, theirs);
  return {
    ...base,
    status: 'ok',
    figure,
    against: theirs && spec.against ? { name: spec.against.name, ...spreadOf(theirs) } : null,
    ratio: ratio?.median ?? null,
    ratioSpread: ratio ? { min: ratio.min, max: ratio.max } : null,
    met: isTargetMet(target, figure.median, ratio?.median) ?? null,
  };
}

/** Undefined where there is no target, or not all that it speaks of was measured. */
export function isTargetMet(
  target: LogTarget | null,
  median: number,
  ratio: number | undefined,
): boolean | undefined {
  if (target === null) return undefined;
  if (target.ratioMax !== undefined && ratio === undefined) return undefined;
  return (
    (target.min === undefined || median >= target.min) &&
    (target.ratioMax === undefined || (ratio ?? Number.POSITIVE_INFINITY) <= target.ratioMax)
  );
}

const HEAD = ['row', 'figure', 'against', 'its figure', 'ratio', 'target', 'met'];

export function logTable(rows: readonly LogRow[]): string {
  const cells = rows.map((row) => [
    row.name,
    row.figure === null ? row.status : text(row.figure, row.unit),
    row.against?.name ?? '',
    row.against === null ? '' : text(row.against, row.unit),
    row.ratio === null ? '' : `${row.ratio.toFixed(2)} x`,
    targetText(row.target, row.unit),
    row.met === null ? (row.target === null ? '' : '?') : row.met ? 'yes' : 'NO',
  ]);
  const widths = HEAD.map((title, at) =>
    Math.max(title.length, ...cells.map((row) => (row[at] ?? '').length)),
  );
  return [HEAD, ...cells]
    .map((row) =>
      row
        .map((field, at) => field.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What is not there and why, each reason once. */
export function logNotes(rows: readonly LogRow[]): string[] {
  const reasons = rows.flatMap(({ reason }) => reason ?? []);
  return [...new Set(reasons)].map((reason) => `not measured: ${reason}`);
}

function figuresOf(samples: readonly LogSample[] | undefined, metric: Metric): number[] {
  return (samples ?? []).flatMap((sample) => sample[metric] ?? []);
}

function text({ median, min, max }: Spread, unit: string): string {
  return `${short(median)} ${unit} (${short(min)} to ${short(max)})`;
}

function short(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1);
}

function targetText(target: LogTarget | null, unit: string): string {
  if (target?.min !== undefined) return `≥ ${target.min} ${unit}`;
  return target?.ratioMax === undefined ? '' : `≤ ${target.ratioMax} x`;
}
