// The data directory: its folders, its FORMAT file and its lock. FORMAT is made last, so that where it
// stands the folders stand too, and a folder that is missing then is data that is lost.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { LogError } from '../log.js';
import { DataDamage, systemCode, unreadable } from './data-errors.js';
import { FORMAT_VERSION } from './format.js';
import { FLOCK_NAME, type Flock, isLockRemains, LOCK_NAME, LockFile } from './lock-file.js';

export const FORMAT_NAME = 'FORMAT';
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

export interface DataDirectory extends DataFormat, DataPaths {
  /** Whether it was made by this opening. */
  readonly isNew: boolean;
  /** Lets go of the lock. */
  close(): void;
}

export interface DataDirectoryOptions {
  readonly partitions: number;
  readonly flock?: Flock | undefined;
}

/**
 * Opens a data directory, or makes one where nothing is. Throws `DATA_FORMAT`, `DATA_PARTITIONS`,
 * `DATA_LOCKED`, `DATA_DAMAGED`, `DATA_UNREADABLE`.
 */
export function openDataDirectory(
  directory: string,
  { partitions, flock }: DataDirectoryOptions,
): DataDirectory {
  const paths = dataPaths(directory);
  let lock: LockFile | undefined;
  try {
    makeFolder(paths.path);
    if (!existsSync(join(paths.path, FORMAT_NAME))) checkUnused(paths.path);
    lock = LockFile.acquire(paths.path, flock);
    const isNew = !existsSync(join(paths.path, FORMAT_NAME));
    if (isNew) create(paths, partitions);
    const format = readDataFormat(paths.path);
    checkPartitions(paths.path, format.partitions, partitions);
    for (const folder of [paths.wal, paths.snapshot]) {
      if (!existsSync(folder)) throw new DataDamage(join(folder, '*'), 0, 'the folder', 'none');
    }
    const held = lock;
    return { ...format, ...paths, isNew, close: () => held.release() };
  } catch (error) {
    lock?.release();
    throw error instanceof LogError ? error : unreadable(paths.path, 'open', error);
  }
}

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

/** Makes directory entries durable. */
export function syncFolder(folder: string): void {
  syncPath(folder, 'r');
}

/** Makes what was written to a file durable. */
export function syncFile(path: string): void {
  syncPath(path, 'r+');
}

function syncPath(path: string, flags: string): void {
  const descriptor = openSync(path, flags);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Makes a folder with those above it, durably. */
function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    syncFolder(dirname(made));
  }
}

/** Throws where the directory holds what is not Rondo's: nothing may be written there. */
function checkUnused(path: string): void {
  const foreign = readdirSync(path).filter((name) => !isOfStart(name));
  // A start that was cut short leaves empty folders; segments without a FORMAT are another matter.
  const { wal, snapshot } = dataPaths(path);
  const files = [wal, snapshot].filter(existsSync).flatMap((folder) => readdirSync(folder));
  if (foreign.length > 0 || files.length > 0) throw notOne(path);
}

/** What a start leaves when it is cut short before FORMAT stands, and what a new file system has. */
function isOfStart(name: string): boolean {
  const ours = [`${FORMAT_NAME}.tmp`, LOCK_NAME, FLOCK_NAME, 'worker-0', 'lost+found'];
  return ours.includes(name) || isLockRemains(name);
}

function create(paths: DataPaths, partitions: number): void {
  makeFolder(paths.wal);
  makeFolder(paths.snapshot);
  let logId = 0n;
  while (logId === 0n) logId = randomBytes(8).readBigUInt64LE();
  const id = logId.toString(16).padStart(16, '0');
  const aside = join(paths.path, `${FORMAT_NAME}.tmp`);
  const descriptor = openSync(aside, 'w', 0o600);
  try {
    writeSync(descriptor, `rondo-data ${FORMAT_VERSION}\npartitions ${partitions}\nid ${id}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(aside, join(paths.path, FORMAT_NAME));
  syncFolder(paths.path);
}

function checkPartitions(path: string, made: number, asked: number): void {
  if (made === asked) return;
  throw new LogError(
    'DATA_PARTITIONS',
    `${path} was made for ${made} partitions, and ${asked} are asked for. Start with --partitions ${made}, or give a new directory: --data-dir <path>`,
  );
}

function notOne(directory: string): LogError {
  return new LogError(
    'DATA_FORMAT',
    `${directory} is no data directory: it has no ${FORMAT_NAME} file and is not empty. Nothing was written there. Give an empty or new directory: --data-dir <path>; if it was a data directory, restore ${FORMAT_NAME} from a backup`,
  );
}
