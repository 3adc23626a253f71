// The commands about locks: `locks` shows who holds and who waits, `lock` runs a command while it holds one.

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { LockInfo } from '../../ts/client/index.js';
import { addDataOptions, type DataOptions, withClient } from './data-client.js';
import { formatDuration, parseDuration } from './data-duration.js';
import { escapeControls, printLine } from './data-format.js';
import { type LockFlags, runLocked } from './lock-run.js';
import {
  addFormatOption,
  asJson,
  type FormatOptions,
  tableLines,
  writeLine,
} from './output-format.js';

export function addLockCommands(program: Command): void {
  addLocks(program);
  addLock(program);
}

interface LocksFlags extends DataOptions, FormatOptions {
  readonly limit?: number;
}

function addLocks(program: Command): void {
  const command = addDataOptions(
    program.command('locks [prefix]').description('show who holds locks and who waits'),
  ).option('--limit <N>', 'locks at most', parseCount);
  addFormatOption(command)
    .addHelpText(
      'after',
      `
Examples:
  $ rondo locks
  $ rondo locks jobs/
  $ rondo locks jobs/ --format json | jq .holders

A line for each holder and each waiter, in the order in which they hold and wait. --json prints an object
a lock.`,
    )
    .action((prefix: string | undefined, options: LocksFlags) =>
      withClient(options, async (rondo) => {
        const locks = rondo.locks(prefix, { limit: options.limit });
        if (asJson(options)) {
          for await (const lock of locks) await writeLine(JSON.stringify(lock));
          return;
        }
        const rows: string[][] = [];
        const now = Date.now();
        for await (const lock of locks) rows.push(...rowsOf(lock, now));
        if (rows.length === 0) printLine('no locks');
        else for (const line of tableLines(HEADINGS, rows, FIGURES)) await writeLine(line);
      }),
    );
}

const HEADINGS = ['name', 'state', 'mode', 'session', 'token', 'age', 'ends'] as const;
const FIGURES: readonly string[] = ['token', 'age'];

/** Ages are by the clock of this machine, and of use where it is near the node's. */
export function rowsOf(lock: LockInfo, now: number): string[][] {
  const name = escapeControls(lock.name);
  const ageOf = (since: number): string => formatDuration(Math.max(0, now - since));
  const inOf = (end: number): string => `in ${formatDuration(Math.max(0, end - now))}`;
  const rows = lock.holders.map(({ mode, session, token, sinceMs, leaseEndMs, depth }) => {
    const ends = leaseEndMs === undefined ? 'with its session' : inOf(leaseEndMs);
    const state = depth > 1 ? `held ${depth} times` : 'held';
    return [name, state, mode, session, String(token), ageOf(sinceMs), ends];
  });
  for (const { mode, session, sinceMs, deadlineMs, isUpgrade } of lock.waiters) {
    const state = isUpgrade ? 'waits to upgrade' : 'waits';
    const ends = deadlineMs === undefined ? 'when granted' : inOf(deadlineMs);
    rows.push([name, state, mode, session, '-', ageOf(sinceMs), ends]);
  }
  const more = [
    [lock.holds - lock.holders.length, 'hold it'],
    [lock.waits - lock.waiters.length, 'wait'],
  ] as const;
  for (const [count, what] of more) if (count > 0) rows.push([name, `${count} more ${what}`]);
  return rows;
}

function addLock(program: Command): void {
  addDataOptions(
    program
      .command('lock <name> <command...>')
      .usage('[options] <name> -- <command...>')
      .description('run a command while holding a lock'),
  )
    .option('--shared', 'beside other shared holders; otherwise alone')
    .option(
      '--wait <DURATION>',
      'how long to wait for the lock, 0 not at all; otherwise for ever',
      parseWait,
    )
    .addOption(
      new Option('--ttl <DURATION>', 'how long the lock outlives a holder that is gone, 1s to 1d')
        .argParser(parseDuration)
        .default(parseDuration('10s'), '10s'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ rondo lock deploy -- ./deploy.sh
  $ rondo lock nightly --wait 0 -- make report
  $ rondo lock index --shared --ttl 30s -- ./reader

Exits with the exit code of the command, or with 1 where the lock was not had. RONDO_LOCK_NAME and
RONDO_LOCK_TOKEN tell the command what it holds; the token grows with every grant, so that a store can refuse
an old holder. Where the lock is lost meanwhile the command gets SIGTERM, and SIGKILL if it does not end; so
does what it has started, where it is not run from a terminal.`,
    )
    .action((name: string, command: string[], options: LockFlags) =>
      runLocked(name, command, options),
    );
}

function parseWait(text: string): number {
  return text === '0' ? 0 : parseDuration(text);
}

function parseCount(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new InvalidArgumentError('A whole number of at least 1.');
}
