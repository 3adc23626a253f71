// Runs the load generator (`bench/load`, Rust), once per figure, and believes it only where its answer
// is whole. It is built here first, so that no stale binary measures.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { findProgram } from './machine.js';
import type { Processes } from './processes.js';
import type { LoadMeasurement } from './rows.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BINARY = fileURLToPath(new URL('../../../target/release/rondo-load', import.meta.url));
/** Seconds without an answer after which the generator gives up. */
const SILENCE_SECONDS = 10;
/** Seconds beyond the planned ones after which the generator itself counts as stalled. */
const SLACK_SECONDS = 30;
/** Operations a second that a filling reaches at least, for its deadline. */
const FILL_RATE_MIN = 50_000;

const positive = z.number().finite().positive();
const latency = z.number().finite().nonnegative();
const Answer = z.object({
  schema: z.literal(1),
  target: z.string(),
  operations: positive,
  seconds: positive,
  operationsPerSecond: positive,
  latencyMicros: z.object({
    p50: latency,
    p90: latency,
    p99: latency,
    p999: latency,
    max: latency,
  }),
  clientCpuSeconds: latency,
});
export type LoadAnswer = z.infer<typeof Answer>;

export interface LoadRun {
  readonly target: 'rondo' | 'redis' | 'echo';
  readonly address: string;
  readonly measurement: LoadMeasurement;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly seed: number;
  /** Operations a second of the open loop. */
  readonly rate?: number;
  /** Writes every key first. */
  readonly prefill?: boolean;
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
  core: number | undefined,
  run: LoadRun,
): Promise<LoadAnswer> {
  const name = `the load generator on ${run.target} (${run.measurement.id})`;
  const process_ = processes.start(name, generator, argumentsOf(run), { core });
  process_.collect();
  const fillSeconds = run.prefill === true ? run.measurement.keys / FILL_RATE_MIN : 0;
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
  if (seconds < run.seconds * 0.5) {
    throw new Error(`${name} measured ${seconds} s of ${run.seconds} s`);
  }
  return answer.data;
}

function argumentsOf(run: LoadRun): string[] {
  const { measurement } = run;
  const settings: Record<string, string | number> = {
    target: run.target,
    address: run.address,
    connections: measurement.connections,
    threads: 1,
    outstanding: measurement.outstanding,
    batch: measurement.batch,
    'read-ratio': measurement.operation === 'get' ? 1 : 0,
    keys: measurement.keys,
    'value-bytes': measurement.valueBytes,
    duration: run.seconds,
    'warm-up': run.warmUpSeconds,
    seed: run.seed,
    timeout: SILENCE_SECONDS,
    ...(run.rate === undefined ? {} : { rate: Math.round(run.rate) }),
  };
  const pairs = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  return [...pairs, '--json', '--quiet', ...(run.prefill === true ? ['--prefill'] : [])];
}
