// The fenced counter for some seconds, and its canary: without fences the same faults must be seen to lose
// an increment. `npm run test:faults` goes on for longer.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nativeAbsence } from '../e2e/client-node.js';
import { freshSeed } from '../parity/random.js';
import { judge, runCounter } from './counter.js';

const DURATION_MS = 6_000;
/** Runs of the canary, one of which at least must find what it is to find. */
const CANARY_RUNS_MAX = 5;
const SEED = freshSeed();

describe(`a counter under faults, RONDO_SEED=${SEED}`, () => {
  let root: string;

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'rondo-faults-'));
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const cases = [
    { engine: 'native', mode: 'same', workers: 1 },
    { engine: 'ts', mode: 'other', workers: 1 },
    { engine: 'native', mode: 'other', workers: 3 },
  ] as const;
  it.each(cases.filter(({ engine }) => engine === 'ts' || nativeAbsence() === undefined))(
    'loses and repeats no increment: $engine, $mode partition, workers: $workers',
    {
      timeout: 120_000,
    },
    async (setup) => {
      const folder = join(root, Object.values(setup).join('-'));
      const found = await runCounter({ ...setup, folder, seed: SEED, durationMs: DURATION_MS });
      expect(found.violations).toEqual([]);
      // What was not done proves nothing.
      expect(found.done.length).toBeGreaterThan(5);
      expect(found.faults.paused).toBeGreaterThan(0);
    },
  );

  it('finds the loss where nothing is fenced', { timeout: 300_000 }, async () => {
    const engine = 'ts';
    let violations: readonly string[] = [];
    for (let run = 0; run < CANARY_RUNS_MAX && violations.length === 0; run++) {
      const folder = join(root, `canary-${run}`);
      const seed = SEED + run;
      const options = { engine, mode: 'unfenced', folder, seed, durationMs: DURATION_MS } as const;
      violations = (await runCounter(options)).violations;
    }
    expect(violations.length).toBeGreaterThan(0);
  });
});

describe('the judgement of a counter', () => {
  it('finds what is lost, repeated or made up', () => {
    const folder = mkdtempSync(join(tmpdir(), 'rondo-judge-'));
    const journal = join(folder, 'journal');
    const verdict = (lines: readonly string[], counter: number): readonly string[] => {
      writeFileSync(journal, `${lines.join('\n')}\n`);
      return judge([journal], counter, { paused: 0, cut: 0, killed: 0, workersKilled: 0 })
        .violations;
    };
    expect(verdict(['done 1', 'unknown 2', 'done 3'], 3)).toEqual([]);
    expect(verdict(['done 1', 'done 2', 'unknown 3'], 2)).toEqual([]);
    expect(verdict(['done 1', 'done 1'], 1)).toHaveLength(1);
    expect(verdict(['done 1', 'done 3'], 3)).toHaveLength(1);
    expect(verdict(['done 1', 'done 2'], 1)).toHaveLength(1);
    rmSync(folder, { recursive: true });
  });
});
