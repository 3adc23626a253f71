// Workers that die under load, a hundred times, with either engine; and the whole node between them. What it costs
// the others is told, and bounded. RONDO_KILLS sets how many kills, RONDO_SEED where to begin.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nativeAbsence } from '../e2e/client-node.js';
import { freshSeed, Random } from '../parity/random.js';
import { runWorkerKills } from './worker-kills.js';

const SEED = freshSeed();
const KILLS = Number(process.env.RONDO_KILLS ?? 100);
/** Of the p99 of calls to living workers: while one is away, to while all live. */
const RATIO_MAX = 2;
/** Milliseconds below which a p99 says nothing but how busy the machine is. */
const P99_MS_FLOOR = 5;

const SETUPS = [
  { engine: 'native', workers: 2, nodeOneIn: 0 },
  { engine: 'native', workers: 4, nodeOneIn: 8 },
  { engine: 'ts', workers: 3, nodeOneIn: 0 },
] as const;

it.each(SETUPS.filter(({ engine }) => engine === 'ts' || nativeAbsence() === undefined))(
  `lose nothing, RONDO_SEED=${SEED}: $engine, $workers workers, the node one time in $nodeOneIn`,
  async (setup) => {
    const folder = mkdtempSync(join(tmpdir(), 'rondo-kills-'));
    const found = await runWorkerKills({
      ...setup,
      kills: KILLS,
      folder,
      random: new Random(SEED),
      onKill: (kill) => process.stderr.write(`\r${setup.engine}: kill ${kill} of ${KILLS} `),
    });
    const { faults, operations, lockOperations, killed, failed, p99 } = found;
    console.log({ ...setup, operations, lockOperations, killed, failed, p99 });
    expect(faults, `data in ${folder}`).toEqual([]);
    expect(killed.workers + killed.nodes).toBe(KILLS);
    expect(p99.during).toBeLessThanOrEqual(RATIO_MAX * Math.max(p99.before, P99_MS_FLOOR));
    rmSync(folder, { recursive: true });
  },
);
