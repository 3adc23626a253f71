// `rondo ring`: shows who has which partition, as a picture in the terminal, an SVG file or JSON; and
// `rondo ring simulate`: what it costs when members come and go. Nothing is served and no node is asked.

import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { chooseEngine, type EngineMode } from '../../ts/engine/load.js';
import { nativeRing } from '../../ts/engine/native-ring.js';
import { Ring, type RingLibrary, type RingMember, tsRing } from '../../ts/engine/ring.js';
import { PARTITIONS_DEFAULT } from '../../ts/wire/limits.js';
import { NodeError } from '../errors.js';
import { reportError } from './exit.js';
import { addFormatOption, asJson, type FormatOptions } from './output-format.js';
import { ringPicture } from './ring-picture.js';
import { simulate, simulationLines } from './ring-simulation.js';
import { ringSvg } from './ring-svg.js';

const EXAMPLES = `
Examples:
  $ rondo ring                          the workers of a node on this machine
  $ rondo ring a b c --partitions 256   three members
  $ rondo ring small big=3              big takes three times as much
  $ rondo ring a b c --key plan/1 --key '{run}x'
  $ rondo ring a b c --svg ring.svg     a picture to keep
  $ rondo ring simulate --members 10    what joining and leaving moves

A member is full with 5/4 of its fair share, and passes further partitions on, clockwise.`;

const SIMULATE_EXAMPLES = `
Examples:
  $ rondo ring simulate
  $ rondo ring simulate --members 50 --partitions 4096
  $ rondo ring simulate --members 10 --add 3 --seeds 500
  $ rondo ring simulate --members 10 --remove 1 --json`;

interface RingOptions extends FormatOptions {
  readonly partitions: number;
  readonly engine: EngineMode;
  readonly key: readonly string[];
  readonly svg?: string;
}

interface SimulateOptions extends FormatOptions {
  readonly partitions: number;
  readonly engine: EngineMode;
  readonly members: number;
  readonly add?: number;
  readonly remove?: number;
  readonly seeds: number;
}

export function addRingCommand(program: Command): void {
  const ring = program
    .command('ring')
    .description('show how the ring places partitions on members')
    .argument('[members...]', 'names, or name=weight; the default: the workers of a node here');
  addCommonOptions(ring)
    .option('--key <KEY>', 'show who has this key; repeatable', collect, [])
    .option('--svg <FILE>', 'write the picture as SVG')
    .addHelpText('after', EXAMPLES)
    .action((members: string[], options: RingOptions) =>
      run(options, () => show(members, options)),
    );
  const simulation = ring
    .command('simulate')
    .description('balance, and what members that join or leave move')
    .option('--members <N>', 'members to begin with', positive, 10)
    .option('--add <N>', 'members that join', positive)
    .option('--remove <N>', 'members that leave', positive)
    .option('--seeds <N>', 'sets of names to try; figures are means over them', positive, 100);
  addCommonOptions(simulation)
    .addHelpText('after', SIMULATE_EXAMPLES)
    .action((_: unknown, command: Command) => {
      const options = command.optsWithGlobals<SimulateOptions>();
      run(options, () => showSimulation(options));
    });
}

function addCommonOptions(command: Command): Command {
  command
    .option('--partitions <N>', 'a power of two', positive, PARTITIONS_DEFAULT)
    .addOption(
      new Option('--engine <NAME>', 'whose library places them')
        .choices(['auto', 'native', 'ts'])
        .default('auto'),
    )
    .option('--json', 'print JSON');
  return addFormatOption(command);
}

function run(options: FormatOptions, action: () => void): void {
  try {
    action();
  } catch (error) {
    process.exitCode = reportError(error, asJson(options));
  }
}

function show(texts: readonly string[], options: RingOptions): void {
  const members = texts.length === 0 ? localWorkers() : texts.map(memberOf);
  const ring = new Ring(members, options.partitions, libraryOf(options.engine));
  const keys = options.key.map((key) => {
    return { key, member: ring.names[ring.lookup(new TextEncoder().encode(key))] as string };
  });
  if (options.svg !== undefined) save(options.svg, ringSvg(ring));
  if (asJson(options)) {
    const loads = ring.loads();
    const each = ring.names.map((name, index) => ({
      name,
      partitions: loads[index],
      capacity: ring.capacities[index],
    }));
    const owners = Array.from(ring.owners, (owner) => ring.names[owner]);
    const { partitions } = ring;
    process.stdout.write(`${JSON.stringify({ partitions, members: each, owners, keys })}\n`);
    return;
  }
  const lines = ringPicture(
    ring,
    process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
  );
  if (keys.length > 0) lines.push('', ...keys.map(({ key, member }) => `${key} is at ${member}`));
  if (options.svg !== undefined) lines.push('', `${options.svg} has the picture`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

function showSimulation(options: SimulateOptions): void {
  const { members, partitions, seeds } = options;
  // One that joins and one that leaves, unless something was asked for.
  const isOpen = options.add === undefined && options.remove === undefined;
  const changes = [options.add ?? (isOpen ? 1 : 0), -(options.remove ?? (isOpen ? 1 : 0))];
  const found = changes
    .filter((change) => change !== 0)
    .map((change) => {
      return simulate({ members, change, partitions, seeds, library: libraryOf(options.engine) });
    });
  if (asJson(options)) process.stdout.write(`${JSON.stringify(found)}\n`);
  else process.stdout.write(`${simulationLines(found).join('\n')}\n`);
}

function localWorkers(): RingMember[] {
  const count = Math.max(1, availableParallelism() - 1);
  return Array.from({ length: count }, (_, worker) => ({ name: `worker-${worker}` }));
}

/** `name` or `name=weight`. */
function memberOf(text: string): RingMember {
  const at = text.lastIndexOf('=');
  if (at < 0) return { name: text };
  return { name: text.slice(0, at), weight: Number(text.slice(at + 1) || Number.NaN) };
}

function libraryOf(mode: EngineMode): RingLibrary {
  const { addon } = chooseEngine(mode);
  return addon === undefined ? tsRing : nativeRing(addon);
}

function save(file: string, svg: string): void {
  try {
    writeFileSync(file, svg);
  } catch (cause) {
    const message = `${file} cannot be written`;
    throw new NodeError('FILE_NOT_WRITTEN', message, { cause });
  }
}

function positive(text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new InvalidArgumentError('a whole number from 1 on is needed');
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}
