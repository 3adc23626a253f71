// The power fails in the midst of a redistribution: whatever of it the disk has kept, the directory is of the old
// logs or of the new ones, whole. Killed at every step, and at moments between them, while syncs take long.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { readLayout } from '../../node/log/local/worker-logs.js';
import { findNative } from '../drive/engines.js';
import { Random, seedOf } from '../parity/random.js';
import { everyKind } from '../unit/log-every-kind.js';
import { DIST, PARTITIONS, RecordMaker, temporaryFolder } from '../unit/log-files.js';
import { MapState } from '../unit/log-state.js';
import { append, OWNERS, prepare, wholeState } from '../unit/log-workers.js';
import type { Loss } from './sectors.js';
import { compileShim, shimAbsence } from './shim.js';
import { VolatileDisk } from './volatile-disk.js';

const SEED = seedOf(6);
const LIMIT_MS = 180_000;
const LOSSES: readonly Loss[] = ['everything', 'tail', 'scattered'];
/** Moments between steps at which the process is killed. */
const MOMENTS = 4;
/** Up to which a sync takes longer, so that moments fall into one. */
const SYNC_US = 4_000;
const MOMENT_MS_MAX = 120;

const module = (path: string) => JSON.stringify(pathToFileURL(join(DIST, path)).href);

/** Redistributes; kills itself before the change with this index, counted from 0. */
function programFor(path: string, workers: number, killAt: number, isNative: boolean): string {
  return `
    import { realClock } from ${module('node/clock.js')};
    import { prepareWorkers } from ${module('node/log/local/redistribution.js')};
    import { chooseEngine } from ${module('ts/engine/load.js')};
    let step = 0;
    const { close } = await prepareWorkers(${JSON.stringify(path)}, {
      partitions: ${PARTITIONS},
      workers: ${workers},
      owners: Uint16Array.from(${JSON.stringify([...(OWNERS[workers] ?? [])])}),
      addon: ${isNative ? "chooseEngine('native').addon" : 'undefined'},
      clock: realClock,
      logger: { info() {}, warn() {}, error() {} },
      onStep() {
        if (step++ === ${killAt}) process.kill(process.pid, 'SIGKILL');
      },
    });
    console.log('prepared');
    if (${killAt} < 0) setInterval(() => {}, 1000);
    else close();
  `;
}

interface Run {
  readonly disk: VolatileDisk;
  readonly workers: number;
  readonly isNative: boolean;
  readonly killAt?: number;
  /** Left out: it is killed by itself, or ends. */
  readonly killAfterMs?: number;
}

/** Whether it was killed. */
async function redistribute(run: Run): Promise<boolean> {
  const { disk, workers, isNative, killAt = -1, killAfterMs } = run;
  const file = `${disk.directory}.mjs`;
  writeFileSync(file, programFor(disk.directory, workers, killAt, isNative));
  const slow = killAfterMs === undefined ? {} : { syncUs: SYNC_US };
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...disk.environment(slow) },
  });
  const ended = once(child, 'exit');
  if (killAfterMs !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, killAfterMs));
    child.kill('SIGKILL');
  }
  const [code, signal] = await ended;
  if (signal === null) expect(code).toBe(0);
  return signal === 'SIGKILL';
}

const engines = 'reason' in findNative() ? [false] : [false, true];
const noShim = shimAbsence();

it.skipIf(noShim !== undefined).each([
  [1, 2],
  [4, 3],
])(
  `from %i to %i workers, RONDO_SEED=${SEED}`,
  async (from, to) => {
    const random = new Random(SEED);
    const root = temporaryFolder();
    const library = compileShim(root);
    let disks = 0;
    /** A directory of `from` workers with a record of every kind, all of it durable. */
    const begin = async () => {
      const folder = join(root, `disk-${disks++}`);
      mkdirSync(folder);
      const disk = new VolatileDisk(folder, library);
      const make = new RecordMaker();
      const model = new MapState();
      const batches = [everyKind(make), [make.put('behind', 'x'.repeat(3000))]];
      for (const record of batches.flat()) model.fold(record);
      await append(await prepare(disk.directory, from), batches);
      return { disk, model, old: readLayout(disk.directory).generation };
    };
    const check = async (
      { disk, model, old }: Awaited<ReturnType<typeof begin>>,
      loss: Loss,
      at: string,
    ) => {
      disk.lose(loss, random);
      const { generation } = readLayout(disk.directory);
      expect([old, old + 1], at).toContain(generation);
      expect(await wholeState(disk.directory), at).toEqual(model.state);
      await prepare(disk.directory, random.below(2) === 0 ? from : to);
      expect(await wholeState(disk.directory), at).toEqual(model.state);
      return generation - old;
    };
    const outcomes = new Set<number>();
    const engineOf = (turn: number) => engines[turn % engines.length] === true;
    const first = random.below(engines.length);
    let isKilled = true;
    for (let killAt = 0; isKilled; killAt++) {
      const begun = await begin();
      const isNative = engineOf(first + killAt);
      isKilled = await redistribute({ disk: begun.disk, workers: to, isNative, killAt });
      const loss = LOSSES[random.below(LOSSES.length)] as Loss;
      outcomes.add(await check(begun, loss, `${loss} at change ${killAt}, native ${isNative}`));
    }
    for (let moment = 0; moment < MOMENTS; moment++) {
      const begun = await begin();
      const isNative = engineOf(moment);
      const killAfterMs = 60 + random.below(MOMENT_MS_MAX);
      await redistribute({ disk: begun.disk, workers: to, isNative, killAfterMs });
      const loss = LOSSES[random.below(LOSSES.length)] as Loss;
      outcomes.add(await check(begun, loss, `${loss} after ${killAfterMs} ms, native ${isNative}`));
    }
    expect([...outcomes].sort()).toEqual([0, 1]);
  },
  LIMIT_MS,
);
