// `rondo log info`: what a data directory is made of, without reading what is in it.

import { basename, dirname } from 'node:path';
import type { Command } from 'commander';
import { formatSize } from '../config/size.js';
import { lockedBy } from '../log/local/lock-file.js';
import { bytesOfLog, listLogFiles } from '../log/local/log-files.js';
import { type DataLayout, readLayout, type WorkerLog } from '../log/local/worker-logs.js';
import { printJson, printLine } from './data-format.js';
import { addLogOptions, type LogOptions, runLogCommand } from './log-options.js';
import { idText } from './log-table.js';

const EXAMPLES = `
Examples:
  $ rondo log info
  $ rondo log info --data-dir /var/lib/rondo --json

Each worker has a log of its own, of the partitions that it has. A start with another number of workers
divides all logs anew; the generation counts how often.`;

export function addInfoCommand(log: Command): void {
  addLogOptions(log.command('info').description('show whose logs a data directory has'))
    .addHelpText('after', EXAMPLES)
    .action((options: LogOptions) =>
      runLogCommand(options, async (dataDir) => {
        const layout = readLayout(dataDir);
        if (options.json === true) printJson(infoJson(layout));
        else for (const line of describe(layout)) printLine(line);
      }),
    );
}

function describe(layout: DataLayout): string[] {
  const { path, id, partitions, generation, workers, logs } = layout;
  const openIn = lockedBy(path);
  return [
    `${path}: id ${idText(id)}, ${partitions} partitions, ${workers} ${workers === 1 ? 'worker' : 'workers'}, generation ${generation}`,
    ...logs.map((log) => {
      const { folder, partitions, segments, snapshots, bytes } = factsOf(layout, log);
      return `worker ${log.worker}: ${folder}, ${partitions} partitions, ${snapshots} snapshots, ${segments} segments, ${formatSize(bytes)}`;
    }),
    ...(openIn === undefined ? [] : [`Process ${openIn} has it open.`]),
  ];
}

function infoJson(layout: DataLayout): Record<string, unknown> {
  const { path, id, partitions, generation, workers, owners, logs } = layout;
  return {
    dataDir: path,
    id: idText(id),
    partitions,
    generation,
    workers,
    openIn: lockedBy(path) ?? null,
    owners: [...owners],
    logs: logs.map((log) => ({ worker: log.worker, ...factsOf(layout, log) })),
  };
}

function factsOf({ owners }: DataLayout, log: WorkerLog) {
  const { segments, snapshots } = listLogFiles(log);
  return {
    folder: basename(dirname(log.wal)),
    logId: idText(log.logId),
    partitions: owners.filter((owner) => owner === log.worker).length,
    segments: segments.length,
    snapshots: snapshots.length,
    bytes: bytesOfLog(log),
  };
}
