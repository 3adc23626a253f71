// `rondo log repair`: mends a damaged data directory with a backup of the same log.

import { relative } from 'node:path';
import type { Command } from 'commander';
import { describeLost, type Repair, repairDirectory } from '../log/local/repair.js';
import type { RepairStep } from '../log/local/repair-steps.js';
import { printJson, printLine } from './data-format.js';
import { EXIT_FAILURE } from './exit.js';
import { addLogOptions, type LogOptions, nativeHalf, runLogCommand } from './log-options.js';
import { ProgressBar } from './log-progress.js';
import { describeVerification, verificationJson } from './log-table.js';

const EXAMPLES = `
Examples:
  $ rondo log repair --from-backup /backup/monday --dry-run
  $ rondo log repair --from-backup /backup/monday
  $ rondo log repair --from-backup /backup/monday --accept-loss

The node must not run. Takes each batch from the data directory where it is whole there, from the backup
where it is not. Damaged files are kept in damaged-<time> under the data directory. Where the backup
does not reach far enough, says which batches would be lost and does nothing, unless --accept-loss is
given: then the log ends before the gap, and the files behind it are kept there, too.`;

interface RepairFlags extends LogOptions {
  readonly fromBackup: string;
  readonly dryRun?: true;
  readonly acceptLoss?: true;
}

export function addRepairCommand(log: Command): void {
  addLogOptions(log.command('repair').description('mend a damaged log with a backup of it'))
    .requiredOption('--from-backup <PATH>', 'a backup of the same log')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--accept-loss', 'end the log before a gap that the backup does not bridge')
    .addHelpText('after', EXAMPLES)
    .action((options: RepairFlags) =>
      runLogCommand(options, async (dataDir) => {
        const bar = new ProgressBar('verifying');
        const repair = await repairDirectory(dataDir, options.fromBackup, {
          ...nativeHalf(),
          isDryRun: options.dryRun === true,
          isLossAccepted: options.acceptLoss === true,
          onProgress: bar.show,
        }).finally(() => bar.end());
        if (options.json === true) printJson(repairJson(repair, options));
        else for (const line of describe(repair, options)) printLine(line);
        const isLosing = repair.lost.length > 0 && options.acceptLoss !== true;
        if (options.dryRun === true && isLosing) process.exitCode = EXIT_FAILURE;
      }),
    );
}

function describe({ steps, lost, kept, verification }: Repair, options: RepairFlags): string[] {
  if (steps.length === 0) return ['Nothing is damaged. Nothing was changed.'];
  const { path } = verification;
  const lines = steps.map((step) => `${relative(path, step.path)}: ${describeStep(step)}`);
  if (lost.length > 0) {
    const verb = options.dryRun === true ? 'would be lost' : 'are lost';
    lines.push(`Batches ${lost.map(describeLost).join('; ')} ${verb}.`);
  }
  if (options.dryRun === true) {
    const how = lost.length > 0 && options.acceptLoss !== true ? ' It takes --accept-loss.' : '';
    return [...lines, `Nothing was changed.${how}`];
  }
  return [
    ...lines,
    `Damaged files are kept in ${kept}.`,
    '',
    ...describeVerification(verification),
  ];
}

function describeStep(step: RepairStep): string {
  if (step.action === 'move away') return 'move away';
  if (step.copyOf !== undefined) return `${step.action}, as the backup has it`;
  const { own, fromBackup } = countsOf(step);
  return `${step.action} of ${own} batches that are whole and ${fromBackup} of the backup`;
}

function countsOf({ pieces = [] }: RepairStep) {
  const sum = (isBackup: boolean) =>
    pieces
      .filter((piece) => piece.isBackup === isBackup)
      .reduce((count, { run }) => count + run.to - run.from + 1, 0);
  return { own: sum(false), fromBackup: sum(true) };
}

function repairJson({ steps, lost, kept, verification }: Repair, options: RepairFlags) {
  return {
    dryRun: options.dryRun === true,
    steps: steps.map((step) => ({
      action: step.action,
      file: relative(verification.path, step.path),
      ...countsOf(step),
      copyOf: step.copyOf ?? null,
    })),
    lost: lost.map(({ isWhole, from, to, worker = 0, records }) => {
      return { worker, from, to, whole: isWhole, records };
    }),
    kept: kept ?? null,
    verification: verificationJson(verification),
  };
}
