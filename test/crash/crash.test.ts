// The crash loop in short: twenty rounds over both engines, and the canaries that show what it can see.
// `npm run test:crash` has the long one.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nativeAbsence } from '../e2e/client-node.js';
import { Random, seedOf } from '../parity/random.js';
import { forgetfulGround, LOSSES, steadyGround, volatileGround } from './grounds.js';
import { crashLoop } from './round.js';
import { compileShim, shimAbsence } from './shim.js';
import { VolatileDisk } from './volatile-disk.js';

const SEED = seedOf(20260804);
const ROUNDS = 8;
/** Of the steady run; with the others they make twenty. */
const ROUNDS_STEADY = 2;
/** With several workers, of which each life may have another number. */
const ROUNDS_SEVERAL = 4;
const WORKERS = [1, 2, 4];
/** Rounds within which a canary must be found. */
const CANARY_ROUNDS = 8;
const LIMIT_MS = 120_000;
/** Times that rounds which proved nothing are followed by more. */
const ATTEMPTS_MAX = 4;

const noShim = shimAbsence();

describe.each([
  { engine: 'native', routing: 'auto', skip: nativeAbsence() },
  { engine: 'ts', routing: 'single', skip: undefined },
] as const)(`crashes of the $engine engine, RONDO_SEED=${SEED}`, ({ engine, routing, skip }) => {
  let root: string;
  let folders = 0;
  const folder = (): string => {
    const made = join(root, String(folders++));
    mkdirSync(made);
    return made;
  };
  const disk = (): VolatileDisk => new VolatileDisk(folder(), compileShim(root));
  const random = (): Random => new Random(SEED);

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'rondo-crash-'));
  });
  afterAll(() => rmSync(root, { recursive: true }));

  it.skipIf(skip !== undefined)(
    'are seen where a node keeps nothing: a canary',
    async () => {
      const ground = forgetfulGround();
      const report = await crashLoop({ engine, rounds: CANARY_ROUNDS, random: random(), ground });
      expect(report.faults.join('\n')).toMatch(/after the restart/);
      expect(report.faults.join('\n')).toMatch(/not linearizable/);
    },
    LIMIT_MS,
  );

  it.skipIf(skip !== undefined)(
    'lose nothing when the process dies',
    async () => {
      const ground = steadyGround(folder());
      const report = await crashLoop({ engine, rounds: ROUNDS_STEADY, random: random(), ground });
      expect(report.faults).toEqual([]);
      // Few on a busy machine; none would prove nothing.
      expect(report.operations).toBeGreaterThan(20);
    },
    LIMIT_MS,
  );

  it.skipIf((skip ?? noShim) !== undefined)(
    `lose nothing in power cuts (${noShim ?? 'a disk that forgets'})`,
    async () => {
      const ground = volatileGround(disk(), { losses: LOSSES });
      let done = 0;
      // On a busy machine little may be done, and cuts may come when nothing is unsynced: then as many more.
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const report = await crashLoop({ engine, rounds: ROUNDS, random: random(), ground });
        expect(report.faults).toEqual([]);
        done += report.operations;
        if (done > 80 && ground.lost.changes > 0) break;
      }
      expect(done).toBeGreaterThan(80);
      expect(ground.lost.changes).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  it.skipIf(skip !== undefined)(
    `lose nothing of several workers, whose number changes, routing ${routing}`,
    async () => {
      const ground =
        noShim === undefined ? volatileGround(disk(), { losses: LOSSES }) : steadyGround(folder());
      const rounds = ROUNDS_SEVERAL;
      const several = { workers: WORKERS, routing, rounds, random: random(), ground };
      const report = await crashLoop({ engine, ...several });
      expect(report.faults).toEqual([]);
      expect(report.operations).toBeGreaterThan(20);
    },
    LIMIT_MS,
  );

  it.skipIf((skip ?? noShim) !== undefined)(
    `are seen where replies do not wait for the log: a canary (${noShim ?? 'durability interval'})`,
    async () => {
      const ground = volatileGround(disk(), {
        losses: ['everything'],
        environment: { RONDO_DURABILITY: 'interval:3600000' },
      });
      const report = await crashLoop({ engine, rounds: CANARY_ROUNDS, random: random(), ground });
      expect(report.faults.join('\n')).toMatch(/not linearizable/);
    },
    LIMIT_MS,
  );
});
