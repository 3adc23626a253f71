// A process of the engine benchmark: one contender with one number of keys, so that no other's heap
// or garbage weighs on its figures. Told by its parent which cell to measure next.

import { Bench } from 'tinybench';
import { type Contender, makeSubject, type Run, type Subject, type Task } from './workload.js';

export type Order =
  | { readonly kind: 'fill'; readonly contender: Contender; readonly keys: number }
  | {
      readonly kind: 'measure';
      readonly task: Task;
      readonly operationsPerFrame: number;
      readonly timeMs: number;
    };

export type Answer =
  | { readonly kind: 'filled'; readonly bytes: number }
  /** Median nanoseconds of an operation; undefined where the contender cannot do the task. */
  | { readonly kind: 'measured'; readonly ns: number | undefined }
  | { readonly kind: 'failed'; readonly message: string };

/** Operations of one timed iteration: some hundred microseconds, far above the clock's grain. */
const OPERATIONS_PER_ITERATION = 4096;
/** Scans of one: each is a hundred entries. */
const SCANS_PER_ITERATION = 128;

let subject: Subject | undefined;
/** The task last prepared; its frames serve all rounds. */
const prepared = new Map<string, Run | undefined>();

process.on('message', (order: Order) => {
  try {
    process.send?.(carryOut(order));
  } catch (error) {
    process.send?.({
      kind: 'failed',
      message: String(error instanceof Error ? error.stack : error),
    });
  }
});

function carryOut(order: Order): Answer {
  if (order.kind === 'fill') {
    const before = process.memoryUsage().rss;
    subject = makeSubject(order.contender, order.keys);
    globalThis.gc?.();
    return { kind: 'filled', bytes: process.memoryUsage().rss - before };
  }
  if (subject === undefined) throw new Error('not filled yet');
  const { task, operationsPerFrame, timeMs } = order;
  const cell = `${task} ${operationsPerFrame}`;
  if (!prepared.has(cell)) {
    prepared.clear(); // One task's frames at a time: they take hundreds of megabytes.
    prepared.set(cell, subject.prepare(task, operationsPerFrame));
  }
  const run = prepared.get(cell);
  if (run === undefined) return { kind: 'measured', ns: undefined };

  const operations = task === 'scan' ? SCANS_PER_ITERATION : OPERATIONS_PER_ITERATION;
  const frames = Math.max(1, Math.floor(operations / operationsPerFrame));
  globalThis.gc?.();
  const bench = new Bench({
    time: timeMs,
    iterations: 8,
    warmupTime: timeMs / 3,
    warmupIterations: 4,
  });
  bench.add(cell, () => run(frames));
  bench.runSync();
  const result = bench.tasks[0]?.result;
  if (result === undefined || !('latency' in result)) {
    const cause = result !== undefined && 'error' in result ? result.error : undefined;
    throw new Error(`${cell} was not measured`, { cause });
  }
  subject.verify();
  return { kind: 'measured', ns: (result.latency.p50 * 1e6) / (frames * operationsPerFrame) };
}
