// `npm run bench:peers`: the node against Redis, bare uWebSockets.js, other clients and its own
// TypeScript engine, on this machine, in alternating rounds. Starts and stops everything itself; a run
// in which anything went wrong leaves no result file.

import { join } from 'node:path';
import { chartOf } from './chart.js';
import { type Contender, findContenders } from './contenders.js';
import { checkFolder, writeFiles } from './files.js';
import { prepareGenerator } from './load.js';
import { choosePinning, describeMachine } from './machine.js';
import { type Bench, measureAll, plannedSeconds, type Task } from './measure.js';
import { SIZES_FULL, SIZES_QUICK, type Side } from './measurements.js';
import { type Options, parseOptions } from './options.js';
import { type Program, runProgram } from './program.js';
import { Progress } from './progress.js';
import { documentOf, headerOf, jsonOf } from './report.js';
import { makeRow, type Row } from './results.js';
import type { RowSpec } from './row-spec.js';
import { peakOf, rowsFor, selectRows } from './rows.js';
import { checkStorage, storageOf, storageText } from './storage.js';
import { notesOf, tableOf } from './table.js';

await runProgram('bench:peers', (program) => run(program, parseOptions(process.argv.slice(2))));

async function run(program: Program, options: Options): Promise<void> {
  const { processes } = program;
  if (options.folder !== undefined) await checkFolder(options.folder);
  const sizes = options.quick ? SIZES_QUICK : SIZES_FULL;
  const all = rowsFor(sizes);
  const specs = options.rows === undefined ? all : selectRows(all, options.rows);
  if (specs.length === 0) {
    const names = all.map(({ name }) => name).join(', ');
    throw new Error(`no row matches ${options.rows}; there are ${names}`);
  }

  const contenders = findContenders();
  for (const name of absentPeers(specs, contenders)) process.stderr.write(`${name}\n`);
  process.stderr.write('building the load generator\n');
  const generator = options.generator ?? (await prepareGenerator(processes));
  const folder = program.makeFolder();
  const pinning = choosePinning();
  const storage = storageOf(folder);
  const isDurable = specs.some(({ source }) => source?.measurement.stage === 'durable');
  // A quick run only shows that rows run.
  if (isDurable && !options.quick) checkStorage(storage);
  const { rounds, seconds, warmUpSeconds } = options;
  const plan = {
    processes,
    contenders,
    generator,
    pinning,
    folder,
    rounds,
    seconds,
    warmUpSeconds,
  };
  const tasks = tasksOf(specs, contenders, peakOf(sizes));
  const bench: Bench = { ...plan, progress: new Progress(plannedSeconds(tasks, plan)) };

  const began = performance.now();
  const samples = await measureAll(tasks, bench);
  bench.progress.end();
  await processes.close();
  const rows = specs.map((spec) => makeRow(spec, contenders, samples, rounds));
  await publish(rows, options, {
    machine: describeMachine(),
    pinning: pinning.statement,
    ...(isDurable ? { storage: storageText(storage) } : {}),
    seconds,
    warmUpSeconds,
    rounds,
    quick: options.quick,
    tookSeconds: Math.round((performance.now() - began) / 1000),
    date: new Date().toISOString(),
  });
}

async function publish(
  rows: readonly Row[],
  { folder: target }: Options,
  run: Parameters<typeof headerOf>[0],
): Promise<void> {
  const header = headerOf(run);
  const text = [header, '', tableOf(rows, 'text'), '', ...notesOf(rows)].join('\n').trimEnd();
  process.stdout.write(`${text}\n`);
  if (target === undefined) {
    process.stderr.write(
      'no result files: not a full run (give --out to have them all the same)\n',
    );
    return;
  }
  const subtitle = `${run.machine.cpu}, ${run.machine.cores} cores, ${run.date.slice(0, 10)}`;
  await writeFiles(target, {
    'peers.json': jsonOf(rows, run),
    'peers.md': documentOf(rows, run),
    'peers.svg': chartOf(rows, 'Rondo against its peers, one worker', subtitle),
  });
  process.stderr.write(`written: ${join(target, 'peers.json')}, peers.md, peers.svg\n`);
}

/** Each absent peer of the rows, with how to install it. */
function absentPeers(
  specs: readonly RowSpec[],
  contenders: ReadonlyMap<Side, Contender>,
): Set<string> {
  const names = new Set<string>();
  for (const { peer } of specs) {
    const contender = contenders.get(peer);
    if (contender?.found !== undefined) continue;
    names.add(`${contender?.peer.name} is absent; to install it: ${contender?.install}`);
  }
  return names;
}

/** Measurements with the sides that rows need; the peaks come before the open loops. */
function tasksOf(
  specs: readonly RowSpec[],
  contenders: ReadonlyMap<Side, Contender>,
  peak: Task['measurement'],
): Task[] {
  const tasks = new Map<string, { measurement: Task['measurement']; sides: Set<Side> }>();
  const add = (measurement: Task['measurement'], sides: readonly Side[]): void => {
    const task = tasks.get(measurement.id) ?? { measurement, sides: new Set<Side>() };
    for (const side of sides) task.sides.add(side);
    tasks.set(measurement.id, task);
  };
  for (const { source, rondo, peer } of specs) {
    if (source === undefined) continue;
    const sides = [rondo, peer];
    // A row with an absent side has no figures, so its other side need not run for it.
    if (sides.some((side) => contenders.get(side)?.found === undefined)) continue;
    const { measurement } = source;
    if (measurement.kind === 'open') add(peak, sides);
    add(measurement, sides);
  }
  return [...tasks.values()].map(({ measurement, sides }) => ({ measurement, sides: [...sides] }));
}
