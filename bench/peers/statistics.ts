// What a row's rounds come to: medians, spread, the ratio of both sides, and whether a target is met.
// Pure, so that the rules by which rows are judged are tested without a server.

/** Of the rounds of one side. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** What a row is to reach; each part that is given must hold. Ratios are ours over the peer's. */
export interface Target {
  readonly ratioMin?: number;
  readonly ratioMax?: number;
  /** Our p99 is at most the peer's. */
  readonly p99NotAbove?: true;
}

/** Throws on an empty list or a number that no measurement can have given. */
export function spreadOf(samples: readonly number[]): Spread {
  if (samples.length === 0) throw new Error('no samples');
  const wrong = samples.find((sample) => !Number.isFinite(sample));
  if (wrong !== undefined) throw new Error(`a sample is ${wrong}`);
  const sorted = samples.toSorted((left, right) => left - right);
  const at = (index: number): number => sorted[index] as number;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}

/**
 * The ratio of the medians, and the least and greatest ratio of two neighbouring runs: how much of it
 * the machine's noise may be. Undefined where a figure is not above 0, which memory on a tiny scale may not be.
 */
export function ratioOf(ours: readonly number[], peer: readonly number[]): Spread | undefined {
  const top = spreadOf(ours);
  const bottom = spreadOf(peer);
  if (top.min <= 0 || bottom.min <= 0) return undefined;
  const pairs = ours.slice(0, peer.length).map((sample, round) => sample / (peer[round] as number));
  const { min, max } = spreadOf(pairs);
  return { median: top.median / bottom.median, min, max };
}

/** Undefined where there is no target, or not all that it speaks of was measured. */
export function isMet(
  target: Target | undefined,
  ratio: number | undefined,
  p99?: { readonly rondo: number; readonly peer: number },
): boolean | undefined {
  if (target === undefined || ratio === undefined) return undefined;
  const { ratioMin, ratioMax, p99NotAbove } = target;
  if (p99NotAbove === true && p99 === undefined) return undefined;
  return (
    (ratioMin === undefined || ratio >= ratioMin) &&
    (ratioMax === undefined || ratio <= ratioMax) &&
    (p99 === undefined || p99NotAbove !== true || p99.rondo <= p99.peer)
  );
}

/** `≥ 1.2 x, p99 ≤`, as tables show it. */
export function targetText(target: Target | undefined): string {
  if (target === undefined) return '';
  const parts: string[] = [];
  if (target.ratioMin !== undefined) parts.push(`≥ ${target.ratioMin} x`);
  if (target.ratioMax !== undefined) parts.push(`≤ ${target.ratioMax} x`);
  if (target.p99NotAbove === true) parts.push('p99 ≤');
  return parts.join(', ');
}
