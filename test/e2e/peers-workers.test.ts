// The benchmark of workers end to end, in its smallest form: every row runs and says what was forwarded, and
// nothing is left behind.

import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Estimate, Row, Target } from '../../bench/workers/figures.js';
import { BATCHES } from '../../bench/workers/limits.js';
import { nameOf, seriesOf } from '../../bench/workers/runs.js';
import { buildGenerator, runBench } from './peers-fixture.js';

const BUILD_TIMEOUT_MS = 600_000;
const RUN_TIMEOUT_MS = 300_000;

const isLinux = process.platform === 'linux';
const absence = isLinux ? buildGenerator() : 'processes are looked for in /proc, which is Linux';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rondo-peers-workers-'));
}, BUILD_TIMEOUT_MS);
afterAll(() => rmSync(folder, { recursive: true }));

interface Results {
  readonly run: { readonly quick: boolean };
  readonly rows: readonly Row[];
  readonly targets: readonly Target[];
  readonly estimates: readonly Estimate[];
}

describe.skipIf(absence !== undefined)(`bench:workers${absence ? ` (${absence})` : ''}`, () => {
  it('runs every row with and without a disk, and leaves nothing behind', {
    timeout: RUN_TIMEOUT_MS,
  }, async () => {
    const TMPDIR = join(folder, 'quick');
    mkdirSync(TMPDIR);
    const args = ['--quick', '--workers', '1,2', '--sync', '--seconds', '0.1', '--json'];
    const run = runBench('workers', args, { TMPDIR });
    const { code, stdout, stderr } = await run.ended;
    expect(stderr).not.toContain('bench:workers:');
    expect(code).toBe(0);
    expect(run.leftovers()).toEqual([]);
    expect(readdirSync(TMPDIR)).toEqual([]);
    const { rows, targets, estimates, ...more } = JSON.parse(stdout) as Results;
    expect(more.run.quick).toBe(true);
    const series = seriesOf([1, 2], BATCHES, ['none', 'sync']);
    const names = series.flatMap((one) => one.sides.map(() => nameOf(one)));
    expect(rows.map(({ name }) => name)).toEqual(names);
    for (const { name, route, forwardedShare, operationsPerSecond, workers } of rows) {
      const what = `${name} ${route} ${workers}`;
      expect(operationsPerSecond.median, what).toBeGreaterThan(0);
      if (route === 'forward') expect(forwardedShare, what).toBe(1);
      if (route === 'direct' || workers === 1) expect(forwardedShare, what).toBe(0);
    }
    expect(targets).toHaveLength(4);
    expect(estimates).toHaveLength(2 * BATCHES.length);
  });

  it('says what is wrong with an option, and starts nothing', async () => {
    const run = runBench('workers', ['--workers', '0']);
    const { code, stderr } = await run.ended;
    expect(code).toBe(2);
    expect(stderr).toContain('Numbers of 1 to');
    expect(run.leftovers()).toEqual([]);
  });
});
