// `npm run bench:idle`: what sessions cost that do nothing. Opens them with their watches, each over a
// connection of its own through the client, and reads from the system what the node takes meanwhile.

import { setTimeout as sleep } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { connect, type Rondo } from '../../ts/client/index.js';
import {
  choosePinning,
  describeMachine,
  processorSeconds,
  residentBytes,
} from '../peers/machine.js';
import { rondo as node } from '../peers/node.js';
import { type Program, runProgram } from '../peers/program.js';

/** Sessions that are opened at a time. */
const OPENING_MAX = 64;
const SESSION_TTL_MS = 30_000;
/** Milliseconds without anything before measuring. */
const SETTLE_MS = 3_000;

interface Options {
  readonly sessions: number;
  readonly watches: number;
  readonly seconds: number;
}

await runProgram('bench:idle', (program) => run(program, parseOptions(process.argv.slice(2))));

function parseOptions(argv: readonly string[]): Options {
  const whole = (text: string): number => {
    if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('a whole number, 1 to 999999');
    return Number(text);
  };
  const command = new Command('bench:idle')
    .description('Memory and processor time of a node whose sessions and watches are idle')
    .option('--sessions <N>', 'sessions, each with a connection', whole, 10_000)
    .option('--watches <N>', 'watches of each session', whole, 10)
    .option('--seconds <S>', 'how long to measure', whole, 20)
    .addHelpText('after', '\nExample:\n  npm run bench:idle -- --sessions 1000 --seconds 5')
    .exitOverride();
  command.parse(argv, { from: 'user' });
  return command.opts<Options>();
}

async function run(program: Program, { sessions, watches, seconds }: Options): Promise<void> {
  const { processes } = program;
  const pinning = choosePinning();
  const found = { program: process.execPath, version: '' };
  const folder = program.makeFolder();
  const peer = node('native', 'sync');
  const server = await peer.start(found, { processes, folder, core: pinning.server });
  const pid = server.process?.pid ?? 0;
  const empty = residentBytes(pid);
  if (empty === undefined) throw new Error('this system has no /proc: nothing can be measured');

  const clients: Rondo[] = [];
  const began = performance.now();
  let next = 0;
  const open = async (): Promise<void> => {
    for (let at = next++; at < sessions; at = next++) {
      const url = `ws://${server.address}`;
      const client = connect({ url, session: { ttlMs: SESSION_TTL_MS }, timeoutMs: 60_000 });
      clients.push(client);
      await client.ready();
      const ready = Array.from({ length: watches }, (_, watch) =>
        client.kv.watch(`idle/${at}/${watch}/`, { snapshot: false }).ready(),
      );
      await Promise.all(ready);
      if (clients.length % 1000 === 0) process.stderr.write(`${clients.length} sessions\n`);
    }
  };
  await Promise.all(Array.from({ length: OPENING_MAX }, open));
  const opening = (performance.now() - began) / 1000;
  await sleep(SETTLE_MS);
  const before = processorSeconds(pid);
  const from = performance.now();
  await sleep(seconds * 1000);
  const elapsed = (performance.now() - from) / 1000;
  const share = (processorSeconds(pid) - before) / elapsed;
  const welcome = clients[0]?.welcome;
  const held = (residentBytes(pid) ?? Number.NaN) - empty;
  const { cpu, cores } = describeMachine();
  const lines = [
    `${sessions} sessions with ${watches} watches each, opened in ${opening.toFixed(1)} s (${cpu}, ${cores} cores)`,
    `memory     ${(held / 2 ** 20).toFixed(0)} MiB, ${Math.round(held / sessions)} bytes a session with its connection and watches`,
    `processor  ${(share * 100).toFixed(1)} % of a core over ${elapsed.toFixed(0)} s: signs of life and heartbeats`,
  ];
  if (welcome === undefined) throw new Error('the first client lost its connection meanwhile');
  process.stdout.write(`${lines.join('\n')}\n`);
  await Promise.all(clients.map((client) => client.close()));
}
