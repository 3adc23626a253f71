// Seeded randomness for tests: the same seed gives the same run on every machine. The seed of a run
// is RONDO_SEED where it is set; it stands in the name of the test, so that every report has it.

export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** An unsigned 32-bit integer (Steele and Vigna, SplitMix; the 32-bit variant). */
  u32(): number {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** An integer in `[0, bound)`. */
  below(bound: number): number {
    return Math.floor((this.u32() / 2 ** 32) * bound);
  }

  /** An integer in `[least, most]`. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** The seed of this run: RONDO_SEED, or `fallback`. */
export function seedOf(fallback: number): number {
  const given = process.env.RONDO_SEED;
  if (given === undefined || given === '') return fallback;
  const seed = Number(given);
  if (!Number.isInteger(seed)) throw new Error(`RONDO_SEED is ${given}; it takes an integer`);
  return seed >>> 0;
}

/** A seed that differs from run to run, for what soaks. */
export function freshSeed(): number {
  return seedOf((Date.now() ^ (process.pid << 16)) >>> 0);
}
