// Every setting of a node: its name in the configuration file, its default, what is allowed and what
// it is for. Flag and environment variable follow from the name: `memoryMax` is `--memory-max` and
// `RONDO_MEMORY_MAX`.

import { z } from 'zod';
import {
  PARTITIONS_DEFAULT,
  PARTITIONS_MAX,
  VALUE_BYTES_CONFIGURABLE_MAX,
  VALUE_BYTES_MAX_DEFAULT,
  WORKERS_MAX,
} from '../../ts/wire/limits.js';
import {
  CONNECTIONS_MAX_DEFAULT,
  HELLO_DEADLINE_MS_DEFAULT,
  LOG_SEGMENT_BYTES_DEFAULT,
  LOG_SEGMENT_BYTES_MIN,
  OPERATIONS_OUTSTANDING_MAX_DEFAULT,
  SEND_BUFFER_BYTES_MAX_DEFAULT,
  SESSIONS_MAX_DEFAULT,
} from '../limits.js';
import { parseDurability, SYNC_INTERVAL_MS_MAX } from './durability.js';
import { formatSize, parseSize } from './size.js';

export interface Setting<V> {
  readonly schema: z.ZodType<V>;
  readonly initial: V;
  /** What may be given, as it completes "allowed: ". */
  readonly allowed: string;
  readonly description: string;
  /** The value's name in the help; absent for a switch. */
  readonly placeholder?: string;
  /** The flag may be given several times. */
  readonly isList?: true;
}

export const SETTINGS = {
  host: setting(
    z.string().min(1),
    '127.0.0.1',
    'an address of this machine',
    'address to listen at; anything but loopback needs --token-file or --insecure',
    'ADDRESS',
  ),
  port: integer(7400, 0, 65_535, 'port to listen at; 0 takes a free one', 'PORT'),
  engine: oneOf(['auto', 'native', 'ts'], 'which engine executes operations'),
  transport: oneOf(['auto', 'uws', 'ws'], 'which WebSocket server is used'),
  durability: setting(
    z.string().refine((text) => parseDurability(text) !== undefined),
    'sync',
    `sync, none, or interval:<ms> with 1 to ${SYNC_INTERVAL_MS_MAX} milliseconds`,
    'when a write counts: sync, once it is on disk; interval:<ms>, at once, and on disk that much later; none, at once, and never on disk',
    'sync|interval:<ms>|none',
  ),
  dataDir: setting(
    z.string().min(1),
    'rondo-data',
    'a path',
    'directory that keeps the log and its snapshots',
    'PATH',
  ),
  logSegmentBytes: size(
    LOG_SEGMENT_BYTES_DEFAULT,
    LOG_SEGMENT_BYTES_MIN,
    2 ** 30,
    'bytes of each file of the log; they are taken from the disk ahead of time',
  ),
  partitions: setting(
    z.preprocess(toNumber, z.int().min(1).max(PARTITIONS_MAX).refine(isPowerOfTwo)),
    PARTITIONS_DEFAULT,
    `a power of two from 1 to ${PARTITIONS_MAX}`,
    'partitions that keys are spread over',
    'N',
  ),
  workers: setting<number | 'auto'>(
    z.union([z.literal('auto'), z.preprocess(toNumber, z.int().min(1).max(WORKERS_MAX))]),
    'auto',
    `auto, or an integer from 1 to ${WORKERS_MAX}`,
    'threads that serve, each a share of the partitions; auto: one less than the cores',
    'N',
  ),
  valueBytesMax: size(
    VALUE_BYTES_MAX_DEFAULT,
    1,
    VALUE_BYTES_CONFIGURABLE_MAX,
    'largest value that a key may hold',
  ),
  memoryMax: size(
    0,
    0,
    2 ** 50,
    'logical bytes that all keys may hold; 0 for no bound. Past it writes are refused',
  ),
  connectionsMax: integer(CONNECTIONS_MAX_DEFAULT, 1, 1_000_000, 'connections at a time', 'N'),
  sessionsMax: integer(
    SESSIONS_MAX_DEFAULT,
    1,
    10_000_000,
    'sessions at a time, those without a connection included',
    'N',
  ),
  outstandingMax: integer(
    OPERATIONS_OUTSTANDING_MAX_DEFAULT,
    1,
    2 ** 30,
    'operations of a connection whose replies its peer has not yet taken',
    'N',
  ),
  sendBufferBytesMax: size(
    SEND_BUFFER_BYTES_MAX_DEFAULT,
    64 * 1024,
    2 ** 31,
    'bytes of replies that a connection may leave unread before it is closed',
  ),
  helloDeadlineMs: integer(
    HELLO_DEADLINE_MS_DEFAULT,
    1,
    600_000,
    'milliseconds that a new connection has for its hello',
    'MS',
  ),
  tokenFile: setting(
    z.string(),
    '',
    'a path',
    'file with the tokens that clients may use, one a line; turns authentication on',
    'PATH',
  ),
  allowOrigin: {
    ...setting(
      z.preprocess(toList, z.array(z.string().refine(isOrigin))) as z.ZodType<string[]>,
      [] as string[],
      "origins such as https://app.example.com, or '*' for every page of every site",
      'browser origin that may connect; repeatable',
      'ORIGIN',
    ),
    isList: true,
  },
  insecure: setting(
    z.preprocess(toBoolean, z.boolean()),
    false,
    'true or false',
    'listen on a non-loopback address without tokens: everyone who reaches it may read and write',
  ),
  logLevel: oneOf(
    ['info', 'trace', 'debug', 'warn', 'error', 'fatal', 'silent'],
    'least level that is logged',
  ),
  logFormat: oneOf(
    ['auto', 'json', 'text'],
    'log lines as JSON or as text; auto: text on a terminal',
  ),
} as const satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof SETTINGS;
export type Settings = {
  readonly [N in SettingName]: (typeof SETTINGS)[N] extends Setting<infer V> ? V : never;
};

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** `memoryMax` → `--memory-max` */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `memoryMax` → `RONDO_MEMORY_MAX` */
export function variableOf(name: string): string {
  return `RONDO_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function setting<V>(
  schema: z.ZodType<V>,
  initial: V,
  allowed: string,
  description: string,
  placeholder?: string,
): Setting<V> {
  const base = { schema, initial, allowed, description };
  return placeholder === undefined ? base : { ...base, placeholder };
}

function integer(
  initial: number,
  least: number,
  most: number,
  description: string,
  placeholder: string,
): Setting<number> {
  const schema = z.preprocess(toNumber, z.int().min(least).max(most));
  return setting(schema, initial, `an integer from ${least} to ${most}`, description, placeholder);
}

function size(initial: number, least: number, most: number, description: string): Setting<number> {
  const schema = z.preprocess(
    (value) => (typeof value === 'string' ? parseSize(value) : value),
    z.int().min(least).max(most),
  );
  const allowed = `a size from ${formatSize(least)} to ${formatSize(most)}, such as 64MiB`;
  return setting(schema, initial, allowed, description, 'SIZE');
}

/** The first choice is the default. */
function oneOf<const C extends readonly [string, ...string[]]>(
  choices: C,
  description: string,
): Setting<C[number]> {
  const schema = z.enum(choices) as unknown as z.ZodType<C[number]>;
  const placeholder = choices.join('|');
  return setting(schema, choices[0], `one of ${choices.join(', ')}`, description, placeholder);
}

function toNumber(value: unknown): unknown {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
}

function toBoolean(value: unknown): unknown {
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  return value;
}

function toList(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

/** What browsers send as `Origin`: scheme, host and port, nothing after; `null` cannot be allowed. */
function isOrigin(text: string): boolean {
  return text === '*' || /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#,]+$/.test(text);
}
