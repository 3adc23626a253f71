// `rondo status`: what the node tells of itself, and how long an answer takes from here.

import type { Command } from 'commander';
import { bytes, type Rondo } from '../../ts/client/index.js';
import { decodeRouting, type RoutedWorker } from '../../ts/wire/routing.js';
import { formatSize } from '../config/size.js';
import { addDataOptions, type DataOptions, withClient } from './data-client.js';
import { formatDuration } from './data-duration.js';
import { printJson, printLine } from './data-format.js';

const EXAMPLES = `
Examples:
  $ rondo status
  $ rondo status --url ws://10.0.0.5:7400 --token-file ./token
  $ rondo status --json`;

/** Reads whose round trip is timed, one after another. */
const PROBES = 25;
const PROBE_KEY = 'rondo/status/probe';

export function addStatusCommand(program: Command): void {
  addDataOptions(program.command('status').description('show what a node is and how it does'))
    .addHelpText('after', EXAMPLES)
    .action((options: DataOptions) =>
      withClient(options, async (rondo) => {
        const welcome = await rondo.ready();
        const roundTripMs = await medianRoundTripMs(rondo);
        const { routing, ...told } = welcome;
        const workers = decodeRouting(routing)?.workers ?? [];
        const facts = { url: options.url, ...told, workers, roundTripMs };
        if (options.json === true) printJson(facts);
        else for (const [name, fact] of describe(facts)) printLine(`${name.padEnd(14)} ${fact}`);
      }),
    );
}

async function medianRoundTripMs(rondo: Rondo): Promise<number> {
  // As bytes, for there may be such a key, and whatever is in it must do.
  const kv = rondo.kv.as(bytes);
  const times: number[] = [];
  for (let probe = 0; probe < PROBES; probe++) {
    const began = performance.now();
    await kv.entry(PROBE_KEY);
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  return Math.round((times[(PROBES - 1) / 2] ?? 0) * 1000) / 1000;
}

type Facts = Omit<Awaited<ReturnType<Rondo['ready']>>, 'routing'> & {
  readonly url: string;
  readonly workers: readonly RoutedWorker[];
  readonly roundTripMs: number;
};

function describe(facts: Facts): [string, string][] {
  const { limits } = facts;
  const bound = facts.memoryBytesMax === 0 ? 'no bound' : `of ${formatSize(facts.memoryBytesMax)}`;
  return [
    ['node', `${facts.url}, version ${facts.version}, protocol ${facts.protocol}`],
    ['engine', `${facts.engine} (${facts.engineReason})`],
    ['transport', facts.transport],
    ['durability', facts.durability],
    ['uptime', formatDuration(facts.uptimeMs)],
    ['connections', String(facts.connections)],
    ['sessions', String(facts.sessions)],
    ['watches', String(facts.watches)],
    ['keys', facts.keys.toLocaleString('en')],
    ['memory', `${formatSize(facts.memoryBytes)}, ${bound}`],
    ['partitions', String(facts.partitions)],
    ...facts.workers.map((worker, index): [string, string] => {
      const state = worker.isServing ? 'serves' : 'does not serve';
      const at = worker.port === 0 ? '' : ` at port ${worker.port}`;
      return [
        `worker ${index}`,
        `${state}${at}${index === facts.worker ? ', this connection' : ''}`,
      ];
    }),
    [
      'limits',
      `key ${formatSize(limits.keyBytesMax)}, value ${formatSize(limits.valueBytesMax)}, ` +
        `frame ${formatSize(limits.frameBytesMax)} or ${limits.operationsPerFrameMax} operations, ` +
        `${limits.operationsOutstandingMax} outstanding, ${limits.scanEntriesMax} entries a scan`,
    ],
    ['round trip', `${facts.roundTripMs} ms, median of ${PROBES} reads`],
  ];
}
