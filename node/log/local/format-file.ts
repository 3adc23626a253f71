// The file FORMAT: that a folder is a data directory, of how many partitions and with which id. It is made last,
// so that where it stands the rest stands too.

import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { LogError } from '../log.js';
import { systemCode, unreadable } from './data-errors.js';
import { FORMAT_VERSION } from './format.js';
import { syncFolder } from './sync.js';

export const FORMAT_NAME = 'FORMAT';
export const FORMAT_ASIDE_NAME = `${FORMAT_NAME}.tmp`;
const FORMAT_BYTES_MAX = 4096;

/** What FORMAT says. */
export interface DataFormat {
  readonly partitions: number;
  /** Drawn at random when the directory is made, never 0. */
  readonly logId: bigint;
}

export interface DataPaths {
  /** The directory itself, absolute. */
  readonly path: string;
  /** The folder of segments. */
  readonly wal: string;
  /** The folder of snapshots. */
  readonly snapshot: string;
}

/** Of the log of a directory that has one worker and always had. */
export function dataPaths(directory: string): DataPaths {
  const path = resolve(directory);
  const worker = join(path, 'worker-0');
  return { path, wal: join(worker, 'wal'), snapshot: join(worker, 'snapshot') };
}

/** What FORMAT says, without a lock. Throws `DATA_FORMAT`, `DATA_UNREADABLE`. */
export function readDataFormat(directory: string): DataFormat {
  const path = join(directory, FORMAT_NAME);
  let text: string;
  try {
    if (statSync(path).size > FORMAT_BYTES_MAX) throw notOne(directory);
    text = readFileSync(path, 'latin1');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') throw notOne(directory);
    throw error instanceof LogError ? error : unreadable(path, 'read', error);
  }
  const version = /^rondo-data (\d+)\n/.exec(text)?.[1];
  if (version !== undefined && version !== String(FORMAT_VERSION)) {
    throw new LogError(
      'DATA_FORMAT',
      `${directory} is a data directory of version ${version}; this rondo reads version ${FORMAT_VERSION}. Start the rondo that made it, or give a new directory: --data-dir <path>`,
    );
  }
  const match = /^rondo-data \d+\npartitions (\d+)\nid ([0-9a-f]{16})\n$/.exec(text);
  const partitions = Number(match?.[1]);
  const logId = BigInt(`0x${match?.[2] ?? '0'}`);
  if (match === null || !Number.isSafeInteger(partitions) || partitions === 0 || logId === 0n) {
    throw new LogError(
      'DATA_FORMAT',
      `${path} is not what a data directory has there: "rondo-data ${FORMAT_VERSION}", "partitions <n>", "id <16 hexadecimal digits>". Restore it from a backup`,
    );
  }
  return { partitions, logId };
}

/** Makes a folder a data directory, durably. */
export function writeDataFormat(path: string, { partitions, logId }: DataFormat): void {
  const id = logId.toString(16).padStart(16, '0');
  const aside = join(path, FORMAT_ASIDE_NAME);
  const descriptor = openSync(aside, 'w', 0o600);
  try {
    writeSync(descriptor, `rondo-data ${FORMAT_VERSION}\npartitions ${partitions}\nid ${id}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(aside, join(path, FORMAT_NAME));
  syncFolder(path);
}

export function notOne(directory: string): LogError {
  return new LogError(
    'DATA_FORMAT',
    `${directory} is no data directory: it has no ${FORMAT_NAME} file and is not empty. Nothing was written there. Give an empty or new directory: --data-dir <path>; if it was a data directory, restore ${FORMAT_NAME} from a backup`,
  );
}
