// `rondo doctor`: whether a node with these settings would run here, and how well.

import type { Command } from 'commander';
import { defaultSettings } from '../config/config.js';
import type { Settings } from '../config/settings.js';
import { messageOf } from '../errors.js';
import { VERSION } from '../version.js';
import { type Finding, finding, runChecks } from './checks.js';
import { EXIT_FAILURE } from './exit.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';

const EXAMPLES = `
Examples:
  $ rondo doctor
  $ rondo doctor --json
  $ rondo doctor --config ./rondo.json --port 7500

Takes the settings of serve and looks at what they would run on. Exit code 1 when something is broken.`;

export function addDoctorCommand(program: Command): void {
  addSettingsOptions(
    program
      .command('doctor')
      .description('check this machine: what is in use, and what to do about each problem')
      .option('--json', 'print the findings as JSON'),
  )
    .addHelpText('after', EXAMPLES)
    .action(async (options: Record<string, unknown>) => {
      const findings = await examine(options);
      const isBroken = findings.some(({ status }) => status === 'broken');
      process.stdout.write(
        options.json === true
          ? `${JSON.stringify({ version: VERSION, ok: !isBroken, findings })}\n`
          : describe(findings),
      );
      if (isBroken) process.exitCode = EXIT_FAILURE;
    });
}

async function examine(options: Readonly<Record<string, unknown>>): Promise<Finding[]> {
  let settings: Settings;
  let judged: Finding;
  try {
    settings = settingsOf(options);
    judged = finding('settings', 'ok', 'valid');
  } catch (error) {
    settings = defaultSettings();
    judged = finding(
      'settings',
      'broken',
      'not valid; the rest is for the defaults',
      messageOf(error),
    );
  }
  return [judged, ...(await runChecks(settings))];
}

function describe(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ name, status, found, advice }) => {
    const label = { ok: 'ok     ', warning: 'warning', broken: 'BROKEN ' }[status];
    const line = `${label}  ${name.padEnd(12)} ${found}`;
    return advice === ''
      ? [line]
      : [line, ...advice.split('\n').map((text) => `           → ${text}`)];
  });
  const broken = findings.filter(({ status }) => status === 'broken').length;
  const verdict = broken === 0 ? 'A node runs here.' : `${broken} broken: a node does not start.`;
  return `${lines.join('\n')}\n\n${verdict}\n`;
}
