// What the commands that work on a data directory have in common: where it is, how errors are told, and
// whole numbers as options.

import { type Command, InvalidArgumentError } from 'commander';
import { EngineError } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import type { NativeAddon } from '../../ts/engine/native-engine.js';
import { CONFIG_VARIABLE, loadSettings } from '../config/config.js';
import { flagOf, SETTINGS, variableOf } from '../config/settings.js';
import type { Gather } from '../log/local/batch-stream.js';
import type { Flock } from '../log/local/lock-file.js';
import { type NativeRecoveryAddon, nativeGather } from '../log/local/native-recovery.js';
import { reportError } from './exit.js';

export interface LogOptions {
  readonly dataDir?: string;
  readonly config?: string;
  readonly json?: true;
}

/** Adds --data-dir, --config and --json. */
export function addLogOptions(command: Command): Command {
  const { placeholder, description, initial } = SETTINGS.dataDir;
  return command
    .option(
      `${flagOf('dataDir')} <${placeholder}>`,
      `${description} (default: ${initial}) [${variableOf('dataDir')}]`,
    )
    .option('--config <PATH>', `JSON file with settings (also ${CONFIG_VARIABLE})`)
    .option('--json', 'print JSON');
}

/** Runs a command on the data directory; what it throws is told, and becomes the exit code. */
export async function runLogCommand(
  options: LogOptions,
  action: (dataDir: string) => Promise<void>,
): Promise<void> {
  try {
    const { dataDir, config: configPath } = options;
    const settings = loadSettings({ flags: { dataDir }, environment: process.env, configPath });
    await action(settings.dataDir);
  } catch (error) {
    process.exitCode = reportError(error, options.json === true);
  }
}

/** What the addon does for a log. Throws `EngineError` (`ADDON_BROKEN`); nothing without an addon. */
export function nativeHalf(): { gather?: Gather; flock?: Flock } {
  const addon = chooseEngine('auto').addon as (NativeAddon & NativeRecoveryAddon) | undefined;
  return addon === undefined ? {} : { gather: nativeGather(addon), flock: addon.flock };
}

/** For commands that only read: a broken addon must not keep anyone from looking. */
export function nativeReader(): { gather?: Gather } {
  try {
    const { gather } = nativeHalf();
    return gather === undefined ? {} : { gather };
  } catch (error) {
    if (error instanceof EngineError) return {};
    throw error;
  }
}

/** An option that is a whole number of at least 1. */
export function parseCount(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new InvalidArgumentError('A whole number of at least 1.');
}

/** An option that is a whole number, counted from 0. */
export function parseIndex(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A whole number.');
}

/** A time as people and programs read it; empty for none. */
export function isoTime(ms: number): string {
  return ms === 0 || ms > 8.64e15 ? '' : new Date(ms).toISOString();
}
