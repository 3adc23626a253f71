// Sessions that end in several steps, in lockstep: whatever comes between the steps, both engines make the same.

import { describe, expect, it } from 'vitest';
import { OUTCOME_RECORD_BYTES } from '../../ts/engine/engine.js';
import { enginePair, OPTIONS } from '../drive/engines.js';
import { heavyRecords, longNames } from '../drive/heavy-session.js';
import { pairOf } from './configs.js';
import { expectLockstep, type Pair } from './lockstep.js';
import { Random, seedOf } from './random.js';
import { randomSteps, type Step } from './steps.js';

const SEED = seedOf(90_909);
const PARTITIONS = 4;
const ROUNDS = 4;
/** Of records in a call, as only the end of a large session makes. */
const LARGE_BYTES = 1024 * 1024;
const { left, right, note } = enginePair();

describe(`sessions with more than one step may end, ${note}, RONDO_SEED=${SEED}`, () => {
  it.each(Array.from({ length: ROUNDS }, (_, round) => round))('round %i', (round) => {
    const random = new Random(SEED + round);
    const options = { ...OPTIONS, partitions: PARTITIONS };
    const mix = { keys: 20, valueBytesMax: 64, operationsPerFrameMax: 6, durable: false };
    const revisions = new Float64Array(PARTITIONS);
    // Those of ids that random agents use; some without a record, and sizes around the bound.
    const log = [1, 2, 3].map((session) => {
      const keys = longNames(`k${session}/`, random.below(4500), random.between(700, 1000));
      const locks = longNames(`l${session}/`, random.below(4500), random.between(700, 1000));
      const ttlMs = random.oneIn(3) ? undefined : random.between(1000, 3000);
      return heavyRecords({ session, keys, locks, ttlMs }, PARTITIONS, revisions);
    });
    const fresh = pairOf(left, right, options, { durable: true });
    let largeSteps = 0;
    const make = (): Pair => {
      const pair = fresh();
      const execute = pair.left.execute.bind(pair.left);
      pair.left.execute = (...call) => {
        const returned = execute(...call);
        largeSteps += (pair.left.outcome[OUTCOME_RECORD_BYTES] ?? 0) > LARGE_BYTES ? 1 : 0;
        return returned;
      };
      for (const records of log) {
        pair.left.fold(records);
        pair.right.fold(records);
      }
      return pair;
    };
    const steps = randomSteps(random, 120, { ...mix, agents: true }).flatMap((step): Step[] => {
      const session = random.between(1, 3);
      if (random.oneIn(6)) return [step, { kind: 'end-guest', elapsed: 0, session }];
      return random.oneIn(4) ? [step, { kind: 'guests', elapsed: 0 }] : [step];
    });
    expectLockstep(make, steps, PARTITIONS, SEED + round);
    // Else the rounds would not be about what they are for.
    expect(largeSteps).toBeGreaterThan(0);
  });
}, 120_000);
