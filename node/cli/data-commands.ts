// The commands that use keys: get, put, delete, scan and increment. Values are bytes here,
// as they are stored: what the client writes as JSON is shown as its JSON text.

import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { bytes } from '../../ts/client/index.js';
import { messageOf } from '../errors.js';
import {
  addDataOptions,
  type DataOptions,
  reportNotFound,
  UsageError,
  withClient,
} from './data-client.js';
import { parseDuration } from './data-duration.js';
import { entryJson, escapeControls, printJson, printLine, valueLine } from './data-format.js';
import { addStatusCommand } from './data-status.js';
import { addLockCommands } from './lock-commands.js';
import { writeLine } from './output-format.js';
import { addWatchCommand } from './watch-command.js';

export function addDataCommands(program: Command): void {
  addGet(program);
  addPut(program);
  addDelete(program);
  addScan(program);
  addIncrement(program);
  addWatchCommand(program);
  addLockCommands(program);
  addStatusCommand(program);
}

function addGet(program: Command): void {
  addDataOptions(program.command('get <key>').description('print the value of a key'))
    .addHelpText(
      'after',
      `
Examples:
  $ rondo get plan/1
  $ rondo get plan/1 --json
  $ rondo get logo > logo.png

Prints the bytes as they are; a line end is added on a terminal only. Exit code 1 where the key does
not exist.`,
    )
    .action((key: string, options: DataOptions) =>
      withClient(options, async (rondo) => {
        const entry = await rondo.kv.as(bytes).entry(key);
        if (entry === undefined) reportNotFound(key, options);
        else if (options.json === true) printJson(entryJson(entry));
        else {
          process.stdout.write(entry.value);
          if (process.stdout.isTTY) process.stdout.write('\n');
        }
      }),
    );
}

interface PutFlags extends DataOptions {
  readonly file?: string;
  readonly ifAbsent?: true;
  readonly ifRevision?: number;
  readonly ttl?: number;
  readonly keepTtl?: true;
}

function addPut(program: Command): void {
  addDataOptions(program.command('put <key> [value]').description('write a key'))
    .option('--file <PATH>', 'take the value from a file')
    .addOption(new Option('--if-absent', 'only if the key does not exist').conflicts('ifRevision'))
    .addOption(
      new Option(
        '--if-revision <N>',
        'only if the key is at this revision; 0: does not exist',
      ).argParser(parseRevision),
    )
    .addOption(
      new Option('--ttl <DURATION>', 'time until the key expires: 500ms, 30s, 5m, 2h, 1d')
        .argParser(parseDuration)
        .conflicts('keepTtl'),
    )
    .option('--keep-ttl', 'leave the time to live as it is')
    .addHelpText(
      'after',
      `
Examples:
  $ rondo put plan/1 hello
  $ rondo put plan/1 '{"step":1}' --if-absent --ttl 30s
  $ rondo put logo --file logo.png
  $ date | rondo put now -

The value is an argument, a file, or - for standard input. Without --ttl or --keep-ttl the key does
not expire.`,
    )
    .action((key: string, value: string | undefined, options: PutFlags) =>
      withClient(
        options,
        async (rondo, content) => {
          const { ifAbsent, ifRevision, ttl, keepTtl } = options;
          const { revision } = await rondo.kv
            .as(bytes)
            .put(key, content, { ifAbsent, ifRevision, ttlMs: ttl, keepTtl });
          if (options.json === true) printJson({ key, revision });
          else printLine(`revision ${revision}`);
        },
        { prepare: () => contentOf(value, options.file) },
      ),
    );
}

async function contentOf(value: string | undefined, file: string | undefined): Promise<Uint8Array> {
  if ((value === undefined) === (file === undefined)) {
    throw new UsageError('put takes a value, - for standard input, or --file: one of them');
  }
  if (value === '-') return buffer(process.stdin);
  if (file === undefined) return Buffer.from(value ?? '');
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new UsageError(`--file ${file} can't be read: ${messageOf(cause)}`, { cause });
  }
}

function addDelete(program: Command): void {
  addDataOptions(program.command('delete <key>').description('delete a key'))
    .option('--if-revision <N>', 'only if the key is at this revision', parseRevision)
    .addHelpText(
      'after',
      `
Examples:
  $ rondo delete plan/1
  $ rondo delete plan/1 --if-revision 17

Exit code 1 where the key does not exist.`,
    )
    .action((key: string, options: DataOptions & { readonly ifRevision?: number }) =>
      withClient(options, async (rondo) => {
        const { ifRevision } = options;
        const isDeleted = await rondo.kv.delete(key, { ifRevision });
        if (!isDeleted) reportNotFound(key, options);
        else if (options.json === true) printJson({ key, deleted: true });
        else printLine('deleted');
      }),
    );
}

interface ScanFlags extends DataOptions {
  readonly limit?: number;
  readonly keysOnly?: true;
}

function addScan(program: Command): void {
  addDataOptions(program.command('scan [prefix]').description('list the keys with a prefix'))
    .option('--limit <N>', 'entries at most', parseCount)
    .option('--keys-only', 'leave the values out')
    .addHelpText(
      'after',
      `
Examples:
  $ rondo scan
  $ rondo scan plan/ --limit 20
  $ rondo scan plan/ --keys-only
  $ rondo scan plan/ --json | jq .key

Keys come in byte order, one a line, with a tab before the value. --json prints an object a line.`,
    )
    .action((prefix: string | undefined, options: ScanFlags) =>
      withClient(options, async (rondo) => {
        const { limit, keysOnly, json } = options;
        const entries = rondo.kv.as(bytes).scan(prefix, { limit, keysOnly });
        for await (const entry of entries) {
          // Under --keys-only there is no value, which the type of a plain scan does not say.
          const value: Uint8Array | undefined = entry.value;
          const line =
            json === true
              ? JSON.stringify(entryJson(entry))
              : value === undefined
                ? escapeControls(entry.key)
                : `${escapeControls(entry.key)}\t${valueLine(value)}`;
          await writeLine(line);
        }
      }),
    );
}

function addIncrement(program: Command): void {
  addDataOptions(program.command('increment <key> [delta]').description('add to a whole number'))
    .addOption(
      new Option('--ttl <DURATION>', 'time until the key expires; otherwise as it is').argParser(
        parseDuration,
      ),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ rondo increment hits
  $ rondo increment hits 10 --ttl 1h
  $ rondo increment hits -- -5

A key that does not exist counts as 0. Prints the sum.`,
    )
    .action((key: string, delta: string | undefined, options: DataOptions & { ttl?: number }) =>
      withClient(
        options,
        async (rondo, by) => {
          const sum = await rondo.kv.increment(key, by, { ttlMs: options.ttl });
          // As text in JSON, too: a number there would lose digits beyond 2^53 in many readers.
          if (options.json === true) printJson({ key, value: String(sum) });
          else printLine(String(sum));
        },
        { prepare: () => parseDelta(delta) },
      ),
    );
}

function parseDelta(text = '1'): bigint {
  if (!/^[+-]?\d{1,19}$/.test(text)) {
    throw new UsageError(`delta is a whole number of 64 bits, not ${JSON.stringify(text)}`);
  }
  return BigInt(text.replace('+', ''));
}

function parseRevision(text: string): number {
  return parseInteger(text, 0, 'A revision is a whole number, as get --json prints it.');
}

function parseCount(text: string): number {
  return parseInteger(text, 1, 'A whole number of at least 1.');
}

function parseInteger(text: string, min: number, expected: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number) && number >= min) return number;
  throw new InvalidArgumentError(expected);
}
