// The data directory: its folders, its lock and what it is made of. Which folders there are, `worker-logs.ts` says;
// FORMAT is made last, so that where it stands they stand too, and one that is missing then is data that is lost.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { LogError } from '../log.js';
import { DataDamage, unreadable } from './data-errors.js';
import {
  FORMAT_ASIDE_NAME,
  FORMAT_NAME,
  notOne,
  readDataFormat,
  writeDataFormat,
} from './format-file.js';
import { FLOCK_NAME, type Flock, isLockRemains, LOCK_NAME, LockFile } from './lock-file.js';
import { syncFolder } from './sync.js';
import {
  type DataLayout,
  layoutOf,
  parseWorkerFolder,
  readLayout,
  removeAll,
  type WorkerLog,
} from './worker-logs.js';
import {
  adoptPlacement,
  type Placement,
  WORKERS_ASIDE_NAME,
  WORKERS_NAME,
  writePlacementAside,
} from './workers-file.js';

export { type DataFormat, type DataPaths, dataPaths, readDataFormat } from './format-file.js';

/** With what it has of worker 0: of one worker, all there is. */
export interface DataDirectory extends WorkerLog {
  readonly layout: DataLayout;
  /** Whether it was made by this opening. */
  readonly isNew: boolean;
  /** Lets go of the lock. */
  close(): void;
}

export interface DataDirectoryOptions {
  readonly partitions: number;
  readonly flock?: Flock | undefined;
  /** What it is made with, where it is new; otherwise one worker. What is there stays as it is. */
  readonly placement?: Pick<Placement, 'workers' | 'owners'> | undefined;
}

/**
 * Opens a data directory, or makes one where nothing is. Throws `DATA_FORMAT`, `DATA_PARTITIONS`,
 * `DATA_LOCKED`, `DATA_DAMAGED`, `DATA_UNREADABLE`.
 */
export function openDataDirectory(
  directory: string,
  { partitions, flock, placement }: DataDirectoryOptions,
): DataDirectory {
  const path = resolve(directory);
  let lock: LockFile | undefined;
  try {
    makeFolder(path);
    if (!existsSync(join(path, FORMAT_NAME))) checkUnused(path);
    lock = LockFile.acquire(path, flock);
    const isNew = !existsSync(join(path, FORMAT_NAME));
    if (isNew) create(path, partitions, placement);
    checkPartitions(path, readDataFormat(path).partitions, partitions);
    const layout = readLayout(path);
    checkFolders(layout);
    const held = lock;
    const first = layout.logs[0] as WorkerLog;
    return { ...first, layout, isNew, close: () => held.release() };
  } catch (error) {
    lock?.release();
    throw error instanceof LogError ? error : unreadable(path, 'open', error);
  }
}

/**
 * The log of a worker in a directory that another thread holds and has prepared for so many workers. Throws
 * `DATA_FORMAT`, `DATA_PARTITIONS`, `DATA_DAMAGED`, `DATA_UNREADABLE`.
 */
export function findWorkerLog(
  directory: string,
  partitions: number,
  { index, workers }: { readonly index: number; readonly workers: number },
): WorkerLog {
  const layout = readLayout(directory);
  checkPartitions(layout.path, layout.partitions, partitions);
  checkFolders(layout);
  const log = layout.logs[index];
  if (log !== undefined && layout.workers === workers) return log;
  throw new LogError(
    'DATA_FORMAT',
    `${layout.path} has the logs of ${layout.workers} workers, and that of worker ${index} of ${workers} is asked for: it was not prepared for them`,
  );
}

/** Makes the folders of logs, durably. */
export function makeLogFolders(logs: readonly WorkerLog[]): void {
  for (const { wal, snapshot } of logs) {
    makeFolder(wal);
    makeFolder(snapshot);
  }
}

/** Makes a folder with those above it, durably. */
export function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    syncFolder(dirname(made));
  }
}

/** Throws where the directory holds what is not Rondo's: nothing may be written there. */
function checkUnused(path: string): void {
  const names = readdirSync(path);
  const foreign = names.filter((name) => !isOfStart(name));
  // A start that was cut short leaves empty folders; segments without a FORMAT are another matter.
  const isUsed = names
    .filter((name) => parseWorkerFolder(name) !== undefined)
    .flatMap((name) => readdirSync(join(path, name), { recursive: true, withFileTypes: true }))
    .some((entry) => !entry.isDirectory());
  if (foreign.length > 0 || isUsed) throw notOne(path);
}

/** What a start leaves when it is cut short before FORMAT stands, and what a new file system has. */
function isOfStart(name: string): boolean {
  const ours = [
    FORMAT_ASIDE_NAME,
    WORKERS_NAME,
    WORKERS_ASIDE_NAME,
    LOCK_NAME,
    FLOCK_NAME,
    'lost+found',
  ];
  return ours.includes(name) || isLockRemains(name) || parseWorkerFolder(name) !== undefined;
}

function create(
  path: string,
  partitions: number,
  placement: DataDirectoryOptions['placement'],
): void {
  let logId = 0n;
  while (logId === 0n) logId = randomBytes(8).readBigUInt64LE();
  const format = { partitions, logId };
  const { workers, owners } = placement ?? { workers: 1, owners: new Uint16Array(partitions) };
  // What a start that was cut short has left is empty, and may be of other workers.
  const remains = readdirSync(path).filter(
    (name) =>
      [WORKERS_NAME, WORKERS_ASIDE_NAME].includes(name) || parseWorkerFolder(name) !== undefined,
  );
  removeAll(remains.map((name) => join(path, name)));
  // Generation 0 has no WORKERS file: a rondo that knows no such file finds no log where there are several.
  const made = { generation: workers === 1 ? 0 : 1, workers, owners };
  makeLogFolders(layoutOf(path, format, made).logs);
  if (made.generation > 0) {
    writePlacementAside(path, made);
    adoptPlacement(path);
  }
  writeDataFormat(path, format);
}

/** Throws `DATA_DAMAGED` where a log's folders are missing. */
export function checkFolders({ logs }: DataLayout): void {
  for (const folder of logs.flatMap(({ wal, snapshot }) => [wal, snapshot])) {
    if (!existsSync(folder)) throw new DataDamage(join(folder, '*'), 0, 'the folder', 'none');
  }
}

function checkPartitions(path: string, made: number, asked: number): void {
  if (made === asked) return;
  throw new LogError(
    'DATA_PARTITIONS',
    `${path} was made for ${made} partitions, and ${asked} are asked for. Start with --partitions ${made}, or give a new directory: --data-dir <path>`,
  );
}
