// The shared counter under faults: agents increment it under a lock, while they are paused for longer than
// their lease, their connections are cut, and the node is killed and started again. What they noted must
// agree with the counter: no increment lost, none made twice.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../../ts/client/index.js';
import { KILLABLE, NodeProcess } from '../crash/node.js';
import { freePort } from '../e2e/client-node.js';
import { Random } from '../parity/random.js';
import { CuttingProxy } from './cutting-proxy.js';

const AGENT = fileURLToPath(new URL('./counter-agent.mjs', import.meta.url));
const AGENTS = 4;
/** Longer than the agents' sessions live. */
const PAUSE_MS = 1_700;
const STEP_MS_MAX = 700;

export type Mode = 'same' | 'other' | 'unfenced';

export interface CounterRun {
  readonly engine: 'native' | 'ts';
  readonly mode: Mode;
  /** Of the node; above 1, single ones are killed too. Otherwise 1. */
  readonly workers?: number;
  readonly folder: string;
  readonly seed: number;
  readonly durationMs: number;
}

export interface Findings {
  /** Values whose write was acknowledged, by all agents. */
  readonly done: readonly number[];
  /** Values whose write may have been carried out. */
  readonly unknown: readonly number[];
  /** Writes that were refused because a newer holder was seen. */
  readonly fenced: number;
  readonly counter: number;
  readonly faults: Readonly<Record<'paused' | 'cut' | 'killed' | 'workersKilled', number>>;
  /** What is wrong, in words. */
  readonly violations: readonly string[];
}

export async function runCounter(run: CounterRun): Promise<Findings> {
  const { engine, mode, workers = 1, folder, durationMs } = run;
  mkdirSync(folder, { recursive: true });
  const random = new Random(run.seed);
  const port = await freePort();
  const directory = join(folder, 'data');
  const start = async (): Promise<NodeProcess> => {
    const started = new NodeProcess({ program: KILLABLE, engine, workers, directory, port });
    await started.ready();
    return started;
  };
  let node = await start();
  const proxy = await CuttingProxy.start(port);
  const journals = Array.from({ length: AGENTS }, (_, index) => join(folder, `agent-${index}`));
  const agents = journals.map((journal) =>
    spawnAgent(`ws://127.0.0.1:${proxy.port}`, journal, mode),
  );
  const faults = { paused: 0, cut: 0, killed: 0, workersKilled: 0 };
  const paused = new Set<ChildProcess>();
  try {
    const end = Date.now() + durationMs;
    while (Date.now() < end) {
      await sleep(random.between(50, STEP_MS_MAX));
      const fault = random.below(8);
      if (fault < 5) {
        // Rather one that has read the counter and not written it yet.
        const thinking = agents.filter((_, index) => isThinking(journals[index] as string));
        const agent = random.pick(thinking.length > 0 && random.oneIn(2) ? thinking : agents);
        if (paused.has(agent)) continue;
        paused.add(agent);
        agent.kill('SIGSTOP');
        faults.paused++;
        setTimeout(() => {
          paused.delete(agent);
          agent.kill('SIGCONT');
        }, PAUSE_MS);
      } else if (fault < 7) {
        proxy.cut();
        faults.cut++;
      } else if (workers > 1 && random.oneIn(2)) {
        node.killWorker(random.below(workers));
        faults.workersKilled++;
      } else {
        await node.kill();
        node = await start();
        faults.killed++;
      }
    }
    await sleep(PAUSE_MS);
    await Promise.all(agents.map(endAgent));
    const counter = await readCounter(`ws://127.0.0.1:${port}`);
    const found = judge(journals, counter, faults);
    const fate = node.fate();
    return fate === undefined ? found : { ...found, violations: [...found.violations, fate] };
  } finally {
    for (const agent of agents) if (agent.exitCode === null) agent.kill('SIGKILL');
    await proxy.stop();
    await node.kill();
  }
}

function isThinking(journal: string): boolean {
  if (!existsSync(journal)) return false;
  return readFileSync(journal, 'utf8').trimEnd().split('\n').at(-1)?.startsWith('thinks') === true;
}

function spawnAgent(url: string, journal: string, mode: Mode): ChildProcess {
  return spawn(process.execPath, [AGENT, url, journal, mode], { stdio: 'inherit' });
}

async function endAgent(agent: ChildProcess): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return;
  const exited = once(agent, 'exit');
  agent.kill('SIGCONT');
  agent.kill('SIGTERM');
  const timer = setTimeout(() => agent.kill('SIGKILL'), 15_000);
  await exited;
  clearTimeout(timer);
}

async function readCounter(url: string): Promise<number> {
  const rondo = connect({ url, session: false });
  try {
    return (await rondo.kv.get<number>('faults/{counter}', { timeoutMs: 15_000 })) ?? 0;
  } finally {
    await rondo.close();
  }
}

/** Compares what the agents noted with the counter. */
export function judge(
  journals: readonly string[],
  counter: number,
  faults: Findings['faults'],
): Findings {
  const lines = journals
    .filter((journal) => existsSync(journal))
    .flatMap((journal) => readFileSync(journal, 'utf8').trim().split('\n'))
    .map((line) => line.split(' ') as [string, string]);
  const of = (what: string): number[] =>
    lines.flatMap(([noted, value]) => (noted === what ? [Number(value)] : []));
  const done = of('done').sort((left, right) => left - right);
  const unknown = of('unknown');
  const violations: string[] = [];
  const twice = done.filter((value, index) => value === done[index - 1]);
  for (const value of new Set(twice)) {
    violations.push(`${value} was written and acknowledged more than once: an increment is lost`);
  }
  const known = new Set([...done, ...unknown]);
  for (let value = 1; value <= counter; value++) {
    if (!known.has(value)) violations.push(`nobody wrote ${value}, and the counter is ${counter}`);
  }
  const highest = done.at(-1) ?? 0;
  if (counter < highest)
    violations.push(`${highest} was acknowledged, and the counter is ${counter}`);
  return { done, unknown, fenced: of('fenced').length, counter, faults, violations };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
