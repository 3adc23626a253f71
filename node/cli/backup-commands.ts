// `rondo backup` and `rondo restore`: a copy of a data directory, and a data directory of a copy.

import type { Command } from 'commander';
import { backUp, restoreBackup } from '../log/local/backup.js';
import type { DirectoryVerification } from '../log/local/verification.js';
import { printJson, printLine } from './data-format.js';
import {
  addLogOptions,
  isoTime,
  type LogOptions,
  nativeReader,
  runLogCommand,
} from './log-options.js';
import { PhaseBars } from './log-progress.js';
import { summaryOf, totalsOf } from './log-table.js';

const BACKUP_EXAMPLES = `
Examples:
  $ rondo backup /backup/monday
  $ rondo backup /backup/monday --data-dir /var/lib/rondo
  $ rondo backup "/backup/$(date +%F)" --json

A node may run on the directory: the backup holds all that was acknowledged before it began. It is
verified before it gets its name. Nothing may be at the target, or an empty directory.`;

const RESTORE_EXAMPLES = `
Examples:
  $ rondo restore /backup/monday
  $ rondo restore /backup/monday --data-dir /var/lib/rondo
  $ rondo serve --data-dir /var/lib/rondo

Verifies all of the backup first. The data directory must be absent or empty: move a former one away.
Run it as the user that runs the node.`;

export function addBackupCommands(program: Command): void {
  addLogOptions(
    program.command('backup <target>').description('copy the data of a node, running or not'),
  )
    .addHelpText('after', BACKUP_EXAMPLES)
    .action((target: string, options: LogOptions) =>
      runLogCommand(options, async (dataDir) => {
        const bars = new PhaseBars();
        const { gather } = nativeReader();
        const made = await backUp(dataDir, target, { onProgress: bars.show, gather }).finally(() =>
          bars.end(),
        );
        tell('backup', made, options);
      }),
    );
  addLogOptions(
    program.command('restore <backup>').description('make a data directory of a backup'),
  )
    .addHelpText('after', RESTORE_EXAMPLES)
    .action((backup: string, options: LogOptions) =>
      runLogCommand(options, async (dataDir) => {
        const bars = new PhaseBars();
        const { gather } = nativeReader();
        const made = await restoreBackup(backup, dataDir, {
          onProgress: bars.show,
          gather,
        }).finally(() => bars.end());
        tell('restored', made, options);
        if (options.json !== true) printLine(`Start it: rondo serve --data-dir ${made.path}`);
      }),
    );
}

function tell(
  event: 'backup' | 'restored',
  made: DirectoryVerification,
  options: LogOptions,
): void {
  if (options.json !== true) {
    printLine(`${made.path}: ${summaryOf(made)}. Verified.`);
    return;
  }
  const { batches, records, bytes } = totalsOf(made);
  const time = isoTime(made.time) || null;
  printJson({ event, path: made.path, batches, records, time, bytes, verified: true });
}
