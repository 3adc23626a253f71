// What the commands that work on a data directory have in common: where it is, how errors are told, and
// whole numbers as options.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { reportError } from './exit.js';

const DATA_DIR_DEFAULT = 'rondo-data';

export interface LogOptions {
  readonly dataDir: string;
  readonly json?: true;
}

/** Adds --data-dir and --json. */
export function addLogOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--data-dir <PATH>', 'directory that keeps the log and its snapshots')
        .env('RONDO_DATA_DIR')
        .default(DATA_DIR_DEFAULT),
    )
    .option('--json', 'print JSON');
}

/** Runs a command; what it throws is told, and becomes the exit code. */
export async function runLogCommand(
  options: LogOptions,
  action: () => Promise<void>,
): Promise<void> {
  try {
    await action();
  } catch (error) {
    process.exitCode = reportError(error, options.json === true);
  }
}

/** An option that is a whole number of at least 1. */
export function parseCount(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new InvalidArgumentError('A whole number of at least 1.');
}

/** A time as people and programs read it; empty for none. */
export function isoTime(ms: number): string {
  return ms === 0 || ms > 8.64e15 ? '' : new Date(ms).toISOString();
}
