// The commands that work on a data directory: `log` with what it can do, `backup` and `restore`.

import type { Command } from 'commander';
import { addBackupCommands } from './backup-commands.js';
import { addDumpCommand } from './log-dump.js';
import { addInfoCommand } from './log-info.js';
import { addRepairCommand } from './log-repair.js';
import { addVerifyCommand } from './log-verify.js';

export function addLogCommands(program: Command): void {
  const log = program.command('log').description('look into a data directory, and mend it');
  addInfoCommand(log);
  addVerifyCommand(log);
  addDumpCommand(log);
  addRepairCommand(log);
  addBackupCommands(program);
}
