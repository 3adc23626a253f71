// Gets of a light, steady load while the node compacts its log, and the same gets behind it: in the same
// node with the same state, window by window. A node that starts with a log above its bound compacts it at
// once, and whether it has done so shows in its folder.

import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { dataPaths } from '../../node/log/local/data-directory.js';
import { type LoadRun, runLoad } from '../peers/load.js';
import type { Pinning } from '../peers/machine.js';
import type { LoadMeasurement } from '../peers/measurements.js';
import type { Process, Processes } from '../peers/processes.js';
import type { Progress } from '../peers/progress.js';
import { readyLine } from '../peers/ready-line.js';
import {
  COMPACTION_MS_PER_MB,
  COMPACTION_SHOWS_MS,
  LIGHT_CONNECTIONS,
  LIGHT_KEYS,
  LIGHT_RATE,
  RECOVERY_MS_PER_MB,
  WINDOWS_MAX,
} from './limits.js';
import type { LogSample } from './results.js';

export interface GetsContext {
  readonly processes: Processes;
  readonly generator: string;
  readonly pinning: Pinning;
  readonly progress: Progress;
  /** Of one window. */
  readonly seconds: number;
  /** Of the log that the node starts with. */
  readonly bytes: number;
}

const MAIN = fileURLToPath(new URL('../../node/main.js', import.meta.url));
const LOOK_MS = 20;
const WARM_UP_SECONDS = 0.1;

const MEASUREMENT: LoadMeasurement = {
  id: 'gets',
  kind: 'open',
  stage: 'durable',
  operation: 'get',
  keys: LIGHT_KEYS,
  valueBytes: 64,
  connections: LIGHT_CONNECTIONS,
  outstanding: 1_024,
  batch: 1,
};

/** As many windows beside the compaction as there are behind it. */
export interface Windows {
  readonly beside: readonly LogSample[];
  readonly alone: readonly LogSample[];
}

/** One node's life over a copy of the data directory `template`, made in `folder`. */
export async function measureGets(
  template: string,
  folder: string,
  context: GetsContext,
): Promise<Windows> {
  const { processes, pinning, progress, bytes } = context;
  progress.show('copying a log');
  cpSync(template, folder, { recursive: true });
  const flags = ['--durability', 'sync', '--data-dir', folder, '--engine', 'native'];
  const args = [MAIN, 'serve', '--json', '--port', '0', ...flags];
  const options = { core: pinning.server, isServer: true };
  const node = processes.start('the node', process.execPath, args, options);
  try {
    progress.show('starting a node with a log to compact');
    const ready = await readyLine(node, COMPACTION_SHOWS_MS + (bytes / 1e6) * RECOVERY_MS_PER_MB);
    const run = runOf(`127.0.0.1:${String(ready.port)}`, context);
    await gets({ ...run, seconds: 0.05, prefill: true }, context);
    const compaction = new CompactionWatch(folder, node);
    await compaction.untilSeen();
    const beside: LogSample[] = [];
    while (beside.length < WINDOWS_MAX) {
      progress.show('gets beside a compaction', `window ${beside.length + 1}`);
      const sample = await gets(run, context);
      if (compaction.hasEnded()) break;
      beside.push(sample);
    }
    progress.show('waiting for the compaction to end');
    await compaction.untilEnded(COMPACTION_SHOWS_MS + (bytes / 1e6) * COMPACTION_MS_PER_MB);
    const alone: LogSample[] = [];
    while (alone.length < beside.length) {
      progress.show('gets without a compaction', `window ${alone.length + 1}`);
      alone.push(await gets(run, context));
    }
    return { beside, alone };
  } finally {
    await processes.stop(node);
    rmSync(folder, { recursive: true, force: true });
  }
}

function runOf(address: string, { seconds }: GetsContext): LoadRun {
  return {
    target: 'rondo',
    address,
    measurement: MEASUREMENT,
    seconds,
    warmUpSeconds: WARM_UP_SECONDS,
    seed: 1,
    rate: LIGHT_RATE,
  };
}

async function gets(
  run: LoadRun,
  { processes, generator, pinning }: GetsContext,
): Promise<LogSample> {
  const { latencyMicros } = await runLoad(processes, generator, pinning.generator, run);
  const { p50, p99, p999 } = latencyMicros;
  return { p50, p99, p999 };
}

/** Sees a compaction by what it leaves in the folder of snapshots: first temporary files, then one. */
class CompactionWatch {
  private readonly folder: string;

  constructor(
    directory: string,
    private readonly node: Process,
  ) {
    this.folder = dataPaths(directory).snapshot;
  }

  hasEnded(): boolean {
    return this.has('.snap');
  }

  async untilSeen(): Promise<void> {
    const isSeen = (): boolean => this.has('.tmp') || this.hasEnded();
    if (!(await this.until(isSeen, COMPACTION_SHOWS_MS))) {
      throw new Error(`the node began no compaction within ${COMPACTION_SHOWS_MS} ms of its start`);
    }
  }

  async untilEnded(deadlineMs: number): Promise<void> {
    if (!(await this.until(() => this.hasEnded(), deadlineMs))) {
      throw new Error(`the compaction did not end within ${Math.round(deadlineMs / 1000)} s`);
    }
  }

  private async until(is: () => boolean, deadlineMs: number): Promise<boolean> {
    const deadline = performance.now() + deadlineMs;
    while (!is()) {
      if (this.node.hasEnded) throw new Error(this.node.obituary);
      if (performance.now() > deadline) return false;
      await sleep(LOOK_MS);
    }
    return true;
  }

  private has(extension: string): boolean {
    return (
      existsSync(this.folder) && readdirSync(this.folder).some((name) => name.endsWith(extension))
    );
  }
}
