// `npm run bench:engine`: both engines and a bare Map, side by side in one run. Each contender has a
// process of its own; within a cell they take turns, round by round, and the median round counts.

import { type ChildProcess, fork } from 'node:child_process';
import { cpus, loadavg, platform, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import type { Answer, Order } from './contender.js';
import {
  CONTENDERS,
  type Contender,
  SCAN_ENTRIES,
  TASKS,
  type Task,
  VALUE_BYTES,
} from './workload.js';

const OPERATIONS_PER_FRAME = [1, 16, 128];
/** Enough for 5,000,000 keys in a Map, with the frames beside it. */
const HEAP_MEGABYTES = 8192;

interface Cell {
  readonly keys: number;
  readonly task: Task;
  readonly operationsPerFrame: number;
  /** Median nanoseconds an operation. */
  readonly ns: Record<Contender, number | undefined>;
}

const options = new Command('bench:engine')
  .description('Both engines and a bare Map, side by side on one core.')
  .option('--quick', '100,000 keys only, fewer and shorter rounds')
  .option('--json', 'figures as JSON on standard output')
  .option('--markdown', 'the table for the README')
  .option('--keys <N,N>', 'other numbers of keys, 1000 or more each', parseSizes)
  .parse()
  .opts<{ quick?: true; json?: true; markdown?: true; keys?: number[] }>();
const sizes = options.keys ?? (options.quick ? [100_000] : [100_000, 5_000_000]);
const rounds = options.quick ? 3 : 5;
const timeMs = options.quick ? 100 : 250;

const machine = {
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  system: `${platform()} ${release()}`,
  node: process.version,
  /** Of the last minute, before this run: above half a core, others take part of the machine. */
  load: loadavg()[0] ?? 0,
};
const LOAD_QUIET = 0.5;
const cells: Cell[] = [];
for (const keys of sizes) cells.push(...(await measureSize(keys)));
report();

async function measureSize(keys: number): Promise<Cell[]> {
  const children = new Map<Contender, ChildProcess>();
  try {
    for (const contender of CONTENDERS) {
      progress(`${count(keys)} keys: filling ${contender}`);
      const child = start();
      children.set(contender, child);
      await order(child, { kind: 'fill', contender, keys });
    }
    const measured: Cell[] = [];
    for (const task of TASKS) {
      for (const operationsPerFrame of OPERATIONS_PER_FRAME) {
        progress(`${count(keys)} keys: ${task}, ${operationsPerFrame} a frame`);
        const ns = await measureCell(children, task, operationsPerFrame);
        measured.push({ keys, task, operationsPerFrame, ns });
      }
    }
    return measured;
  } finally {
    for (const child of children.values()) child.kill();
    progress('');
  }
}

async function measureCell(
  children: Map<Contender, ChildProcess>,
  task: Task,
  operationsPerFrame: number,
): Promise<Record<Contender, number | undefined>> {
  const samples: Record<Contender, number[]> = { native: [], ts: [], map: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [contender, child] of children) {
      const answer = await order(child, { kind: 'measure', task, operationsPerFrame, timeMs });
      if (answer.kind === 'measured' && answer.ns !== undefined) samples[contender].push(answer.ns);
    }
  }
  return { native: median(samples.native), ts: median(samples.ts), map: median(samples.map) };
}

function start(): ChildProcess {
  return fork(fileURLToPath(new URL('contender.js', import.meta.url)), {
    execArgv: ['--expose-gc', `--max-old-space-size=${HEAP_MEGABYTES}`],
  });
}

function order(child: ChildProcess, what: Order): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ended = (status: number | null, signal: string | null) =>
      reject(new Error(`a contender ended before it answered: ${signal ?? status}`));
    child.once('exit', ended);
    child.once('message', (answer: Answer) => {
      child.off('exit', ended);
      if (answer.kind === 'failed') reject(new Error(answer.message));
      else resolve(answer);
    });
    child.send(what);
  });
}

function median(samples: number[]): number | undefined {
  return samples.toSorted((left, right) => left - right)[Math.floor(samples.length / 2)];
}

function report(): void {
  if (options.json) {
    console.log(
      JSON.stringify({ machine, valueBytes: VALUE_BYTES, rounds, timeMs, cells }, null, 2),
    );
    return;
  }
  const { cpu, cores, system, node, load } = machine;
  console.log(
    [
      `${cpu}, ${cores} cores, one used; ${system}; Node ${node}; values of ${VALUE_BYTES} bytes, ` +
        `random keys, median of ${rounds} rounds.`,
      `The Map has less to do: ready-made key strings, no frame, no copy, no record. Scans return ` +
        `${SCAN_ENTRIES} entries; a Map has no order to scan.`,
      ...(load > LOAD_QUIET
        ? [`The machine was busy with other work (load ${load.toFixed(1)}): figures are too low.`]
        : []),
      '',
    ].join('\n'),
  );
  const head = ['keys', 'task', 'ops/frame', 'native', 'ts', 'Map', 'native/ts', 'native/Map'];
  const rows = cells.map(({ keys, task, operationsPerFrame, ns }) => [
    count(keys),
    task,
    `${operationsPerFrame}`,
    figure(ns.native),
    figure(ns.ts),
    figure(ns.map),
    ratio(ns.ts, ns.native),
    ratio(ns.map, ns.native),
  ]);
  const widths = head.map((title, at) =>
    Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0), title.length),
  );
  const line = (row: string[]) => {
    const fields = row.map((field, at) =>
      at < 2 ? field.padEnd(widths[at] ?? 0) : field.padStart(widths[at] ?? 0),
    );
    return options.markdown ? `| ${fields.join(' | ')} |` : fields.join('  ');
  };
  console.log(line(head));
  if (options.markdown) {
    console.log(
      `| ${widths.map((width, at) => (at < 2 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`,
    );
  }
  for (const row of rows) console.log(line(row));
}

/** `12.3 M/s (81 ns)` */
function figure(ns: number | undefined): string {
  if (ns === undefined) return '-';
  const perSecond = 1e9 / ns;
  const rate =
    perSecond >= 1e6
      ? `${(perSecond / 1e6).toFixed(2)} M/s`
      : `${(perSecond / 1e3).toFixed(1)} k/s`;
  return `${rate} (${ns >= 1000 ? `${(ns / 1000).toFixed(1)} µs` : `${ns.toFixed(0)} ns`})`;
}

/** How many times as fast the native engine is. */
function ratio(other: number | undefined, native: number | undefined): string {
  return other === undefined || native === undefined ? '-' : `${(other / native).toFixed(2)}x`;
}

function count(keys: number): string {
  return keys.toLocaleString('en-US');
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else if (text !== '') process.stderr.write(`${text}\n`);
}

function parseSizes(text: string): number[] {
  const parsed = text.split(',').map(Number);
  if (parsed.some((keys) => !Number.isInteger(keys) || keys < 1000)) {
    throw new InvalidArgumentError('Numbers of 1000 or more, separated by commas.');
  }
  return parsed;
}
