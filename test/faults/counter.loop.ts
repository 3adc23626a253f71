// The fenced counter for a minute or as long as is asked for, with either engine, lock and counter in one
// partition and in two.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nativeAbsence } from '../e2e/client-node.js';
import { freshSeed } from '../parity/random.js';
import { runCounter } from './counter.js';

const SEED = freshSeed();
const SECONDS = Number(process.env.RONDO_FAULTS_SECONDS ?? 60);
const ENGINES = nativeAbsence() === undefined ? (['native', 'ts'] as const) : (['ts'] as const);

it.each(
  ENGINES.flatMap((engine) =>
    [1, 2, 4].flatMap((workers) => [
      { engine, workers, mode: 'same' as const },
      { engine, workers, mode: 'other' as const },
    ]),
  ),
)(
  `loses and repeats no increment, RONDO_SEED=${SEED}: $engine, $mode partition, workers: $workers`,
  async (options) => {
    const folder = mkdtempSync(join(tmpdir(), 'rondo-faults-'));
    try {
      const found = await runCounter({
        ...options,
        folder,
        seed: SEED,
        durationMs: SECONDS * 1000,
      });
      const { done, unknown, fenced, faults, counter } = found;
      console.log({
        ...options,
        counter,
        done: done.length,
        unknown: unknown.length,
        fenced,
        faults,
      });
      expect(found.violations).toEqual([]);
      expect(done.length).toBeGreaterThan(20);
      expect(Math.min(faults.paused, faults.cut, faults.killed)).toBeGreaterThan(0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
