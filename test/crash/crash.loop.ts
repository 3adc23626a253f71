// The crash loop at length, over both engines, from a seed that differs from run to run. Each loop has a
// seed and a data directory of its own, which stays where a fault was found. A seed gives the same
// kinds of load and crashes again, but not the same instants: those are the machine's.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativeAbsence } from '../e2e/client-node.js';
import { freshSeed, Random } from '../parity/random.js';
import { LOSSES, steadyGround, volatileGround } from './grounds.js';
import { crashLoop } from './round.js';
import { compileShim, shimAbsence } from './shim.js';
import { VolatileDisk } from './volatile-disk.js';

const ROUNDS = Number(process.env.RONDO_CRASH_ROUNDS ?? 200);
const ROUNDS_PER_LOOP = 17;
/** One loop in so many runs on a plain directory. */
const STEADY_ONE_IN = 4;
/** What the loops run with, one after the other: of the numbers of workers each start takes one. */
const SETUPS = [
  { workers: [1] },
  { workers: [2], routing: 'auto' },
  { workers: [4], routing: 'single' },
  { workers: [2], routing: 'single' },
  { workers: [4], routing: 'auto' },
  { workers: [1, 2, 4], routing: 'auto' },
] as const;
const SEED = freshSeed();
const noShim = shimAbsence();

const engines = [
  { engine: 'native', skip: nativeAbsence() },
  { engine: 'ts', skip: undefined },
] as const;
const rounds = Math.ceil(ROUNDS / engines.filter(({ skip }) => skip === undefined).length);

describe(`crash loop, power cuts: ${noShim ?? 'yes'}, RONDO_SEED=${SEED}`, () => {
  let root: string;

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'rondo-crash-'));
  });

  it.for(engines)('of the $engine engine', async ({ engine, skip }, { skip: leaveOut }) => {
    leaveOut(skip !== undefined, skip);
    let done = 0;
    let operations = 0;
    for (let loop = 0; done < rounds; loop++) {
      const seed = (SEED + loop) >>> 0;
      const folder = join(root, `${engine}-${seed}`);
      mkdirSync(folder);
      const isSteady = noShim !== undefined || loop % STEADY_ONE_IN === STEADY_ONE_IN - 1;
      const ground = isSteady
        ? steadyGround(folder)
        : volatileGround(new VolatileDisk(folder, compileShim(root)), { losses: LOSSES });
      const report = await crashLoop({
        engine,
        ...(SETUPS[loop % SETUPS.length] as (typeof SETUPS)[number]),
        rounds: Math.min(ROUNDS_PER_LOOP, rounds - done),
        random: new Random(seed),
        ground,
        onRound: (round) => {
          process.stderr.write(`\r${engine}: round ${done + round} of ${rounds} `);
        },
      });
      done += report.rounds;
      operations += report.operations;
      expect(report.faults, `RONDO_SEED=${seed}, data in ${folder}`).toEqual([]);
      rmSync(folder, { recursive: true });
    }
    process.stderr.write(`, ${operations} operations\n`);
    expect(operations).toBeGreaterThan(0);
  });
});
