// The options of `npm run bench:workers`.

import { Command, InvalidArgumentError } from 'commander';
import { WORKERS_MAX } from '../../ts/wire/limits.js';
import {
  GENERATOR_THREADS_MAX,
  ROUNDS_DEFAULT,
  ROUNDS_MAX,
  SECONDS_DEFAULT,
  SECONDS_MAX,
  WARM_UP_SECONDS_MAX,
} from './limits.js';

export interface Options {
  readonly quick: boolean;
  /** Ascending, each once; undefined: as the machine's cores suggest. */
  readonly workers: readonly number[] | undefined;
  readonly sync: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly form: 'text' | 'markdown' | 'json';
  readonly generatorThreads: number | undefined;
  /** A load generator built elsewhere. */
  readonly generator: string | undefined;
}

interface Parsed {
  readonly quick?: true;
  readonly workers?: readonly number[];
  readonly sync?: true;
  readonly rounds?: number;
  readonly seconds?: number;
  readonly json?: true;
  readonly markdown?: true;
  readonly generatorThreads?: number;
  readonly generator?: string;
}

/** Throws `CommanderError`. */
export function parseOptions(argv: readonly string[]): Options {
  const program = new Command('bench:workers')
    .description(
      'Nodes of one and of several workers: what forwarding costs, and how far workers scale',
    )
    .option('--quick', 'tiny sizes and one round: whether every row runs, not how fast')
    .option(
      '--workers <LIST>',
      'numbers of workers (default: 1, 2, 4 up to the cores)',
      parseWorkers,
    )
    .option('--sync', 'also with every write on the disk before it is answered')
    .option('--rounds <N>', `turns of each side (default: ${ROUNDS_DEFAULT})`, whole(ROUNDS_MAX))
    .option('--seconds <S>', `seconds of one turn (default: ${SECONDS_DEFAULT})`, parseSeconds)
    .option(
      '--generator-threads <N>',
      'threads of the load generator (default: as cores are left)',
      whole(GENERATOR_THREADS_MAX),
    )
    .option('--json', 'print one JSON object in place of tables')
    .option('--markdown', 'print the tables as Markdown')
    .option('--generator <FILE>', 'use this load generator in place of building it')
    .addHelpText('after', '\nExample:\n  npm run bench:workers -- --workers 1,2,4 --rounds 3')
    .exitOverride();
  program.parse(argv, { from: 'user' });
  if (program.args.length > 0) program.error(`error: unexpected argument '${program.args[0]}'`);
  const parsed = program.opts<Parsed>();
  if (parsed.json && parsed.markdown) program.error('error: either --json or --markdown');
  const quick = parsed.quick === true;
  const seconds = parsed.seconds ?? (quick ? 0.3 : SECONDS_DEFAULT);
  return {
    quick,
    workers: parsed.workers,
    sync: parsed.sync === true,
    rounds: parsed.rounds ?? (quick ? 1 : ROUNDS_DEFAULT),
    seconds,
    warmUpSeconds: quick ? 0.1 : Math.min(WARM_UP_SECONDS_MAX, seconds / 2),
    form: parsed.json ? 'json' : parsed.markdown ? 'markdown' : 'text',
    generatorThreads: parsed.generatorThreads,
    generator: parsed.generator,
  };
}

function parseWorkers(text: string): number[] {
  const counts = text.split(',').map((one) => (/^\d{1,3}$/.test(one) ? Number(one) : 0));
  if (counts.some((count) => count < 1 || count > WORKERS_MAX)) {
    throw new InvalidArgumentError(`Numbers of 1 to ${WORKERS_MAX} with commas, such as 1,2,4.`);
  }
  return [...new Set(counts)].sort((left, right) => left - right);
}

function whole(max: number): (text: string) => number {
  return (text) => {
    const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
    if (count < 1 || count > max) throw new InvalidArgumentError(`A whole number of 1 to ${max}.`);
    return count;
  };
}

function parseSeconds(text: string): number {
  const seconds = /^\d{1,3}(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds < 0.05 || seconds > SECONDS_MAX) {
    throw new InvalidArgumentError(`A number of 0.05 to ${SECONDS_MAX}.`);
  }
  return seconds;
}
