// Canaries by the dozen: a stand-in for the node that is right passes the crash loop, and each way in
// which a log is written wrong is found by it. `npm test` has those that are found soon, the long run all.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../parity/random.js';
import { LOSSES, volatileGround } from './grounds.js';
import { STAND_IN } from './node.js';
import { crashLoop, type LoopReport } from './round.js';
import type { Loss } from './sectors.js';
import { compileShim, shimAbsence } from './shim.js';
import type { Fault } from './stand-in.js';
import { VolatileDisk } from './volatile-disk.js';

const ROUNDS_RIGHT = 6;
/** Rounds within which a fault must be found. */
const ROUNDS_FAULTY = 40;
const LIMIT_MS = 120_000;
/** Something is missing, or what comes after the hole can't be folded. */
const GONE = /not linearizable|RECORDS_MALFORMED|is damaged at byte/;
/** One life in so many has a sync that fails. */
const FAIL_SYNC_ONE_IN = 3;
const absence = shimAbsence();

interface Case {
  readonly fault: Fault;
  readonly losses: readonly (Loss | 'nothing')[];
  readonly failSyncOneIn?: number;
}

/** Found within a round or two. */
const SOON: readonly Case[] = [
  { fault: 'acknowledges-early', losses: ['everything'] },
  { fault: 'recovers-unsynced', losses: ['nothing', 'everything'] },
  { fault: 'forgets-directory', losses: ['everything'] },
];
/** Found when chance has torn the right sector or killed at the right moment. */
/** Times that cuts which took nothing are made again. */
const ATTEMPTS_MAX = 6;
const LATER: readonly Case[] = [
  { fault: 'reads-early', losses: ['everything'] },
  { fault: 'keeps-torn-tail', losses: ['tail', 'scattered'] },
  { fault: 'trusts-bytes', losses: ['scattered'] },
  { fault: 'retries-sync', losses: ['everything'], failSyncOneIn: 2 },
];

export function describeFaults(seed: number, which: 'soon' | 'all'): void {
  describe.skipIf(absence !== undefined)(
    `the crash loop (${absence ?? 'on a disk that forgets'}), RONDO_SEED=${seed}`,
    () => {
      let root: string;
      let folders = 0;

      beforeAll(() => {
        root = mkdtempSync(join(tmpdir(), 'rondo-faults-'));
      });
      afterAll(() => rmSync(root, { recursive: true }));

      async function loop(
        rounds: number,
        losses: readonly (Loss | 'nothing')[],
        environment: Record<string, string>,
        failSyncOneIn = 0,
      ): Promise<LoopReport & { lost: number }> {
        const folder = join(root, String(folders++));
        mkdirSync(folder);
        const disk = new VolatileDisk(folder, compileShim(root));
        const ground = volatileGround(disk, { losses, environment, failSyncOneIn });
        const random = new Random(seed);
        const report = await crashLoop({ program: STAND_IN, engine: 'ts', rounds, random, ground });
        return { ...report, lost: ground.lost.changes };
      }

      it(
        'passes a log that is right',
        async () => {
          // On a busy machine a few cuts may all come when nothing is unsynced: then as many more.
          let taken = 0;
          for (let attempt = 0; attempt < ATTEMPTS_MAX && taken === 0; attempt++) {
            const { faults, lost, rounds } = await loop(ROUNDS_RIGHT, LOSSES, {}, FAIL_SYNC_ONE_IN);
            expect(faults).toEqual([]);
            expect(rounds).toBe(ROUNDS_RIGHT);
            taken += lost;
          }
          expect(taken).toBeGreaterThan(0);
        },
        LIMIT_MS,
      );

      it.each(which === 'soon' ? SOON : [...SOON, ...LATER])(
        'finds one that $fault',
        async ({ fault, losses, failSyncOneIn }) => {
          const environment = { STAND_IN_FAULT: fault };
          const { faults } = await loop(ROUNDS_FAULTY, losses, environment, failSyncOneIn);
          expect(faults.join('\n')).toMatch(GONE);
        },
        LIMIT_MS,
      );
    },
  );
}
