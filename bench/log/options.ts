// The options of `npm run bench:log`.

import { Command, InvalidArgumentError } from 'commander';
import { parseSize } from '../../node/config/size.js';
import { RESULTS_FOLDER, ROUNDS_LEAST } from '../peers/limits.js';
import { BYTES_DEFAULT, BYTES_MAX, BYTES_MIN, BYTES_QUICK } from './limits.js';

export interface Options {
  readonly quick: boolean;
  readonly rows: string | undefined;
  readonly bytes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Where `log.json` goes; undefined: nowhere, only the table is printed. */
  readonly folder: string | undefined;
  readonly generator: string | undefined;
}

interface Parsed {
  readonly quick?: true;
  readonly rows?: string;
  readonly bytes?: number;
  readonly rounds?: number;
  readonly seconds?: number;
  readonly out?: string;
  readonly generator?: string;
}

/** Throws `CommanderError`. */
export function parseOptions(argv: readonly string[]): Options {
  const program = new Command('bench:log')
    .description('The log of a node: recovery, appends, compaction, and gets beside a compaction')
    .option('--quick', 'little data and one round: whether every row runs, not how fast')
    .option(
      '--rows <PATTERNS>',
      'only rows with one of these in their names; commas, * for anything',
    )
    .option(
      '--bytes <SIZE>',
      'log to compact, from 4MiB; recoveries and appends take a quarter (default: 1GiB)',
      parseBytes,
    )
    .option('--rounds <N>', 'turns of each side (default: 5)', parseRounds)
    .option('--seconds <S>', 'seconds of one latency measurement (default: 1.5)', parseSeconds)
    .option('--out <DIR>', `folder of log.json (default: ${RESULTS_FOLDER}, full runs only)`)
    .option('--generator <FILE>', 'use this load generator in place of building it')
    .exitOverride();
  program.parse(argv, { from: 'user' });
  if (program.args.length > 0) program.error(`error: unexpected argument '${program.args[0]}'`);
  const parsed = program.opts<Parsed>();
  const quick = parsed.quick === true;
  const rounds = parsed.rounds ?? (quick ? 1 : ROUNDS_LEAST);
  const seconds = parsed.seconds ?? (quick ? 0.15 : 1.5);
  const bytes = parsed.bytes ?? (quick ? BYTES_QUICK : BYTES_DEFAULT);
  const isFull =
    !quick && parsed.rows === undefined && rounds >= ROUNDS_LEAST && bytes >= BYTES_DEFAULT;
  return {
    quick,
    rows: parsed.rows,
    bytes,
    rounds,
    seconds,
    warmUpSeconds: quick ? 0 : Math.min(0.5, seconds / 2),
    folder: parsed.out ?? (isFull ? RESULTS_FOLDER : undefined),
    generator: parsed.generator,
  };
}

function parseBytes(text: string): number {
  const bytes = parseSize(text) ?? 0;
  if (bytes < BYTES_MIN || bytes > BYTES_MAX) {
    throw new InvalidArgumentError('A size such as 512MiB, from 4MiB to 256GiB.');
  }
  return bytes;
}

function parseRounds(text: string): number {
  const rounds = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (rounds < 1 || rounds > 100) throw new InvalidArgumentError('A whole number of 1 to 100.');
  return rounds;
}

function parseSeconds(text: string): number {
  const seconds = /^\d{1,3}(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds < 0.05 || seconds > 600) throw new InvalidArgumentError('A number of 0.05 to 600.');
  return seconds;
}
