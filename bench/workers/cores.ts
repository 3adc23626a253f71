// Which cores nodes and generator get: apart from each other where the machine has enough of them.

import { availableParallelism } from 'node:os';
import { allowedCores, findProgram } from '../peers/machine.js';

export interface Placement {
  /** As `taskset` takes them; undefined: the system's choice. */
  readonly node: string | undefined;
  readonly generator: string | undefined;
  readonly generatorThreads: number;
  /** For the report. */
  readonly statement: string;
}

export interface Available {
  readonly cores: readonly number[];
  readonly canPin: boolean;
}

export function availableCores(): Available {
  const allowed = allowedCores();
  const cores =
    allowed.length > 0 ? allowed : Array.from({ length: availableParallelism() }, (_, at) => at);
  return { cores, canPin: allowed.length > 0 && findProgram('taskset') !== undefined };
}

/** 1, 2, 4 and so on up to the number of cores, and that number; 2 at least, or nothing is forwarded. */
export function workersDefault(cores: number): number[] {
  const most = Math.max(cores, 2);
  const counts: number[] = [];
  for (let count = 1; count < most; count *= 2) counts.push(count);
  return [...counts, most];
}

/** Nodes get a core a worker of the largest, the generator the others. `threads`: undefined to choose them. */
export function placeOn(
  { cores, canPin }: Available,
  workersMax: number,
  threads: number | undefined,
): Placement {
  const spare = cores.length - workersMax;
  if (canPin && spare > 0) {
    const node = cores.slice(0, workersMax).join(',');
    const generator = cores.slice(workersMax).join(',');
    const generatorThreads = threads ?? spare;
    const statement =
      `nodes run on the cores ${node}, the generator with ${generatorThreads} threads on ` +
      `the cores ${generator}`;
    return { node, generator, generatorThreads, statement };
  }
  const generatorThreads = threads ?? Math.max(1, cores.length >> 1);
  const why = canPin
    ? `${cores.length} cores are not more than ${workersMax} workers`
    : 'taskset is not there';
  const statement =
    `no process is pinned (${why}): generator (${generatorThreads} ` +
    `thread${generatorThreads === 1 ? '' : 's'}) and workers share ${cores.length} cores, so that ` +
    'throughput does not grow with workers as it would beside clients on other machines';
  return { node: undefined, generator: undefined, generatorThreads, statement };
}
