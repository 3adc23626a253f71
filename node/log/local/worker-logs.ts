// The logs of a data directory, one a worker: where each is, by which id it goes, which partitions it has. Folders
// carry the generation in their names, so that those of the next one can be made beside those that hold.

import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LogError } from '../log.js';
import { unreadable } from './data-errors.js';
import { type DataFormat, type DataPaths, readDataFormat } from './format-file.js';
import {
  type Placement,
  readGenerationAside,
  readPlacement,
  WORKERS_NAME,
} from './workers-file.js';
import { xxh64 } from './xxh64.js';

/** The log of one worker. Its `logId` is its own, and the seed of its checksums. */
export interface WorkerLog extends DataPaths, DataFormat {
  readonly worker: number;
  /** The worker of each partition: records of others are damage. Undefined where there is one worker. */
  readonly owners: Uint16Array | undefined;
}

export interface DataLayout extends Placement {
  /** The directory itself, absolute. */
  readonly path: string;
  readonly partitions: number;
  /** What FORMAT says: the id of the directory. */
  readonly id: bigint;
  /** By worker. */
  readonly logs: readonly WorkerLog[];
}

/** The folder of what only the making of a generation needs. */
const SCRATCH_NAME = 'redistribution';

/** What a directory has, without a lock. Throws `DATA_FORMAT`, `DATA_DAMAGED`, `DATA_UNREADABLE`. */
export function readLayout(directory: string): DataLayout {
  const path = resolve(directory);
  const { partitions, logId } = readDataFormat(path);
  const placement = readPlacement(path, partitions) ?? {
    generation: 0,
    workers: 1,
    owners: new Uint16Array(partitions),
  };
  return layoutOf(path, { partitions, logId }, placement);
}

/** The logs that a directory has with this placement. */
export function layoutOf(path: string, format: DataFormat, placement: Placement): DataLayout {
  const { partitions, logId: id } = format;
  const { generation, workers, owners } = placement;
  const logs = Array.from({ length: workers }, (_, worker): WorkerLog => {
    const folder = join(path, workerFolder(worker, generation));
    return {
      path,
      wal: join(folder, 'wal'),
      snapshot: join(folder, 'snapshot'),
      partitions,
      logId: logIdOf(id, generation, worker),
      worker,
      owners: workers === 1 ? undefined : owners,
    };
  });
  return { path, partitions, id, generation, workers, owners, logs };
}

/** As `worker-0`, or of a later generation `worker-0.2`. */
export function workerFolder(worker: number, generation: number): string {
  return generation === 0 ? `worker-${worker}` : `worker-${worker}.${generation}`;
}

/**
 * The id of a worker's log: that of the directory, for worker 0 of generation 0, or what XXH64 makes of it. Of one
 * directory no two are equal, as XXH64 maps 8 bytes one to one.
 */
export function logIdOf(id: bigint, generation: number, worker: number): bigint {
  if (generation === 0 && worker === 0) return id;
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, generation, true);
  view.setUint32(4, worker, true);
  // Of one in 2^64 it is 0, which is no id.
  return xxh64(view, 0, 8, id) || id;
}

/** Worker and generation of a folder's name; undefined for any other name. */
export function parseWorkerFolder(
  name: string,
): { readonly worker: number; readonly generation: number } | undefined {
  const [, worker, generation = '0'] = /^worker-(\d+)(?:\.([1-9]\d*))?$/.exec(name) ?? [];
  return worker === undefined
    ? undefined
    : { worker: Number(worker), generation: Number(generation) };
}

/**
 * What a redistribution that was cut short has left: folders of the generation before, or of one that never
 * came to hold. Throws `DATA_DAMAGED` where folders are there that only a lost WORKERS can explain.
 */
export function findLeftovers({ path, partitions, generation }: DataLayout): string[] {
  const aside = readGenerationAside(path, partitions);
  const leftovers: string[] = [];
  for (const name of readNames(path)) {
    if (name === SCRATCH_NAME) leftovers.push(join(path, name));
    const found = parseWorkerFolder(name);
    if (found === undefined || found.generation === generation) continue;
    if (found.generation > generation && found.generation !== aside) {
      throw new LogError(
        'DATA_DAMAGED',
        `${join(path, name)} is there, of generation ${found.generation}, and ${join(path, WORKERS_NAME)} ${generation === 0 ? 'is not' : `is of generation ${generation}`}. Nothing was changed. Restore that file, or all of ${path}, from a backup`,
      );
    }
    leftovers.push(join(path, name));
  }
  return leftovers;
}

export function scratchFolder(path: string): string {
  return join(path, SCRATCH_NAME);
}

export function removeAll(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (cause) {
      throw unreadable(path, 'remove', cause);
    }
  }
}

function readNames(path: string): string[] {
  if (!existsSync(path)) return [];
  try {
    return readdirSync(path);
  } catch (cause) {
    throw unreadable(path, 'read', cause);
  }
}
