// `npm run bench:profile`: where the time of a frame goes in a node under load. Writes a page with the
// cost of each part and a flame graph for each number of operations a frame.

import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { checkFolder, writeFiles } from '../peers/files.js';
import { RESULTS_FOLDER } from '../peers/limits.js';
import { prepareGenerator } from '../peers/load.js';
import { choosePinning, describeMachine } from '../peers/machine.js';
import type { OperationName, ValueMeasurement } from '../peers/measurements.js';
import { type Program, runProgram } from '../peers/program.js';
import { countFrames } from './count.js';
import { flameGraph } from './flame.js';
import type { Group } from './groups.js';
import { canPerf, type Profile, type Profiling, profile } from './record.js';
import { flameFile, pageOf, titleOf } from './report.js';

interface Options {
  readonly operations: OperationName[];
  readonly batches: number[];
  readonly connections: number;
  readonly keys: number;
  readonly seconds: number;
  readonly engine: 'native' | 'ts';
  readonly count: boolean;
  readonly perf: boolean;
  readonly generator?: string;
  readonly out: string;
}

const commandLine = new Command('bench:profile')
  .description('where the time of a frame goes: a table and flame graphs')
  .addOption(
    new Option('--operations <NAMES>', 'get, put or both, separated by a comma')
      .argParser(parseOperations)
      .default(['get'], 'get'),
  )
  .option('--batches <NUMBERS>', 'operations a frame', parseCounts, [1, 16, 128])
  .option('--connections <N>', 'connections', parseCount, 50)
  .option('--keys <N>', 'keys', parseCount, 100_000)
  .option('--seconds <S>', 'how long to sample', parseSeconds, 10)
  .addOption(new Option('--engine <NAME>', 'engine').choices(['native', 'ts']).default('native'))
  .option('--no-count', 'do not count instructions with valgrind')
  .option('--no-perf', "use V8's profiler, also where there is perf")
  .option('--generator <FILE>', 'use this load generator in place of building it')
  .option('--out <DIR>', 'folder of the result files', RESULTS_FOLDER)
  .exitOverride();

await runProgram('bench:profile', async (program) => {
  commandLine.parse();
  await run(program, commandLine.opts<Options>());
});

async function run(program: Program, options: Options): Promise<void> {
  const { processes } = program;
  await checkFolder(options.out);
  const folder = program.makeFolder();
  tell('building the load generator');
  const generator = options.generator ?? (await prepareGenerator(processes));
  const pinning = choosePinning();
  const { engine, seconds } = options;
  const profiling: Profiling = { processes, generator, pinning, folder, engine, seconds };
  const usesPerf = options.perf && (await canPerf(processes, folder));
  if (!usesPerf) tell("without perf: V8's profiler, which sees JavaScript only");

  const profiles: Profile[] = [];
  const instructions: (Map<Group, number> | undefined)[] = [];
  for (const measurement of measurementsOf(options)) {
    tell(`profiling ${measurement.operation}, ${measurement.batch} a frame: ${seconds + 6} s`);
    profiles.push(await profile(measurement, usesPerf, profiling));
  }
  for (const { measurement } of profiles) {
    const isCounted = options.count && engine === 'native';
    if (isCounted)
      tell(`counting instructions of ${measurement.operation}, ${measurement.batch} a frame`);
    instructions.push(
      isCounted
        ? await countFrames(processes, folder, measurement.operation, measurement.batch)
        : undefined,
    );
  }
  const page = pageOf({
    machine: describeMachine(),
    pinning: pinning.statement,
    engine,
    seconds,
    profiles,
    instructions,
    date: new Date().toISOString(),
  });
  const flames = profiles.map((it) => [flameFile(it), flameGraph(it.stacks, titleOf(it))] as const);
  await writeFiles(options.out, { 'profile.md': page, ...Object.fromEntries(flames) });
  process.stdout.write(page);
  tell(`written: ${join(options.out, 'profile.md')} and ${flames.length} flame graphs`);
}

function measurementsOf({ operations, batches, connections, keys }: Options): ValueMeasurement[] {
  return operations.flatMap((operation) =>
    batches.map((batch) => ({
      id: `profile-${operation}-${batch}`,
      kind: 'closed' as const,
      stage: 'small' as const,
      operation,
      keys,
      valueBytes: 64,
      connections,
      outstanding: batch,
      batch,
    })),
  );
}

function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

function parseOperations(text: string): OperationName[] {
  const names = text.split(',');
  const known = names.filter((name): name is OperationName => name === 'get' || name === 'put');
  if (known.length !== names.length) throw new InvalidArgumentError('get, put or get,put.');
  return known;
}

function parseCount(text: string): number {
  const count = /^\d{1,8}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError('A whole number of at least 1.');
  return count;
}

function parseCounts(text: string): number[] {
  return text.split(',').map(parseCount);
}

function parseSeconds(text: string): number {
  const seconds = /^\d{1,4}(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds < 0.5) throw new InvalidArgumentError('A number of at least 0.5.');
  return seconds;
}
