// Runs the measurements that rows need: starts the servers of a stage, fills them, and has the sides
// of each measurement take turns, round after round.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClientProcess } from './client.js';
import type { ClientSide } from './client-protocol.js';
import type { Contender } from './contenders.js';
import { type LoadRun, runLoad } from './load.js';
import { type Pinning, residentBytes } from './machine.js';
import {
  type ClientMeasurement,
  type LoadMeasurement,
  type Measurement,
  type Side,
  STAGES,
  type Stage,
} from './measurements.js';
import type { Server } from './peer.js';
import type { Processes } from './processes.js';
import type { Progress } from './progress.js';
import { spreadOf } from './statistics.js';

/** One run of one side. */
export interface Sample {
  readonly operationsPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Microseconds from the release of a lock to the next holder's grant. */
  readonly handoverP99?: number;
  /** Of one core: near 1, the side that makes the load is the limit and not the server. */
  readonly generatorShare: number;
  /** Growth of the server's resident memory since it was empty, and what it says of itself. */
  readonly bytesPerKey?: number;
  readonly details?: Readonly<Record<string, number>>;
  /** Operations a second that the open loop was to offer. */
  readonly rate?: number;
}

/** A measurement and the sides that rows ask for. */
export interface Task {
  readonly measurement: Measurement;
  readonly sides: readonly Side[];
}

/** Rounds by side by measurement id. */
export type Samples = Map<string, Map<Side, Sample[]>>;

export interface Bench {
  readonly processes: Processes;
  readonly contenders: ReadonlyMap<Side, Contender>;
  readonly generator: string;
  readonly pinning: Pinning;
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly progress: Progress;
}

/** A server of a stage with what belongs to it. */
interface Running {
  readonly server: Server;
  readonly emptyBytes: number | undefined;
  readonly client?: ClientProcess;
}

const TARGETS: Partial<Record<Side, LoadRun['target']>> = {
  rondo: 'rondo',
  'rondo-ts': 'rondo',
  redis: 'redis',
  echo: 'echo',
  'rondo-sync': 'rondo',
  'redis-always': 'redis',
  etcd: 'etcd',
  disk: 'disk',
};
/** What servers say of the durability that rows state for them. */
const FACTS: Partial<Record<Side, LoadRun['facts']>> = {
  rondo: { durability: 'none' },
  'rondo-ts': { durability: 'none' },
  'rondo-sync': { durability: 'sync' },
  redis: { appendOnly: false },
  'redis-always': { appendOnly: true },
};
/** Sides that hold no keys. */
const KEYLESS: readonly Side[] = ['echo', 'disk'];
/** Seconds to start a process and connect, for the estimate; and keys a second of a filling. */
const START_SECONDS = 0.3;
const FILL_RATE = 700_000;
const FILL_RATE_OF: Partial<Record<Side, number>> = { etcd: 5_000, 'redis-always': 100_000 };
const FILL_SEED = 1;
/** The generator measures after filling, too: unused, but too short it fails on a busy machine. */
const FILL_MEASURED_SECONDS = 0.25;
/** Milliseconds after a failure within which the end of a server shows, which then is the reason. */
const DEATH_NOTICE_MS = 200;

/** Seconds that all tasks will take, for the estimate. */
export function plannedSeconds(tasks: readonly Task[], bench: Omit<Bench, 'progress'>): number {
  let seconds = 0;
  for (const stage of STAGES) {
    const ofStage = tasks.filter(({ measurement }) => measurement.stage === stage);
    for (const side of sidesOf(ofStage)) seconds += fillSeconds(side, ofStage);
    for (const { sides } of ofStage) seconds += sides.length * bench.rounds * runSeconds(bench);
  }
  return seconds;
}

function runSeconds(bench: Omit<Bench, 'progress'>): number {
  return bench.seconds + bench.warmUpSeconds + START_SECONDS;
}

function fillSeconds(side: Side, tasks: readonly Task[]): number {
  const isEmpty = KEYLESS.includes(side) || tasks[0]?.measurement.stage === 'pushes';
  const keys = isEmpty ? 0 : (tasks[0]?.measurement.keys ?? 0);
  return START_SECONDS + keys / (FILL_RATE_OF[side] ?? FILL_RATE);
}

function sidesOf(tasks: readonly Task[]): Side[] {
  return [...new Set(tasks.flatMap(({ sides }) => sides))];
}

export async function measureAll(tasks: readonly Task[], bench: Bench): Promise<Samples> {
  const samples: Samples = new Map();
  for (const stage of STAGES) {
    const ofStage = tasks.filter(({ measurement }) => measurement.stage === stage);
    if (ofStage.length === 0) continue;
    try {
      await measureStage(stage, ofStage, bench, samples);
    } catch (error) {
      await sleep(DEATH_NOTICE_MS);
      const [death] = bench.processes.deaths();
      if (death === undefined) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${death}\n${why}`, { cause: error });
    }
  }
  return samples;
}

async function measureStage(
  stage: Stage,
  tasks: readonly Task[],
  bench: Bench,
  samples: Samples,
): Promise<void> {
  const { progress, processes, rounds } = bench;
  const running = new Map<Side, Running>();
  progress.show(`starting servers (${stage})`);
  const sides = sidesOf(tasks);
  const servers = await Promise.all(
    sides.map((side) => startServer(`${stage}-${side}`, side, bench)),
  );
  for (const [index, side] of sides.entries()) {
    progress.show(`filling ${bench.contenders.get(side)?.name} (${stage})`);
    running.set(side, await fill(side, servers[index] as Server, tasks, bench));
    progress.done(fillSeconds(side, tasks));
  }
  for (const { measurement, sides } of tasks) {
    const bySide = new Map<Side, Sample[]>(sides.map((side) => [side, []]));
    samples.set(measurement.id, bySide);
    for (let round = 0; round < rounds; round++) {
      for (const side of sides) {
        progress.show(measurement.id, `round ${round + 1} of ${rounds}, ${side}`);
        const rate = rateOf(measurement, samples);
        const it = running.get(side) as Running;
        bySide.get(side)?.push(await measureOnce(measurement, side, it, round, rate, bench));
        const [death] = processes.deaths();
        if (death !== undefined) throw new Error(death);
        progress.done(runSeconds(bench));
      }
    }
  }
  await Promise.all([...running.values()].map((it) => stop(it, processes)));
}

async function stop({ client, server }: Running, processes: Processes): Promise<void> {
  if (client !== undefined) await processes.stop(client.process);
  if (server.process !== undefined) await processes.stop(server.process);
}

async function startServer(name: string, side: Side, bench: Bench): Promise<Server> {
  const { processes, pinning } = bench;
  const contender = bench.contenders.get(side);
  if (contender?.found === undefined) throw new Error(`${side} is not installed`);
  const folder = join(bench.folder, name);
  mkdirSync(folder);
  return contender.peer.start(contender.found, { processes, folder, core: pinning.server });
}

/** Writes all keys of the stage, and starts the client process where the stage has one. */
async function fill(
  side: Side,
  server: Server,
  tasks: readonly Task[],
  bench: Bench,
): Promise<Running> {
  const { processes, pinning } = bench;
  const core = pinning.generator;
  const emptyBytes = memoryOf(server);
  const { measurement } = tasks[0] as Task;
  if (measurement.kind === 'client') {
    const { keys, valueBytes } = measurement;
    const of = side as ClientSide;
    const client = await ClientProcess.start(processes, core, of, server.address, keys, valueBytes);
    return { server, emptyBytes, client };
  }
  if (!KEYLESS.includes(side) && measurement.stage !== 'pushes') {
    const run = loadRun({ ...measurement, operation: 'get' }, side, server, FILL_SEED, bench);
    const short = { seconds: FILL_MEASURED_SECONDS, warmUpSeconds: 0 };
    await runLoad(processes, bench.generator, core, { ...run, ...short, prefill: true });
  }
  return { server, emptyBytes };
}

/** The rate of an open loop: the share of the slower side's median in the closed loop. */
function rateOf(measurement: Measurement, samples: Samples): number | undefined {
  if (measurement.kind !== 'open' || measurement.rate === undefined) return undefined;
  const { peak, share } = measurement.rate;
  const medians = [...(samples.get(peak) ?? [])]
    .filter(([side]) => side === 'rondo' || side === 'redis')
    .map(([, rounds]) => spreadOf(rounds.map((round) => round.operationsPerSecond)).median);
  if (medians.length === 0) throw new Error(`${measurement.id} needs ${peak}, not measured`);
  return Math.max(1, Math.round(Math.min(...medians) * share));
}

function measureOnce(
  measurement: Measurement,
  side: Side,
  running: Running,
  round: number,
  rate: number | undefined,
  bench: Bench,
): Promise<Sample> {
  return measurement.kind === 'client'
    ? measureClient(measurement, running, bench)
    : measureLoad(measurement, side, running, round, rate, bench);
}

async function measureClient(
  { operation, calls }: ClientMeasurement,
  { client }: Running,
  { seconds, warmUpSeconds }: Bench,
): Promise<Sample> {
  if (client === undefined) throw new Error('a client row has no client process');
  const answer = await client.measure({
    kind: 'measure',
    operation,
    calls,
    seconds,
    warmUpSeconds,
  });
  return {
    operationsPerSecond: answer.operations / answer.seconds,
    ...answer.latencyMicros,
    generatorShare: answer.cpuSeconds / answer.seconds,
  };
}

async function measureLoad(
  measurement: LoadMeasurement,
  side: Side,
  { server, emptyBytes }: Running,
  round: number,
  rate: number | undefined,
  bench: Bench,
): Promise<Sample> {
  // The same seed for all sides of a round: the same keys in the same order.
  const run = loadRun(measurement, side, server, FILL_SEED + 1 + round, bench);
  const { pinning, generator } = bench;
  // What measures the disk is in the place of a server.
  const core = side === 'disk' ? pinning.server : pinning.generator;
  const answer = await runLoad(bench.processes, generator, core, {
    ...run,
    ...(rate === undefined ? {} : { rate }),
  });
  const { p50, p99, p999 } = answer.latencyMicros;
  const bytes = memoryOf(server);
  const details = await server.details?.();
  return {
    operationsPerSecond: answer.operationsPerSecond,
    p50,
    p99,
    p999,
    generatorShare: answer.clientCpuSeconds / answer.seconds,
    ...(answer.handoverMicros === undefined ? {} : { handoverP99: answer.handoverMicros.p99 }),
    ...(bytes === undefined || emptyBytes === undefined
      ? {}
      : { bytesPerKey: (bytes - emptyBytes) / measurement.keys }),
    ...(details === undefined ? {} : { details }),
    ...(rate === undefined ? {} : { rate }),
  };
}

function memoryOf({ process }: Server): number | undefined {
  return process && residentBytes(process.pid);
}

function loadRun(
  measurement: LoadMeasurement,
  side: Side,
  { address }: Server,
  seed: number,
  { seconds, warmUpSeconds }: Bench,
): LoadRun {
  const target = TARGETS[side];
  if (target === undefined) throw new Error(`the load generator does not speak to ${side}`);
  // Of subscribers Redis says nothing.
  const facts = (side === 'redis' && measurement.operation === 'event' ? {} : FACTS[side]) ?? {};
  return { target, address, measurement, seconds, warmUpSeconds, seed, facts };
}
