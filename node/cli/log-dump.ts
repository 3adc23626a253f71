// `rondo log dump`: the batches and records of a log in readable form.

import type { Command } from 'commander';
import { RecordReader } from '../../ts/engine/records.js';
import type { StoredBatch } from '../log/local/batch-stream.js';
import { DumpReader } from '../log/local/dump.js';
import { listLogFiles } from '../log/local/log-files.js';
import { nameOf } from '../log/local/record-facts.js';
import { readLayout, type WorkerLog } from '../log/local/worker-logs.js';
import { LogError } from '../log/log.js';
import { DumpJson, type DumpPrinter, DumpText } from './log-dump-format.js';
import {
  addLogOptions,
  type LogOptions,
  parseCount,
  parseIndex,
  runLogCommand,
} from './log-options.js';
import { LineOutput } from './log-output.js';

const EXAMPLES = `
Examples:
  $ rondo log dump
  $ rondo log dump --data-dir /var/lib/rondo --key plan/ --limit 20
  $ rondo log dump --from 1000 --to 1010 --full
  $ rondo log dump --worker 2
  $ rondo log dump --file rondo-data/worker-0/wal/0000000000000003.seg
  $ rondo log dump --json | jq 'select(.type == "record") | .key'

Prints what a start would read: the newest snapshot, then the segments behind it. --from and --to are
numbers of batches; with them the snapshot is left out. Of several workers each has a log of its own, with
numbers of its own: they are printed one after another, or one with --worker. A file given with --file may be damaged or lie
alone: it is read as far as it goes. --json prints an object a line: file, batch, record and end.
Secrets of sessions are not shown.`;

interface DumpFlags extends LogOptions {
  readonly file?: string;
  readonly worker?: number;
  readonly from?: number;
  readonly to?: number;
  readonly key?: string;
  readonly keysOnly?: true;
  readonly limit?: number;
  readonly full?: true;
}

export function addDumpCommand(log: Command): void {
  addLogOptions(log.command('dump').description('print the batches and records of a log'))
    .option('--file <PATH>', 'one segment or snapshot')
    .option('--worker <INDEX>', 'only the log of this worker, counted from 0', parseIndex)
    .option('--from <BATCH>', 'number of the first batch', parseCount)
    .option('--to <BATCH>', 'number of the last batch', parseCount)
    .option('--key <PREFIX>', 'only records of keys, locks and sessions whose names begin so')
    .option('--keys-only', 'leave the values out')
    .option('--limit <N>', 'records at most', parseCount)
    .option('--full', 'print values at full length')
    .addHelpText('after', EXAMPLES)
    .action((options: DumpFlags) =>
      runLogCommand(options, (dataDir) => new Dump(options, dataDir).run()),
    );
}

class Dump {
  private readonly output = new LineOutput();
  private readonly printer: DumpPrinter;
  private readonly prefix: Buffer | undefined;
  private left: number;
  /** Number of the batch with which the chain goes on; 0 where that is not known. */
  private next = 0;

  constructor(
    private readonly options: DumpFlags,
    private readonly dataDir: string,
  ) {
    this.printer = options.json === true ? new DumpJson(options) : new DumpText(options);
    this.prefix = options.key === undefined ? undefined : Buffer.from(options.key);
    this.left = options.limit ?? Number.POSITIVE_INFINITY;
  }

  async run(): Promise<void> {
    const { file } = this.options;
    if (file !== undefined) await this.dumpFiles([file]);
    else for (const log of this.logs()) await this.dumpFiles(this.pathsOf(log));
    await this.output.flush();
  }

  private async dumpFiles(paths: readonly string[]): Promise<void> {
    this.next = 0;
    for (const path of paths) {
      if (this.isDone) return;
      await this.dumpFile(path);
    }
  }

  private get isDone(): boolean {
    const { to = Number.POSITIVE_INFINITY } = this.options;
    return this.left === 0 || this.output.isClosed || this.next > to;
  }

  private logs(): readonly WorkerLog[] {
    const { worker } = this.options;
    const { logs, path } = readLayout(this.dataDir);
    if (worker === undefined) return logs;
    const log = logs[worker];
    if (log !== undefined) return [log];
    const message = `${path} has the logs of workers 0 to ${logs.length - 1}, and that of worker ${worker} is asked for`;
    throw new LogError('DATA_FORMAT', message);
  }

  private pathsOf(log: WorkerLog): string[] {
    const { from, to } = this.options;
    const { snapshots, segments } = listLogFiles(log);
    const newest = snapshots[0];
    const isRange = from !== undefined || to !== undefined;
    const later = segments.filter(({ number }) => isRange || number > (newest?.number ?? 0));
    return [...(newest && !isRange ? [newest] : []), ...later].map(({ path }) => path);
  }

  private async dumpFile(path: string): Promise<void> {
    const reader = await DumpReader.open(path);
    try {
      const isSnapshot = reader.kind === 'snapshot';
      await this.output.lines(this.printer.file(reader));
      for (let batch = await reader.next(); batch !== undefined; batch = await reader.next()) {
        // What stands in a segment that is to be used again is older than the log's end.
        if (!isSnapshot && batch.header.number < this.next) {
          await this.output.lines(this.printer.unused(reader));
          return;
        }
        if (!isSnapshot) this.next = batch.header.number + 1;
        await this.dumpBatch(batch, isSnapshot);
        if (this.isDone) return;
      }
      if (reader.header !== undefined && 'lastBatch' in reader.header) {
        this.next = reader.header.lastBatch + 1;
      }
      await this.output.lines(this.printer.end(reader, await reader.end()));
    } finally {
      await reader.close();
    }
  }

  private async dumpBatch(batch: StoredBatch, isSnapshot: boolean): Promise<void> {
    const { from = 0, to = Number.POSITIVE_INFINITY } = this.options;
    const { header, body } = batch;
    const { number } = header;
    if (!isSnapshot && (number < from || number > to)) return;
    // A snapshot's first and last batch hold no records.
    const hasRecords = !isSnapshot || (number > 0 && header.records > 0);
    const lines: string[] = [];
    const reader = new RecordReader(hasRecords ? body : new Uint8Array(0));
    while (this.left > 0 && !reader.done) {
      if (!reader.next()) {
        lines.push(...this.printer.malformed(batch));
        break;
      }
      if (this.prefix !== undefined && !startsWith(nameOf(reader), this.prefix)) continue;
      lines.push(...this.printer.record(batch, reader));
      this.left--;
    }
    if (this.prefix !== undefined && lines.length === 0) return;
    await this.output.lines([...this.printer.batch(batch, hasRecords), ...lines]);
  }
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.compare(key.subarray(0, prefix.length), prefix) === 0;
}
