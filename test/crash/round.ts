// The crash loop: a node under load is killed, its disk may lose what was not synced, it starts again on
// what is left, and the history of all its lives is judged.

import { checkHistory } from '../linearizability/check.js';
import type { Random } from '../parity/random.js';
import { History } from './history.js';
import { NodeProcess } from './node.js';
import { missing } from './survival.js';
import { type KeyGroup, keyGroup, Workload } from './workload.js';

/** What a node runs on. */
export interface Ground {
  /** Undefined: memory alone. */
  readonly directory: string | undefined;
  /** For the next process: its environment, and whether a fault is in wait that may end it. */
  begin(random: Random): { environment: Record<string, string>; mayFail: boolean };
  /** The process is dead; gives how it was, for the report. */
  afterKill(random: Random): string;
}

export interface LoopOptions {
  /** See `NodeOptions`. */
  readonly program?: string;
  readonly engine: 'native' | 'ts';
  /** Of each start one of these; otherwise one worker. */
  readonly workers?: readonly number[];
  /** Of the clients. */
  readonly routing?: 'auto' | 'single';
  readonly rounds: number;
  readonly random: Random;
  readonly ground: Ground;
  readonly onRound?: (round: number) => void;
}

export interface LoopReport {
  readonly rounds: number;
  readonly operations: number;
  /** The first round that went wrong ends the loop. */
  readonly faults: readonly string[];
  /** How each crash was. */
  readonly crashes: readonly string[];
}

/** Rounds with the same keys. */
const ROUNDS_PER_GROUP = 4;
/** One round in so many has no load: what was recovered is shown, and then there is a crash. */
const IDLE_ONE_IN = 5;
/** Milliseconds of load before a kill. */
const LOAD_MS_MIN = 30;
const LOAD_MS_MAX = 400;
/** One start in so many is killed before it is done, up to so many milliseconds after its begin. */
const EARLY_KILL_ONE_IN = 4;
const EARLY_KILL_MS_MAX = 300;

export async function crashLoop(options: LoopOptions): Promise<LoopReport> {
  const { program, engine, workers = [1], routing, rounds, random, ground, onRound } = options;
  const history = new History();
  const workload = new Workload(history, random, routing);
  const groups: KeyGroup[] = [];
  const crashes: string[] = [];
  const faults: string[] = [];

  let mayFail = false;
  const start = (): NodeProcess => {
    const { directory } = ground;
    const begun = ground.begin(random);
    mayFail = begun.mayFail;
    const { environment } = begun;
    return new NodeProcess({
      program,
      engine,
      directory,
      environment,
      workers: random.pick(workers),
    });
  };
  const crash = async (node: NodeProcess, when: string): Promise<void> => {
    const fate = node.fate();
    if (fate !== undefined && !mayFail) faults.push(fate);
    await node.kill();
    history.crash();
    crashes.push(`${when}, ${ground.afterKill(random)}`);
  };

  let round = 0;
  while (round < rounds && faults.length === 0) {
    if (round % ROUNDS_PER_GROUP === 0) groups.push(keyGroup(groups.length));
    const group = groups.at(-1) as KeyGroup;
    round++;
    onRound?.(round);
    while (random.oneIn(EARLY_KILL_ONE_IN)) {
      const early = start();
      const time = random.below(EARLY_KILL_MS_MAX);
      await sleep(time);
      await crash(early, `killed ${time} ms after its start`);
    }
    const node = start();
    try {
      const url = await node.ready();
      // In the last round all keys of the run are read, else those in use and those just before.
      faults.push(...(await restarted(url, round === rounds ? groups : groups.slice(-2))));
      if (faults.length > 0) break;
      if (random.oneIn(IDLE_ONE_IN)) {
        await crash(node, 'killed after the first reads');
        continue;
      }
      const load = workload.run(await workload.connect(url), group);
      const time = random.between(LOAD_MS_MIN, LOAD_MS_MAX);
      await sleep(time);
      await crash(node, `killed after ${time} ms of load`);
      faults.push(...(await load));
    } catch (error) {
      if (mayFail) await crash(node, 'ended by its fault at the start');
      else faults.push(error instanceof Error ? error.message : String(error));
    } finally {
      await node.kill();
    }
  }
  return {
    rounds: round,
    operations: history.size,
    faults: faults.map(
      (fault) => `round ${round}: ${fault}\n  crashes: ${crashes.slice(-3).join('; ')}`,
    ),
    crashes,
  };

  /** Reads the keys of a node that has just started, and judges all that was ever told of them. */
  async function restarted(url: string, swept: readonly KeyGroup[]): Promise<string[]> {
    const since = history.now;
    const unread = await workload.sweep(url, swept);
    if (unread.length > 0 && !mayFail) return unread;
    const keys = swept.flatMap(({ keys }) => keys);
    const lost = keys.flatMap((key) => missing(history.of(key), since));
    const { failures } = checkHistory(keys.flatMap((key) => history.of(key)));
    return [...lost, ...failures.map(({ report }) => report)];
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
