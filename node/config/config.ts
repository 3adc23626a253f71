// Puts the settings of a node together: flag before environment before file before default. Every
// problem is reported at once, each with the setting, where it was given, the value and what is
// allowed.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { frameBytesMaxFor, WORKERS_MAX } from '../../ts/wire/limits.js';
import { messageOf, NodeError } from '../errors.js';
import { CONFIG_FILE_BYTES_MAX } from '../limits.js';
import { closest } from './closest.js';
import {
  flagOf,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
  type Settings,
  variableOf,
} from './settings.js';
import { formatSize } from './size.js';

/** Where the configuration file is: no setting, since it can't stand in that file. */
export const CONFIG_VARIABLE = 'RONDO_CONFIG';
/** Variables of other commands, which may be set where a node is started. */
const OTHER_VARIABLES: readonly string[] = [CONFIG_VARIABLE, 'RONDO_URL', 'RONDO_TOKEN'];
/** Variables that begin so belong to the build and the tests. */
const TEST_PREFIXES = ['RONDO_REQUIRE_', 'RONDO_SEED', 'RONDO_SOAK_', 'RONDO_CRASH_'];

export interface ConfigInput {
  /** By setting name; absent or undefined where the flag was not given. */
  readonly flags: Readonly<Partial<Record<SettingName, unknown>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Of `--config`; before RONDO_CONFIG. */
  readonly configPath: string | undefined;
}

/** Throws `NodeError`: `CONFIG_UNREADABLE` or `CONFIG_INVALID`. */
export function loadSettings(input: ConfigInput): Settings {
  const problems: string[] = [];
  const { environment } = input;
  for (const variable of Object.keys(environment)) {
    const isKnown =
      OTHER_VARIABLES.includes(variable) ||
      TEST_PREFIXES.some((prefix) => variable.startsWith(prefix)) ||
      SETTING_NAMES.some((name) => variableOf(name) === variable);
    if (variable.startsWith('RONDO_') && !isKnown) {
      const nearest = closest(variable, SETTING_NAMES.map(variableOf));
      problems.push(`${variable}: no such environment variable; the closest is ${nearest}`);
    }
  }

  const path = input.configPath ?? environment[CONFIG_VARIABLE];
  const file = path === undefined ? {} : readConfigFile(path);
  for (const name of Object.keys(file)) {
    if (!SETTING_NAMES.includes(name as SettingName)) {
      const nearest = closest(name, SETTING_NAMES);
      problems.push(`${name} (in ${path}): no such setting; the closest is ${nearest}`);
    }
  }

  const settings: Record<string, unknown> = {};
  for (const name of SETTING_NAMES) {
    const candidates: [value: unknown, from: string][] = [
      [input.flags[name], flagOf(name)],
      [environment[variableOf(name)], variableOf(name)],
      [file[name], `in ${path}`],
    ];
    const given = candidates.find(([value]) => value !== undefined);
    const { schema, initial, allowed } = SETTINGS[name];
    if (!given) {
      settings[name] = initial;
      continue;
    }
    const [value, from] = given;
    const result = schema.safeParse(value);
    if (result.success) settings[name] = result.data;
    else
      problems.push(
        `${name} (${from}): ${JSON.stringify(value)} is not valid; allowed: ${allowed}`,
      );
  }
  if (problems.length === 0) problems.push(...conflicts(settings as unknown as Settings));
  if (problems.length > 0) throw new NodeError('CONFIG_INVALID', problems.join('\n'));
  return settings as unknown as Settings;
}

/** The settings of a node that was given nothing; `changes` are taken as they are. */
export function defaultSettings(changes: Partial<Settings> = {}): Settings {
  const entries = SETTING_NAMES.map((name) => [name, SETTINGS[name].initial]);
  return { ...(Object.fromEntries(entries) as unknown as Settings), ...changes };
}

/** How many threads serve. `cores`: that this process may use. */
export function workersOf(
  { workers, partitions }: Pick<Settings, 'workers' | 'partitions'>,
  cores = availableParallelism(),
): number {
  if (workers !== 'auto') return workers;
  return Math.max(1, Math.min(cores - 1, partitions, WORKERS_MAX));
}

function conflicts(settings: Settings): string[] {
  return [...logConflicts(settings), ...workerConflicts(settings), ...bufferConflicts(settings)];
}

function logConflicts({ durability, dataDir }: Settings): string[] {
  if (durability !== 'none' || dataDir === SETTINGS.dataDir.initial) return [];
  return [
    `dataDir: ${dataDir} would not be used with durability none; ` +
      'leave it out, or choose durability sync or interval:<ms>',
  ];
}

function workerConflicts({ workers, partitions }: Settings): string[] {
  if (workers === 'auto' || workers <= partitions) return [];
  return [
    `workers: ${workers} are too many, since each has at least one of the ${partitions} partitions; ` +
      `allowed: ${partitions} or fewer`,
  ];
}

function bufferConflicts(settings: Settings): string[] {
  const frameBytesMax = frameBytesMaxFor(settings.valueBytesMax);
  if (settings.sendBufferBytesMax >= frameBytesMax) return [];
  const { valueBytesMax, sendBufferBytesMax } = settings;
  return [
    `sendBufferBytesMax: ${formatSize(sendBufferBytesMax)} is too small, since one reply may take ` +
      `${formatSize(frameBytesMax)} with valueBytesMax ${formatSize(valueBytesMax)}; ` +
      `allowed: ${frameBytesMax} bytes or more`,
  ];
}

function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new NodeError(
      'CONFIG_UNREADABLE',
      `the configuration file ${path} can't be read: ${messageOf(cause)}`,
      { cause },
    );
  }
  if (text.length > CONFIG_FILE_BYTES_MAX) {
    throw new NodeError('CONFIG_UNREADABLE', `the configuration file ${path} is larger than 1 MiB`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new NodeError(
      'CONFIG_UNREADABLE',
      `the configuration file ${path} is not valid JSON: ${messageOf(cause)}`,
      { cause },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new NodeError(
      'CONFIG_UNREADABLE',
      `the configuration file ${path} must hold one JSON object, such as {"port": 7400}`,
    );
  }
  return value as Record<string, unknown>;
}
