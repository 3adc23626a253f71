// The texts around the table: what was measured where and how, for a reader who was not there.

import type { Machine } from './machine.js';
import type { Row } from './results.js';
import { notesOf, tableOf } from './table.js';

export interface RunFacts {
  readonly machine: Machine;
  readonly pinning: string;
  /** Where durable data lies; absent where no row is durable. */
  readonly storage?: string;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly rounds: number;
  readonly quick: boolean;
  readonly tookSeconds: number;
  readonly date: string;
}

export function headerOf(run: RunFacts): string {
  const { machine } = run;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGigabytes} GiB; ${machine.system}; ` +
      `Node ${machine.node}; ${run.date.slice(0, 10)}.`,
    `Median (least to greatest) of ${run.rounds} rounds in which the sides take turns, ` +
      `${run.seconds} s each after ${run.warmUpSeconds} s of warm-up; ${run.pinning}` +
      `${run.storage === undefined ? '' : `; ${run.storage}`}.`,
    ...(run.quick
      ? ['A quick run: tiny sizes, to see that every row runs. Its figures mean nothing.']
      : []),
  ].join('\n');
}

/** `peers.md`. */
export function documentOf(rows: readonly Row[], run: RunFacts): string {
  return [
    '# Rondo and its peers, side by side',
    '',
    'Written by `npm run bench:peers`. The same generator, payloads, number of operations on the way',
    'and checks of every answer on both sides; after each measurement of puts a sample of the keys is',
    'read back and must hold what that measurement wrote. Nothing is durable on either side where a row',
    'does not say so. `batch` is how many operations go out in one frame, and for how many the pipeline',
    'of Redis waits; calls of etcd wait for no others. What is due at once on a connection leaves in one',
    'write on both sides. The ratio is the median of Rondo over that of the peer, below 1 in favour of',
    'Rondo where less is better; p99 is Rondo / peer.',
    '',
    'The durable rows: Redis has `appendonly yes`, `appendfsync always`, `no-appendfsync-on-rewrite no`',
    '(its default) and never rewrites its file; etcd is a cluster of one with its default settings. The',
    'bare write and sync is a loop on the core of the servers that writes what the log of the node',
    'writes for one lone put into a file that has its full length, and syncs it before the next.',
    '',
    headerOf(run),
    '',
    '![ratios](peers.svg)',
    '',
    tableOf(rows, 'markdown'),
    '',
    ...notesOf(rows).flatMap((note) => [note.replace(/^\*/, '\\*'), '']),
  ].join('\n');
}

export function jsonOf(rows: readonly Row[], run: RunFacts): string {
  return `${JSON.stringify({ schema: 1, run, rows }, null, 2)}\n`;
}
