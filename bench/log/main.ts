// `npm run bench:log`: how fast a log is read, written and compacted in either language, and what a
// compaction does to gets meanwhile. Starts and stops everything itself; a run in which anything went
// wrong leaves no result file.

import { join } from 'node:path';
import { checkFolder, writeFiles } from '../peers/files.js';
import { prepareGenerator } from '../peers/load.js';
import { choosePinning, describeMachine } from '../peers/machine.js';
import { type Program, runProgram } from '../peers/program.js';
import { Progress } from '../peers/progress.js';
import { selectRows } from '../peers/rows.js';
import { checkStorage, storageOf } from '../peers/storage.js';
import { BATCH_RECORDS, LIGHT_CONNECTIONS, LIGHT_RATE, RECORD_BYTES } from './limits.js';
import { LogMeasuring } from './measure.js';
import { type Options, parseOptions } from './options.js';
import { logNotes, logTable, makeLogRow } from './results.js';
import { type LogRowSpec, logRows, type SeriesId } from './rows.js';

const QUICK_REASON = 'a quick run has no log that takes long enough to compact';
/** Megabytes a second that series reach at least, for the estimate; of latencies the seconds count. */
const SPEEDS: readonly (readonly [prefix: string, rate: number])[] = [
  ['recovery', 100],
  ['append', 100],
  ['compaction', 80],
];
/** Seconds to start a process, and to make and copy data. */
const START_SECONDS = 1;

await runProgram('bench:log', (program) => run(program, parseOptions(process.argv.slice(2))));

async function run(program: Program, options: Options): Promise<void> {
  const { processes } = program;
  if (options.folder !== undefined) await checkFolder(options.folder);
  const all = logRows();
  const specs = options.rows === undefined ? all : selectRows(all, options.rows);
  if (specs.length === 0) {
    const names = all.map(({ name }) => name).join(', ');
    throw new Error(`no row matches ${options.rows}; there are ${names}`);
  }
  const folder = program.makeFolder();
  const storage = storageOf(folder);
  if (!options.quick) checkStorage(storage);
  process.stderr.write('building the load generator\n');
  const generator = options.generator ?? (await prepareGenerator(processes));
  const pinning = choosePinning();
  const measured = specs.filter((spec) => !(options.quick && isBesideCompaction(spec)));
  const { bytes, rounds, seconds, warmUpSeconds } = options;
  const plan = (series: SeriesId): number => plannedSeconds(series, options);
  const series = new Set(measured.map((spec) => spec.series));
  const planned = [...series].reduce((sum, one) => sum + rounds * plan(one), 0);
  const progress = new Progress(planned);
  const began = performance.now();
  const measuring = new LogMeasuring({
    processes,
    progress,
    core: pinning.server,
    pinning,
    generator,
    folder,
    bytes,
    rounds,
    seconds,
    warmUpSeconds,
    series,
    plan,
  });
  await measuring.run();
  progress.end();
  const rows = specs.map((spec) =>
    makeLogRow(spec, measuring.samples, measured.includes(spec) ? '' : QUICK_REASON),
  );
  const facts = {
    machine: describeMachine(),
    storage,
    pinning: pinning.statement,
    bytes,
    recordBytes: RECORD_BYTES,
    batchBytes: BATCH_RECORDS * RECORD_BYTES,
    rounds,
    seconds,
    warmUpSeconds,
    lightLoad: { connections: LIGHT_CONNECTIONS, getsPerSecond: LIGHT_RATE },
    quick: options.quick,
    tookSeconds: Math.round((performance.now() - began) / 1000),
    date: new Date().toISOString(),
  };
  const text = [headerOf(facts), '', logTable(rows), '', ...logNotes(rows)].join('\n').trimEnd();
  process.stdout.write(`${text}\n`);
  if (options.folder === undefined) {
    process.stderr.write('no result file: not a full run (give --out to have it all the same)\n');
    return;
  }
  const json = `${JSON.stringify({ schema: 1, run: facts, rows }, null, 2)}\n`;
  await writeFiles(options.folder, { 'log.json': json });
  process.stderr.write(`written: ${join(options.folder, 'log.json')}\n`);
}

function isBesideCompaction({ series }: LogRowSpec): boolean {
  return series === 'gets.beside';
}

interface Facts {
  readonly machine: ReturnType<typeof describeMachine>;
  readonly storage: ReturnType<typeof storageOf>;
  readonly pinning: string;
  readonly bytes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly quick: boolean;
  readonly date: string;
}

function headerOf(facts: Facts): string {
  const { machine, storage, bytes, rounds, seconds } = facts;
  const megabytes = (count: number): string => `${Math.round(count / 1e6).toLocaleString('en')} MB`;
  const disk = storage === undefined ? '' : `; ${storage.type} on ${storage.device}`;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGigabytes} GiB; ${machine.system}; ` +
      `Node ${machine.node}${disk}; ${facts.date.slice(0, 10)}.`,
    `Median (least to greatest) of ${rounds} rounds in which the sides take turns; ${facts.pinning}.`,
    `Records of ${RECORD_BYTES} bytes. Recovered from memory and appended: ${megabytes(bytes / 4)}, in a ` +
      `process of its own each, MB of records; compacted: ${megabytes(bytes)}, MB of segments. Latencies: ` +
      `${seconds} s each; gets ${LIGHT_RATE.toLocaleString('en')}/s over ${LIGHT_CONNECTIONS} connections.`,
    ...(facts.quick
      ? ['A quick run: little data, to see that every row runs. Its figures mean nothing.']
      : []),
  ].join('\n');
}

/** Seconds of one round. */
function plannedSeconds(series: SeriesId, options: Options): number {
  const { bytes, seconds, warmUpSeconds } = options;
  if (series === 'gets.beside') return START_SECONDS + bytes / 20e6 + 10 * seconds;
  const rate = SPEEDS.find(([prefix]) => series.startsWith(prefix))?.[1];
  if (rate === undefined) return START_SECONDS + seconds + warmUpSeconds;
  const work = series.startsWith('compaction') ? bytes : bytes / 4;
  return START_SECONDS + work / 1e6 / rate;
}
