// `rondo watch`: what happens to keys, locks and sessions, an event a line, until it is stopped. It outlives
// lost connections and restarts of the node; what it could not see it says.

import { type Command, Option } from 'commander';
import { bytes, RondoError, type WatchEvent } from '../../ts/client/index.js';
import { planOf } from '../../ts/client/watch-options.js';
import { addDataOptions, type DataOptions, UsageError, withClient } from './data-client.js';
import { escapeControls, textOf, valueLine } from './data-format.js';
import { addFormatOption, asJson, type FormatOptions, writeLine } from './output-format.js';

const EXAMPLES = `
Examples:
  $ rondo watch plan/
  $ rondo watch plan/1 --exact --no-snapshot
  $ rondo watch jobs/ --locks --keys-only
  $ rondo watch plan/ --format json | jq -r .token
  $ rondo watch plan/ --resume 1.5k2.1s.9z

Begins with what is there ("put" lines up to "synced"), then prints every change. Stop it with Ctrl-C. With
--format json every event behind the snapshot has a token: --resume with it goes on behind that event, also
days later. "gap" says that changes were dropped because this reader was slow, "compacted" that the node
cannot go on from there: all that was printed is void, and a fresh snapshot follows.`;

interface WatchFlags extends DataOptions, FormatOptions {
  readonly exact?: true;
  readonly snapshot: boolean;
  readonly resume?: string;
  readonly keysOnly?: true;
  readonly locks?: true;
  readonly sessions?: true;
  readonly overflow?: 'gap' | 'coalesce' | 'disconnect';
}

export function addWatchCommand(program: Command): void {
  const command = addDataOptions(
    program.command('watch [prefix]').description('print what happens to keys'),
  )
    .option('--exact', 'watch the one key, not all that begin so')
    .option('--no-snapshot', 'begin with the next change')
    .addOption(
      new Option('--resume <TOKEN>', 'go on behind the event with this token').conflicts(
        'snapshot',
      ),
    )
    .option('--keys-only', 'leave the values out')
    .option('--locks', 'print what happens to locks, too')
    .option('--sessions', 'print what happens to sessions, too (with no prefix)')
    .addOption(
      new Option('--overflow <POLICY>', 'what to do where this reader is too slow').choices([
        'gap',
        'coalesce',
        'disconnect',
      ]),
    );
  addFormatOption(command)
    .addHelpText('after', EXAMPLES)
    .action((prefix: string | undefined, options: WatchFlags) => {
      const stop = new AbortController();
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
      return withClient(
        options,
        async (rondo) => {
          const { exact, snapshot, resume, keysOnly, locks, sessions, overflow } = options;
          const events = rondo.kv.as(bytes).watch(prefix ?? '', {
            exact,
            snapshot: resume === undefined ? snapshot : undefined,
            resume,
            keysOnly,
            locks,
            sessions,
            overflow,
            signal: stop.signal,
          });
          const print = asJson(options) ? jsonLine : textLine;
          for await (const event of events) await writeLine(print(event));
        },
        {
          connect: { retry: {} },
          signal: stop.signal,
          prepare: () => {
            if (options.exact === true && prefix === undefined) {
              throw new UsageError('watch --exact takes a key');
            }
            const { exact, resume } = options;
            const plan = planOf(prefix ?? '', { exact, resume }, 'bytes');
            if (plan instanceof RondoError) throw plan;
          },
        },
      );
    });
}

type Event = WatchEvent<Uint8Array | undefined>;

const TYPE_WIDTH = 13;

function textLine(event: Event): string {
  const type = event.type.padEnd(TYPE_WIDTH);
  switch (event.type) {
    case 'put': {
      const { key, value } = event;
      const shown = value === undefined ? '' : `\t${valueLine(value)}`;
      return `${type} ${escapeControls(key)}${shown}`;
    }
    case 'delete':
    case 'expire':
    case 'touch':
      return `${type} ${escapeControls(event.key)}`;
    case 'lockGranted':
      return `${type} ${escapeControls(event.name)}\t${event.session}\t${event.lockToken}`;
    case 'lockReleased':
    case 'lockChanged':
      return `${type} ${escapeControls(event.name)}\t${event.lockToken}`;
    case 'sessionOpened':
    case 'sessionEnded':
      return `${type} ${event.session}`;
    default:
      return event.type;
  }
}

/** `value` where it is text, otherwise `valueBase64`. */
function jsonLine(event: Event): string {
  if (event.type !== 'put' || event.value === undefined) return JSON.stringify(event);
  const { value, ...others } = event;
  const text = textOf(value);
  const shown =
    text === undefined ? { valueBase64: Buffer.from(value).toString('base64') } : { value: text };
  return JSON.stringify({ ...others, ...shown });
}
