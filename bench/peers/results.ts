// From samples to the rows of the report: pure, so that absent peers, missing parts and targets are
// tested without a server.

import type { Sample, Samples } from './measure.js';
import type { Measurement, Side } from './measurements.js';
import type { Metric, RowSpec } from './row-spec.js';
import { isMet, ratioOf, type Spread, spreadOf, type Target } from './statistics.js';

/** A side as far as rows name it. */
export interface Named {
  readonly name: string;
  /** Undefined where it is absent. */
  readonly version: string | undefined;
  readonly install: string | undefined;
}

export type RowStatus = 'ok' | 'absent' | 'not yet';

/** As it stands in `peers.json`. Ratios are the node's figure over the peer's. */
export interface Row {
  readonly name: string;
  readonly status: RowStatus;
  /** Why there are no figures. */
  readonly reason?: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly config: Readonly<Record<string, string | number>>;
  readonly rondo: (Spread & { readonly generatorShare: number }) | null;
  readonly peer: { readonly name: string; readonly version: string | null } & Partial<
    Spread & { readonly generatorShare: number }
  >;
  readonly ratio: number | null;
  /** Of neighbouring runs: how far the noise carries the ratio. */
  readonly ratioSpread: { readonly min: number; readonly max: number } | null;
  /** Microseconds, medians of the rounds. */
  readonly p99: { readonly rondo: number; readonly peer: number } | null;
  readonly target: Target | null;
  readonly met: boolean | null;
}

/**
 * Of one core, from which on the generator and not the server is likely to be the limit. Not nearer to
 * 1: what the kernel and other processes take of the core is not in the generator's own time.
 */
export const GENERATOR_BOUND = 0.9;

export function makeRow(
  spec: RowSpec,
  sides: ReadonlyMap<Side, Named>,
  samples: Samples,
  rounds: number,
): Row {
  const named = sides.get(spec.peer);
  if (named === undefined) throw new Error(`${spec.name}: no side ${spec.peer}`);
  const base = {
    name: spec.name,
    unit: spec.unit,
    better: spec.better,
    config: configOf(spec, samples, rounds),
    target: spec.target ?? null,
  };
  const empty = (status: RowStatus, reason: string): Row => ({
    ...base,
    status,
    reason,
    rondo: null,
    peer: { name: named.name, version: named.version ?? null },
    ratio: null,
    ratioSpread: null,
    p99: null,
    met: null,
  });
  if (spec.source === undefined) return empty('not yet', 'the node does not have this yet');
  for (const side of [spec.rondo, spec.peer]) {
    const { name, version, install = '' } = sides.get(side) ?? named;
    if (version === undefined) return empty('absent', `${name} is not installed: ${install}`);
  }
  const { measurement, metric } = spec.source;
  const bySide = samples.get(measurement.id);
  const ours = bySide?.get(spec.rondo) ?? [];
  const theirs = bySide?.get(spec.peer) ?? [];
  if (ours.length !== rounds || theirs.length !== rounds) {
    throw new Error(`${spec.name}: ${ours.length} and ${theirs.length} of ${rounds} rounds`);
  }
  const ourFigures = figuresOf(ours, metric);
  const theirFigures = figuresOf(theirs, metric);
  if (ourFigures === undefined || theirFigures === undefined) {
    return empty('absent', 'this system does not tell how much memory a process has');
  }
  const ratio = ratioOf(ourFigures, theirFigures);
  const p99 = {
    rondo: spreadOf(ours.map((sample) => sample.p99)).median,
    peer: spreadOf(theirs.map((sample) => sample.p99)).median,
  };
  return {
    ...base,
    status: 'ok',
    rondo: { ...spreadOf(ourFigures), generatorShare: shareOf(ours) },
    peer: {
      name: named.name,
      version: named.version ?? null,
      ...spreadOf(theirFigures),
      generatorShare: shareOf(theirs),
    },
    ratio: ratio?.median ?? null,
    ratioSpread: ratio === undefined ? null : { min: ratio.min, max: ratio.max },
    p99: spec.unit === 'ops/s' ? p99 : null,
    met: isMet(spec.target, ratio?.median, p99) ?? null,
  };
}

/** Undefined where a sample lacks the figure. */
function figuresOf(samples: readonly Sample[], metric: Metric): number[] | undefined {
  const figures = samples.map((sample) => sample[metric]);
  return figures.some((figure) => figure === undefined) ? undefined : (figures as number[]);
}

function shareOf(samples: readonly Sample[]): number {
  return spreadOf(samples.map(({ generatorShare }) => generatorShare)).median;
}

function configOf(
  { source, durability, peer }: RowSpec,
  samples: Samples,
  rounds: number,
): Record<string, string | number> {
  const promised = { durabilityRondo: durability.rondo, durabilityPeer: durability.peer };
  if (source === undefined) return promised;
  const { measurement, metric } = source;
  const details = samples.get(measurement.id)?.get(peer)?.at(-1)?.details;
  const used = metric === 'bytesPerKey' ? details?.usedMemoryBytes : undefined;
  return {
    ...loopOf(measurement, samples),
    operation: measurement.operation,
    keys: measurement.keys,
    valueBytes: measurement.valueBytes,
    ...promised,
    rounds,
    ...(used === undefined ? {} : { peerUsedMemoryBytesPerKey: used / measurement.keys }),
  };
}

function loopOf(measurement: Measurement, samples: Samples): Record<string, string | number> {
  if (measurement.kind === 'client') {
    return {
      loop: 'closed',
      connections: 1,
      calls: measurement.calls,
      batch: 'as the client does',
    };
  }
  const { kind, connections, outstanding, batch, rate } = measurement;
  const loop = { loop: kind, connections, outstanding, batch };
  if (rate === undefined) return loop;
  const offered = samples.get(measurement.id)?.get('rondo')?.at(-1)?.rate;
  return {
    ...loop,
    shareOfSlowerPeak: rate.share,
    ...(offered === undefined ? {} : { rate: offered }),
  };
}
