// `npm run bench:workers`: nodes of one and of several workers on this machine, in alternating rounds, with
// nothing, some and all of the load forwarded between workers. Starts and stops everything itself.

import { prepareGenerator } from '../peers/load.js';
import { describeMachine, type Machine } from '../peers/machine.js';
import { type Program, runProgram } from '../peers/program.js';
import { Progress } from '../peers/progress.js';
import { checkStorage, storageOf } from '../peers/storage.js';
import { availableCores, placeOn, workersDefault } from './cores.js';
import { type Estimate, estimatesOf, type Row, rowsOf, type Target, targetsOf } from './figures.js';
import { BATCHES, SIZES_FULL, SIZES_QUICK } from './limits.js';
import { measureAll, plannedSeconds } from './measure.js';
import { type Options, parseOptions } from './options.js';
import { type Durability, type Sizes, seriesOf } from './runs.js';
import { estimateTable, notesOf, rowTable, targetTable } from './table.js';

interface Facts {
  readonly machine: Machine;
  readonly cores: number;
  readonly placement: string;
  readonly generatorThreads: number;
  readonly sizes: Sizes;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly quick: boolean;
  readonly tookSeconds: number;
  readonly date: string;
}

interface Results {
  readonly run: Facts;
  readonly rows: readonly Row[];
  readonly targets: readonly Target[];
  readonly estimates: readonly Estimate[];
}

await runProgram('bench:workers', (program) => run(program, parseOptions(process.argv.slice(2))));

async function run(program: Program, options: Options): Promise<void> {
  const { processes } = program;
  const { rounds, seconds, warmUpSeconds, quick } = options;
  const available = availableCores();
  const workers = options.workers ?? workersDefault(available.cores.length);
  const placement = placeOn(available, Math.max(...workers), options.generatorThreads);
  const sizes = quick ? SIZES_QUICK : SIZES_FULL;
  const durabilities: Durability[] = options.sync ? ['none', 'sync'] : ['none'];
  const series = seriesOf(workers, BATCHES, durabilities);
  const folder = program.makeFolder();
  // A quick run only shows that rows run.
  if (options.sync && !quick) checkStorage(storageOf(folder));
  process.stderr.write('building the load generator\n');
  const generator = options.generator ?? (await prepareGenerator(processes));
  const plan = { rounds, seconds, warmUpSeconds };
  const progress = new Progress(plannedSeconds(series, plan));
  const bench = { processes, progress, generator, placement, folder, sizes, ...plan };
  const began = performance.now();
  const measured = await measureAll(series, bench);
  progress.end();
  await processes.close();
  const rows = rowsOf(measured);
  const facts: Facts = {
    machine: describeMachine(),
    cores: available.cores.length,
    placement: placement.statement,
    generatorThreads: placement.generatorThreads,
    sizes,
    ...plan,
    quick,
    tookSeconds: Math.round((performance.now() - began) / 1000),
    date: new Date().toISOString(),
  };
  publish({ run: facts, rows, targets: targetsOf(rows), estimates: estimatesOf(rows) }, options);
}

function publish(results: Results, { form }: Options): void {
  if (form === 'json') {
    process.stdout.write(`${JSON.stringify({ schema: 1, ...results }, null, 2)}\n`);
    return;
  }
  const { run: facts, rows, targets, estimates } = results;
  const parts = [
    headerOf(facts),
    rowTable(rows, form),
    ...(targets.length === 0 ? [] : [targetTable(targets, form)]),
    ...(estimates.length === 0 ? [] : [estimateTable(estimates, form)]),
    ...notesOf(rows, estimates),
  ];
  process.stdout.write(`${parts.join('\n\n')}\n`);
}

function headerOf(facts: Facts): string {
  const { machine, sizes } = facts;
  return [
    `${machine.cpu}, ${facts.cores} cores, ${machine.memoryGigabytes} GiB; ${machine.system}; ` +
      `Node ${machine.node}; ${facts.date.slice(0, 10)}.`,
    `Median (least to greatest) of ${facts.rounds} rounds in which the sides take turns, ` +
      `${facts.seconds} s each after ${facts.warmUpSeconds} s of warm-up; ${facts.placement}.`,
    `${sizes.connections} connections, ${sizes.keys.toLocaleString('en')} keys, ` +
      `${sizes.valueBytes} bytes a value; "alone" is one operation at a time over one connection.`,
    ...(facts.quick
      ? ['A quick run: tiny sizes, to see that every row runs. Its figures mean nothing.']
      : []),
  ].join('\n');
}
