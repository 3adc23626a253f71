// Runs one task in a process of its own, on the core of the servers, and believes only a whole answer.

import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Processes } from '../peers/processes.js';
import type { Progress } from '../peers/progress.js';
import type { Task, TaskAnswer } from './tasks.js';

const MAIN = fileURLToPath(new URL('./task-process.js', import.meta.url));
const DEADLINE_MS = 600_000;
const TICK_MS = 1_000;
/** Megabytes of heap: a task of TypeScript holds a log's state. */
const HEAP_MEGABYTES = 8_192;

const positive = z.number().finite().positive();
const Answer = z.object({
  seconds: positive,
  bytes: positive,
  records: positive,
  latencyMicros: z.object({ p50: positive, p99: positive, p999: positive }).optional(),
  path: z.string().optional(),
  log: z.custom<TaskAnswer['log']>().optional(),
});

export interface TaskContext {
  readonly processes: Processes;
  readonly core: number | undefined;
  readonly progress: Progress;
}

export async function runTask(
  what: string,
  task: Task,
  { processes, core, progress }: TaskContext,
): Promise<TaskAnswer> {
  const args = [`--max-old-space-size=${HEAP_MEGABYTES}`, MAIN, JSON.stringify(task)];
  const began = performance.now();
  progress.show(what);
  const process_ = processes.start(what, process.execPath, args, { core });
  process_.collect();
  const ticker = setInterval(() => {
    progress.show(what, `${Math.round((performance.now() - began) / 1000)} s`);
  }, TICK_MS);
  const deadline = setTimeout(() => process_.child.kill('SIGKILL'), DEADLINE_MS);
  try {
    await process_.ended;
  } finally {
    clearInterval(ticker);
    clearTimeout(deadline);
  }
  if (process_.child.exitCode !== 0) throw new Error(process_.obituary);
  const answer = Answer.safeParse(parse(process_.output));
  if (!answer.success) throw new Error(`${what}: ${z.prettifyError(answer.error)}`);
  return answer.data as TaskAnswer;
}

function parse(output: string): unknown {
  try {
    return JSON.parse(output);
  } catch {
    return undefined; // The schema says that there is no answer.
  }
}
