// Structure-aware mutation of valid frames: both engines agree on every frame, byte for byte, and a
// refused one changes neither.

import { describe, expect, it } from 'vitest';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { Status } from '../../ts/wire/status.js';
import { enginePair, OPTIONS } from '../drive/engines.js';
import { pairOf } from './configs.js';
import { faultyEngine } from './faulty.js';
import { expectAgreement } from './mutation.js';
import { seedOf } from './random.js';

const SEED = seedOf(5_021);
const FRAMES = 100_000;
const { left, right, note } = enginePair();

describe(`mutated frames, ${note}, RONDO_SEED=${SEED}`, () => {
  it(`${FRAMES} are answered alike`, { timeout: 120_000 }, () => {
    const seen = expectAgreement(pairOf(left, right, OPTIONS), FRAMES, SEED);
    // The mix is of use only while it has all of these in numbers.
    expect(seen.get(Status.Ok)).toBeGreaterThan(FRAMES / 20);
    expect(seen.get(Status.Malformed)).toBeGreaterThan(FRAMES / 4);
    expect(seen.get(Status.DuplicateId)).toBeGreaterThan(100);
  });

  it('a wrong answer is seen', () => {
    const fault = 'a refused frame taken for another reason';
    const make = pairOf(createTsEngine, (options) => faultyEngine(options, fault), OPTIONS);
    expect(() => expectAgreement(make, 2000, SEED)).toThrowError(/RONDO_SEED=/);
  });
});
