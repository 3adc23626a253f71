// Starts the nodes, fills them, and has the sides of each series take turns, round after round. What a node
// used and forwarded meanwhile comes from the system and from its own metrics.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LoadRun, runLoad } from '../peers/load.js';
import { processorSeconds } from '../peers/machine.js';
import { rondo } from '../peers/node.js';
import type { Server } from '../peers/peer.js';
import type { Processes } from '../peers/processes.js';
import type { Progress } from '../peers/progress.js';
import type { Placement } from './cores.js';
import type { Measured, Sample } from './figures.js';
import {
  type Durability,
  measurementOf,
  nameOf,
  type Series,
  type Side,
  type Sizes,
} from './runs.js';

export interface Bench {
  readonly processes: Processes;
  readonly progress: Progress;
  readonly generator: string;
  readonly placement: Placement;
  readonly folder: string;
  readonly sizes: Sizes;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** Seconds to start a process and connect, for the estimate of the time left. */
const START_SECONDS = 0.5;
const FILL_SEED = 1;
/** The generator measures after filling, too: unused, but too short it fails on a busy machine. */
const FILL_MEASURED_SECONDS = 0.25;
/** Milliseconds after a failure within which the end of a node shows, which then is the reason. */
const DEATH_NOTICE_MS = 200;

export function plannedSeconds(
  series: readonly Series[],
  { rounds, seconds, warmUpSeconds }: Pick<Bench, 'rounds' | 'seconds' | 'warmUpSeconds'>,
): number {
  const runs = series.reduce((sum, { sides }) => sum + sides.length, 0) * rounds;
  return runs * (seconds + warmUpSeconds + START_SECONDS) + nodesOf(series).length * START_SECONDS;
}

export async function measureAll(series: readonly Series[], bench: Bench): Promise<Measured[]> {
  try {
    return await measureSeries(series, bench);
  } catch (error) {
    await sleep(DEATH_NOTICE_MS);
    const [death] = bench.processes.deaths();
    if (death === undefined) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${death}\n${why}`, { cause: error });
  }
}

async function measureSeries(series: readonly Series[], bench: Bench): Promise<Measured[]> {
  const { progress, rounds, seconds, warmUpSeconds } = bench;
  const nodes = new Map<string, Server>();
  for (const node of nodesOf(series)) {
    progress.show(`starting and filling ${keyOf(node)}`);
    nodes.set(keyOf(node), await startFilled(node, bench));
    progress.done(START_SECONDS);
  }
  const measured: Measured[] = [];
  for (const one of series) {
    const taken: Sample[][] = one.sides.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [index, side] of one.sides.entries()) {
        const how = `round ${round + 1} of ${rounds}, ${side.workers} workers, ${side.route}`;
        progress.show(nameOf(one), how);
        const node = nodes.get(keyOf({ ...side, durability: one.durability })) as Server;
        taken[index]?.push(await measureOnce(one, side, node, round, bench));
        const [death] = bench.processes.deaths();
        if (death !== undefined) throw new Error(death);
        progress.done(seconds + warmUpSeconds + START_SECONDS);
      }
    }
    measured.push({ series: one, rounds: taken });
  }
  return measured;
}

interface Node {
  readonly workers: number;
  readonly durability: Durability;
}

function keyOf({ workers, durability }: Node): string {
  return `the node with ${workers} worker${workers === 1 ? '' : 's'}, durability ${durability}`;
}

function nodesOf(series: readonly Series[]): Node[] {
  const nodes = series.flatMap(({ sides, durability }) =>
    sides.map(({ workers }): Node => ({ workers, durability })),
  );
  return [...new Map(nodes.map((node) => [keyOf(node), node])).values()];
}

async function startFilled(node: Node, bench: Bench): Promise<Server> {
  const { processes, placement } = bench;
  const { workers, durability } = node;
  const folder = join(bench.folder, `${durability}-${workers}`);
  mkdirSync(folder);
  const peer = rondo('native', durability, workers);
  const found = { program: process.execPath, version: '' };
  const server = await peer.start(found, { processes, folder, core: placement.node });
  const filling: Series = { kind: 'throughput', durability, operation: 'get', batch: 1, sides: [] };
  const run = loadRun(filling, { workers, route: 'any' }, server, FILL_SEED, bench);
  const short = { prefill: true, seconds: FILL_MEASURED_SECONDS, warmUpSeconds: 0 };
  await runLoad(processes, bench.generator, placement.generator, { ...run, ...short });
  return server;
}

async function measureOnce(
  series: Series,
  side: Side,
  server: Server,
  round: number,
  bench: Bench,
): Promise<Sample> {
  // The same seed for all sides of a round.
  const run = loadRun(series, side, server, FILL_SEED + 1 + round, bench);
  const before = await usageOf(server);
  const began = performance.now();
  const { generator, placement, processes } = bench;
  const answer = await runLoad(processes, generator, placement.generator, run);
  const elapsed = (performance.now() - began) / 1000;
  const after = await usageOf(server);
  const operations = after.operations - before.operations;
  const used = after.processorSeconds - before.processorSeconds;
  if (operations < answer.operations) {
    throw new Error(`the node counted ${operations} operations of ${answer.operations}`);
  }
  return {
    operationsPerSecond: answer.operationsPerSecond,
    p50: answer.latencyMicros.p50,
    p99: answer.latencyMicros.p99,
    generatorShare: answer.clientCpuSeconds / answer.seconds / (run.threads ?? 1),
    nodeCores: used / elapsed,
    nodeNanos: (used / operations) * 1e9,
    forwardedShare: (after.forwarded - before.forwarded) / operations,
  };
}

function loadRun(
  series: Series,
  { workers, route }: Side,
  { address }: Server,
  seed: number,
  { sizes, seconds, warmUpSeconds, placement }: Bench,
): LoadRun {
  const measurement = measurementOf(series, sizes);
  return {
    target: 'rondo',
    address,
    measurement,
    seconds,
    warmUpSeconds,
    seed,
    route,
    threads: Math.min(placement.generatorThreads, measurement.connections),
    facts: { durability: series.durability, workers },
  };
}

interface Usage {
  readonly operations: number;
  readonly forwarded: number;
  readonly processorSeconds: number;
}

async function usageOf({ address, process }: Server): Promise<Usage> {
  if (process === undefined) throw new Error('a node has no process');
  const response = await fetch(`http://${address}/metrics`, { headers: { connection: 'close' } });
  const text = await response.text();
  if (!response.ok) throw new Error(`/metrics answers ${response.status}: ${text.slice(0, 200)}`);
  return {
    operations: sumOf(text, 'rondo_operations_total'),
    forwarded: sumOf(text, 'rondo_forwarded_operations_total'),
    processorSeconds: processorSeconds(process.pid),
  };
}

/** Of a metric over its labels. Throws where it is not there. */
export function sumOf(metrics: string, name: string): number {
  const figures = metrics
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
  if (figures.length === 0) throw new Error(`the node has no metric ${name}`);
  return figures.reduce((sum, figure) => sum + figure, 0);
}
