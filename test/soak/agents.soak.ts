// Thousands of histories of sessions and locks, from a seed that differs from run to run: beside the naive
// model, and folded by either engine from the records of the other.

import { describe, expect, it } from 'vitest';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { expectFolds } from '../contract/engine/coordination-fold.js';
import { lockModelContract } from '../contract/engine/lock-model.js';
import { enginePair, findNative } from '../drive/engines.js';
import { freshSeed } from '../parity/random.js';

const HISTORIES = Number(process.env.RONDO_SOAK_HISTORIES ?? 3_000);
const FOLDS = Math.ceil(HISTORIES / 20);
const SEED = freshSeed();
const { left, right, note } = enginePair();
const native = findNative();

lockModelContract(createTsEngine, HISTORIES, SEED);
if ('create' in native) lockModelContract(native.create, HISTORIES, SEED);

describe(`soak of folds, ${note}, RONDO_SEED=${SEED}`, () => {
  it.each([
    ['left by right', left, right],
    ['right by left', right, left],
  ] as const)('%s', (_name, write, read) => {
    for (let round = 0; round < FOLDS; round++) {
      expectFolds(write, read, (SEED + round) >>> 0);
      process.stderr.write(`\rfolds: round ${round + 1} of ${FOLDS} `);
    }
    process.stderr.write('\n');
    expect(FOLDS).toBeGreaterThan(0);
  });
});
