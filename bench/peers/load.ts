// Runs the load generator (`bench/load`, Rust), once per figure, and believes it only where its answer
// is whole. It is built here first, so that no stale binary measures.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { writeBytesOf } from './disk.js';
import { findProgram } from './machine.js';
import type { LoadMeasurement } from './measurements.js';
import type { Cores, Processes } from './processes.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BINARY = fileURLToPath(new URL('../../../target/release/rondo-load', import.meta.url));
/** Seconds without an answer after which the generator gives up. */
const SILENCE_SECONDS = 10;
/** Seconds beyond the planned ones after which the generator itself counts as stalled. */
const SLACK_SECONDS = 30;
/** Operations a second that a filling reaches at least, for its deadline: one that syncs is slow. */
const FILL_RATE_MIN = { memory: 50_000, durable: 500 };

const positive = z.number().finite().positive();
const latency = z.number().finite().nonnegative();
const latencies = z.object({
  p50: latency,
  p90: latency,
  p99: latency,
  p999: latency,
  max: latency,
});
const Answer = z.object({
  schema: z.literal(1),
  target: z.string(),
  operations: positive,
  seconds: positive,
  operationsPerSecond: positive,
  latencyMicros: latencies,
  handoverMicros: latencies.optional(),
  clientCpuSeconds: latency,
  readBack: latency,
  server: z.record(z.string(), z.unknown()),
});
export type LoadAnswer = z.infer<typeof Answer>;

export interface LoadRun {
  readonly target: 'rondo' | 'redis' | 'etcd' | 'echo' | 'disk';
  readonly address: string;
  readonly measurement: LoadMeasurement;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly seed: number;
  /** On a node of several workers: whose keys a connection uses, as the generator says. */
  readonly route?: 'any' | 'direct' | 'forward';
  /** Of the generator; 1 where nothing is said. */
  readonly threads?: number;
  /** Operations a second of the open loop. */
  readonly rate?: number;
  /** Writes every key first. */
  readonly prefill?: boolean;
  /** What the server must say of itself: that it promises what its row says. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** The generator's path, built where cargo is there. Throws where there is none. */
export async function prepareGenerator(processes: Processes): Promise<string> {
  const cargo = findProgram('cargo');
  if (cargo === undefined) {
    if (existsSync(BINARY)) return BINARY;
    throw new Error('the load generator needs cargo (Rust) to be built: install it from rustup.rs');
  }
  const args = ['build', '--release', '--locked', '--quiet', '--package', 'rondo-load'];
  const build = processes.start('cargo build of the load generator', cargo, args, { cwd: ROOT });
  build.collect();
  await build.ended;
  if (build.child.exitCode !== 0) throw new Error(build.obituary);
  return BINARY;
}

export async function runLoad(
  processes: Processes,
  generator: string,
  core: Cores | undefined,
  run: LoadRun,
): Promise<LoadAnswer> {
  const name = `the load generator on ${run.target} (${run.measurement.id})`;
  const args = argumentsOf(run);
  const process_ = processes.start(name, generator, args, { core });
  process_.collect();
  const { keys, stage } = run.measurement;
  const fillRate = stage === 'durable' ? FILL_RATE_MIN.durable : FILL_RATE_MIN.memory;
  const fillSeconds = run.prefill === true ? keys / fillRate : 0;
  const planned = run.seconds + run.warmUpSeconds + fillSeconds + SLACK_SECONDS;
  let isStalled = false;
  const timer = setTimeout(() => {
    isStalled = true;
    process_.child.kill('SIGKILL');
  }, planned * 1000);
  await process_.ended;
  clearTimeout(timer);
  if (isStalled) throw new Error(`${name} did not end within ${Math.ceil(planned)} s`);
  if (process_.child.exitCode !== 0) throw new Error(process_.obituary);
  return readAnswer(name, process_.output, run);
}

function readAnswer(name: string, output: string, run: LoadRun): LoadAnswer {
  let json: unknown;
  try {
    json = JSON.parse(output);
  } catch (cause) {
    throw new Error(`${name} printed no JSON: ${output.slice(0, 200)}`, { cause });
  }
  const answer = Answer.safeParse(json);
  if (!answer.success) throw new Error(`${name}: ${z.prettifyError(answer.error)}`);
  const { target, seconds } = answer.data;
  if (target !== run.target) throw new Error(`${name} measured ${target}`);
  const isKept = target !== 'echo' && target !== 'disk';
  if (isKept && run.measurement.operation === 'put' && answer.data.readBack < 1) {
    throw new Error(`${name} read back nothing of what it wrote`);
  }
  for (const [fact, expected] of Object.entries(run.facts ?? {})) {
    const said = answer.data.server[fact];
    if (said !== expected) throw new Error(`${name}: its ${fact} is ${said}, not ${expected}`);
  }
  if (seconds < run.seconds * 0.5) {
    throw new Error(`${name} measured ${seconds} s of ${run.seconds} s`);
  }
  return answer.data;
}

function argumentsOf(run: LoadRun): string[] {
  if (run.target === 'disk') return diskArgumentsOf(run);
  if (run.measurement.operation === 'event') return pushArgumentsOf(run);
  if (run.measurement.operation === 'lock') return lockArgumentsOf(run);
  return valueArgumentsOf(run);
}

function valueArgumentsOf(run: LoadRun): string[] {
  const { measurement } = run;
  const settings: Record<string, string | number> = {
    target: run.target,
    address: run.address,
    connections: measurement.connections,
    threads: run.threads ?? 1,
    outstanding: measurement.outstanding,
    // A call of etcd is a stream of its own: none has to wait for others before it leaves.
    ...(run.target === 'etcd' ? {} : { batch: measurement.batch }),
    'read-ratio': measurement.operation === 'get' ? 1 : 0,
    keys: measurement.keys,
    'value-bytes': measurement.valueBytes,
    duration: run.seconds,
    'warm-up': run.warmUpSeconds,
    seed: run.seed,
    timeout: SILENCE_SECONDS,
    ...(run.route === undefined ? {} : { route: run.route }),
    ...(run.rate === undefined ? {} : { rate: Math.round(run.rate) }),
  };
  return [...flagsOf(settings), ...(run.prefill === true ? ['--prefill'] : [])];
}

function lockArgumentsOf({ target, address, measurement, ...run }: LoadRun): string[] {
  const settings = {
    target,
    address,
    work: 'locks',
    connections: measurement.connections,
    keys: measurement.keys,
    duration: run.seconds,
    'warm-up': run.warmUpSeconds,
    timeout: SILENCE_SECONDS,
  };
  return flagsOf(settings);
}

function pushArgumentsOf({ target, address, measurement, ...run }: LoadRun): string[] {
  const settings = {
    target,
    address,
    watchers: measurement.connections,
    outstanding: measurement.outstanding,
    'value-bytes': measurement.valueBytes,
    duration: run.seconds,
    'warm-up': run.warmUpSeconds,
    timeout: SILENCE_SECONDS,
  };
  return ['pushes', ...flagsOf(settings)];
}

function diskArgumentsOf(run: LoadRun): string[] {
  const settings = {
    file: run.address,
    bytes: writeBytesOf(run.measurement),
    duration: run.seconds,
    'warm-up': run.warmUpSeconds,
  };
  return ['disk', ...flagsOf(settings)];
}

function flagsOf(settings: Readonly<Record<string, string | number>>): string[] {
  const pairs = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  return [...pairs, '--json', '--quiet'];
}
