// `rondo log verify`: whether a start would find everything, file by file.

import type { Command } from 'commander';
import { verifyDirectory } from '../log/local/verify.js';
import { printJson, printLine } from './data-format.js';
import { EXIT_FAILURE } from './exit.js';
import { addLogOptions, type LogOptions, nativeReader, runLogCommand } from './log-options.js';
import { ProgressBar } from './log-progress.js';
import { describeVerification, verificationJson } from './log-table.js';

const EXAMPLES = `
Examples:
  $ rondo log verify
  $ rondo log verify --data-dir /var/lib/rondo
  $ rondo log verify --data-dir /backup/monday --json

Reads every file that a start would read, checks what a start would check, and changes nothing. A node
may run on the directory, and a backup is one, too. Exit code 0: whole, 1: damaged.`;

export function addVerifyCommand(log: Command): void {
  addLogOptions(log.command('verify').description('check every byte of the log and its snapshots'))
    .addHelpText('after', EXAMPLES)
    .action((options: LogOptions) =>
      runLogCommand(options, async (dataDir) => {
        const bar = new ProgressBar('verifying');
        const { gather } = nativeReader();
        const found = await verifyDirectory(dataDir, { onProgress: bar.show, gather }).finally(() =>
          bar.end(),
        );
        if (options.json === true) printJson(verificationJson(found));
        else for (const line of describeVerification(found)) printLine(line);
        if (found.damage.length > 0) process.exitCode = EXIT_FAILURE;
      }),
    );
}
