// From samples to what is shown: rows, targets, and an estimate of how far workers scale. Pure, so that the
// arithmetic is tested without a node.

import { type Spread, spreadOf } from '../peers/statistics.js';
import { ADDED_MICROS_MAX, ESTIMATE_WORKERS, FORWARD_RATIO_MIN } from './limits.js';
import { nameOf, type Operation, type Route, type Series, type Side } from './runs.js';

/** One run of one side. */
export interface Sample {
  readonly operationsPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Of all cores that it had; near 1, the generator is the limit. */
  readonly generatorShare: number;
  /** Cores that the node kept busy, and its processor time an operation. */
  readonly nodeCores: number;
  readonly nodeNanos: number;
  /** Of all operations, as the node counted them. */
  readonly forwardedShare: number;
}

export interface Measured {
  readonly series: Series;
  /** Rounds of each side, in the order of the sides. */
  readonly rounds: readonly (readonly Sample[])[];
}

/** Medians of the rounds. */
export interface Row extends Omit<Sample, 'operationsPerSecond'>, Side {
  readonly name: string;
  readonly kind: Series['kind'];
  readonly durability: Series['durability'];
  readonly operation: Operation;
  readonly batch: number;
  readonly operationsPerSecond: Spread;
  /** Throughput over that of the node with one worker, and over that of the same node without forwarding. */
  readonly overOne: number | null;
  readonly overDirect: number | null;
}

export interface Target {
  readonly name: string;
  readonly value: number;
  readonly bound: number;
  readonly unit: 'x' | 'µs';
  readonly met: boolean;
}

/**
 * What an operation costs a node in processor time, and what follows from it. With frames of `batch` operations that are
 * spread over N workers, (N - 1) / N of them are forwarded, in as many frames as there are other workers that
 * one of them belongs to.
 */
export interface Estimate {
  readonly name: string;
  readonly batch: number;
  readonly workersMeasured: number;
  readonly oneNanos: number;
  readonly directNanos: number;
  readonly forwardNanos: number;
  /** What forwarding costs: a frame, and an operation in it. */
  readonly frameNanos: number;
  readonly operationNanos: number;
  /** Throughput over that of one worker, by number of workers. */
  readonly speedups: readonly {
    readonly workers: number;
    readonly direct: number;
    readonly any: number;
    readonly forward: number;
  }[];
}

export function rowsOf(measured: readonly Measured[]): Row[] {
  return measured.flatMap(({ series, rounds }) => {
    const { kind, durability, operation, batch, sides } = series;
    const medians = rounds.map((samples) => medianOf(samples, 'operationsPerSecond'));
    const at = (wanted: Side): number | undefined =>
      medians[
        sides.findIndex((side) => side.workers === wanted.workers && side.route === wanted.route)
      ];
    const one = at({ workers: 1, route: 'any' });
    return sides.map((side, index): Row => {
      const samples = rounds[index] ?? [];
      const own = medians[index] as number;
      const direct = side.workers === 1 ? undefined : at({ ...side, route: 'direct' });
      return {
        name: nameOf(series),
        kind,
        durability,
        operation,
        batch,
        ...side,
        operationsPerSecond: spreadOf(samples.map((sample) => sample.operationsPerSecond)),
        p50: medianOf(samples, 'p50'),
        p99: medianOf(samples, 'p99'),
        generatorShare: medianOf(samples, 'generatorShare'),
        nodeCores: medianOf(samples, 'nodeCores'),
        nodeNanos: medianOf(samples, 'nodeNanos'),
        forwardedShare: medianOf(samples, 'forwardedShare'),
        overOne: one === undefined ? null : own / one,
        overDirect: direct === undefined ? null : own / direct,
      };
    });
  });
}

function medianOf(samples: readonly Sample[], figure: keyof Sample): number {
  return spreadOf(samples.map((sample) => sample[figure])).median;
}

/** None where there was no node with several workers. */
export function targetsOf(rows: readonly Row[]): Target[] {
  const batchMax = Math.max(...rows.map(({ batch }) => batch));
  return rows
    .filter(({ route, durability }) => route === 'forward' && durability === 'none')
    .flatMap((row): Target[] => {
      const { name, kind, workers, batch, overDirect } = row;
      if (kind === 'throughput') {
        if (batch !== batchMax || overDirect === null) return [];
        const bound = FORWARD_RATIO_MIN;
        const about = `${name}, ${workers} workers: throughput, all forwarded over none`;
        const met = overDirect >= bound;
        return [{ name: about, value: overDirect, bound, unit: 'x', met }];
      }
      const direct = rows.find((it) => it.name === name && isSide(it, workers, 'direct'));
      if (direct === undefined) return [];
      const value = row.p50 - direct.p50;
      const about = `${name}, ${workers} workers: median latency that forwarding adds`;
      const met = value < ADDED_MICROS_MAX;
      return [{ name: about, value, bound: ADDED_MICROS_MAX, unit: 'µs', met }];
    });
}

function isSide(side: Side, workers: number, route: Route): boolean {
  return side.workers === workers && side.route === route;
}

/** Frames for other workers that one frame becomes, as expected where its operations choose of `others` freely. */
export function framesOf(batch: number, choices: number, others: number): number {
  return others * (1 - (1 - 1 / choices) ** batch);
}

/** For each load without durability, from the node with the most workers; none where one is missing. */
export function estimatesOf(rows: readonly Row[]): Estimate[] {
  const plain = rows.filter(
    ({ kind, durability }) => kind === 'throughput' && durability === 'none',
  );
  const workers = Math.max(...plain.map((row) => row.workers));
  const one = plain.filter((row) => isSide(row, 1, 'any'));
  if (workers < 2) return [];
  return one.flatMap((base): Estimate[] => {
    const nanosOf = (batch: number, route: Route): number | undefined =>
      plain.find(
        (row) =>
          row.operation === base.operation && row.batch === batch && isSide(row, workers, route),
      )?.nodeNanos;
    const { batch } = base;
    const directNanos = nanosOf(batch, 'direct');
    const forwardNanos = nanosOf(batch, 'forward');
    if (directNanos === undefined || forwardNanos === undefined) return [];
    const batches = one
      .filter(({ operation }) => operation === base.operation)
      .map((row) => row.batch);
    const points = batches.flatMap((at): ForwardCost[] => {
      const direct = nanosOf(at, 'direct');
      const forward = nanosOf(at, 'forward');
      if (direct === undefined || forward === undefined) return [];
      const frames = framesOf(at, workers - 1, workers - 1) / at;
      return [{ batch: at, framesPerOperation: frames, nanos: forward - direct }];
    });
    const cost = forwardCostOf(points, batch);
    const speedup = (total: number, count: number): number => (count * base.nodeNanos) / total;
    return [
      {
        name: base.name,
        batch,
        workersMeasured: workers,
        oneNanos: base.nodeNanos,
        directNanos,
        forwardNanos,
        ...cost,
        speedups: ESTIMATE_WORKERS.map((count) => {
          const of = (choices: number, share: number): number => {
            const frames = framesOf(batch, choices, count - 1) / batch;
            return directNanos + share * cost.operationNanos + frames * cost.frameNanos;
          };
          return {
            workers: count,
            direct: speedup(directNanos, count),
            any: speedup(of(count, (count - 1) / count), count),
            forward: speedup(of(count - 1, 1), count),
          };
        }),
      },
    ];
  });
}

/** What an operation costs more where all are forwarded, and in how many frames each is. */
export interface ForwardCost {
  readonly batch: number;
  readonly framesPerOperation: number;
  readonly nanos: number;
}

/**
 * Parts the cost into that of a frame and that of an operation, by the line through this batch and the next
 * smaller one (for the smallest: the next greater one). Neither is below 0, which noise may make them.
 */
export function forwardCostOf(
  points: readonly ForwardCost[],
  batch: number,
): { readonly frameNanos: number; readonly operationNanos: number } {
  const sorted = points.toSorted((left, right) => left.batch - right.batch);
  const index = sorted.findIndex((point) => point.batch === batch);
  const here = sorted[index];
  if (here === undefined) throw new Error(`batch ${batch} was not measured`);
  const there = sorted[index - 1] ?? sorted[index + 1];
  const total = Math.max(0, here.nanos);
  if (there === undefined) return { frameNanos: 0, operationNanos: total };
  const slope = (there.nanos - here.nanos) / (there.framesPerOperation - here.framesPerOperation);
  const frameNanos = Math.min(Math.max(0, slope), total / here.framesPerOperation);
  return { frameNanos, operationNanos: total - frameNanos * here.framesPerOperation };
}
