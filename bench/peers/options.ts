// The options of `npm run bench:peers`.

import { Command, InvalidArgumentError } from 'commander';
import { RESULTS_FOLDER, ROUNDS_LEAST } from './limits.js';

export interface Options {
  readonly quick: boolean;
  readonly rows: string | undefined;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Where result files go; undefined: nowhere, only the table is printed. */
  readonly folder: string | undefined;
  /** A load generator built elsewhere. */
  readonly generator: string | undefined;
}

interface Parsed {
  readonly quick?: true;
  readonly rows?: string;
  readonly rounds?: number;
  readonly seconds?: number;
  readonly out?: string;
  readonly generator?: string;
}

/** Throws `CommanderError`. */
export function parseOptions(argv: readonly string[]): Options {
  const program = new Command('bench:peers')
    .description('Rondo and its peers, side by side on this machine')
    .option('--quick', 'tiny sizes and one round: whether every row runs, not how fast')
    .option(
      '--rows <PATTERNS>',
      'only rows with one of these in their names; commas, * for anything',
    )
    .option('--rounds <N>', 'turns of each side (default: 5)', parseRounds)
    .option('--seconds <S>', 'seconds of one turn (default: 1.5)', parseSeconds)
    .option(
      '--out <DIR>',
      `folder of the result files (default: ${RESULTS_FOLDER}, full runs only)`,
    )
    .option('--generator <FILE>', 'use this load generator in place of building it')
    .exitOverride();
  program.parse(argv, { from: 'user' });
  if (program.args.length > 0) program.error(`error: unexpected argument '${program.args[0]}'`);
  const parsed = program.opts<Parsed>();
  const quick = parsed.quick === true;
  const rounds = parsed.rounds ?? (quick ? 1 : 5);
  const seconds = parsed.seconds ?? (quick ? 0.15 : 1.5);
  // What is committed there stands for the whole: a part or a smoke test does not replace it.
  const isFull = !quick && parsed.rows === undefined && rounds >= ROUNDS_LEAST && seconds >= 1;
  return {
    quick,
    rows: parsed.rows,
    rounds,
    seconds,
    warmUpSeconds: quick ? 0 : Math.min(0.5, seconds / 2),
    folder: parsed.out ?? (isFull ? RESULTS_FOLDER : undefined),
    generator: parsed.generator,
  };
}

function parseRounds(text: string): number {
  const rounds = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (rounds < 1 || rounds > 100) throw new InvalidArgumentError('A whole number of 1 to 100.');
  return rounds;
}

function parseSeconds(text: string): number {
  const seconds = /^\d{1,4}(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds < 0.02 || seconds > 600) throw new InvalidArgumentError('A number of 0.02 to 600.');
  return seconds;
}
