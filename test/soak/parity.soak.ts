// Millions of random operations and mutated frames, from a seed that differs from run to run. Each
// round is a seed of its own, printed when it fails.

import { describe, expect, it } from 'vitest';
import { enginePair, OPTIONS } from '../drive/engines.js';
import { CONFIGS, pairOf } from '../parity/configs.js';
import { expectLockstep } from '../parity/lockstep.js';
import { expectAgreement } from '../parity/mutation.js';
import { freshSeed, Random } from '../parity/random.js';
import { randomSteps } from '../parity/steps.js';

const OPERATIONS = Number(process.env.RONDO_SOAK_OPERATIONS ?? 3_000_000);
const MUTATIONS = Number(process.env.RONDO_SOAK_MUTATIONS ?? 3_000_000);
const OPERATIONS_PER_ROUND = 20_000;
const MUTATIONS_PER_ROUND = 100_000;
const SEED = freshSeed();
const { left, right, note } = enginePair();

describe(`soak, ${note}, RONDO_SEED=${SEED}`, () => {
  it.each(CONFIGS)('random histories: $name', ({ options, mix, name }) => {
    const rounds = Math.ceil(OPERATIONS / CONFIGS.length / OPERATIONS_PER_ROUND);
    for (let round = 0; round < rounds; round++) {
      const seed = (SEED + round) >>> 0;
      const steps = randomSteps(new Random(seed), OPERATIONS_PER_ROUND, mix);
      const make = pairOf(left, right, options, mix);
      expectLockstep(make, steps, options.partitions, seed);
      process.stderr.write(`\r${name}: round ${round + 1} of ${rounds} `);
    }
    process.stderr.write('\n');
    expect(rounds).toBeGreaterThan(0);
  });

  it('mutated frames', () => {
    const rounds = Math.ceil(MUTATIONS / MUTATIONS_PER_ROUND);
    for (let round = 0; round < rounds; round++) {
      const seed = (SEED + round) >>> 0;
      const seen = expectAgreement(pairOf(left, right, OPTIONS), MUTATIONS_PER_ROUND, seed);
      expect(seen.size).toBeGreaterThan(2);
      process.stderr.write(`\rmutated frames: round ${round + 1} of ${rounds} `);
    }
    process.stderr.write('\n');
  });
});
