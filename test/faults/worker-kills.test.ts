// Workers that die under load, in short: `npm run test:workers` goes on for longer, and has the figures.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nativeAbsence } from '../e2e/client-node.js';
import { freshSeed, Random } from '../parity/random.js';
import { runWorkerKills } from './worker-kills.js';

const SEED = freshSeed();
const KILLS = 5;
const NODE_ONE_IN = 4;

describe(`workers that are killed under load, RONDO_SEED=${SEED}`, () => {
  let root: string;

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'rondo-kills-'));
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it.skipIf(nativeAbsence() !== undefined)(
    'lose nothing, and the others go on',
    { timeout: 180_000 },
    async () => {
      const found = await runWorkerKills({
        engine: 'native',
        workers: 3,
        kills: KILLS,
        nodeOneIn: NODE_ONE_IN,
        folder: root,
        random: new Random(SEED),
      });
      expect(found.faults).toEqual([]);
      expect(found.operations).toBeGreaterThan(50);
      expect(found.lockOperations).toBeGreaterThan(20);
      expect(found.killed.workers + found.killed.nodes).toBe(KILLS);
    },
  );

  it('are seen where they keep nothing: a canary', { timeout: 180_000 }, async () => {
    const { faults } = await runWorkerKills({
      engine: 'ts',
      workers: 2,
      kills: KILLS,
      nodeOneIn: 0,
      folder: undefined,
      random: new Random(SEED),
    });
    expect(faults.join('\n')).toMatch(/after the restart|not-linearizable|not linearizable/);
  });
});
