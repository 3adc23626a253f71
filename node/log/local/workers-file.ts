// The file WORKERS: how many workers a data directory is of, and which of them has each partition. Without it
// there is one, generation 0, which has all. A redistribution makes the logs of the next generation aside, and the
// rename of this file is the switch. Set in stone once released, as `format.ts` is:
//
//   rondo-workers 1
//   generation <n>
//   workers <n>
//   worker <index> <partitions: ascending numbers and ranges, such as 0-3,7; or ->     a line for each, in order
//   check <XXH64 of all before it, seed 0, 16 hexadecimal digits>

import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WORKERS_MAX } from '../../../ts/wire/limits.js';
import { WORKERS_FILE_BYTES_MAX } from '../../limits.js';
import { LogError } from '../log.js';
import { systemCode, unreadable } from './data-errors.js';
import { syncFile, syncFolder } from './sync.js';
import { xxh64 } from './xxh64.js';

export const WORKERS_NAME = 'WORKERS';
/** What WORKERS will be: the generation that it names may be half made. */
export const WORKERS_ASIDE_NAME = `${WORKERS_NAME}.tmp`;
const VERSION = 1;

export interface Placement {
  /** Ascends with every redistribution. */
  readonly generation: number;
  readonly workers: number;
  /** The worker of each partition. */
  readonly owners: Uint16Array;
}

/** Undefined where there is no such file. Throws `DATA_FORMAT`, `DATA_DAMAGED`, `DATA_UNREADABLE`. */
export function readPlacement(directory: string, partitions: number): Placement | undefined {
  const path = join(directory, WORKERS_NAME);
  const text = readText(path);
  if (text === undefined) return undefined;
  const version = /^rondo-workers (\d+)\n/.exec(text)?.[1];
  if (version !== undefined && version !== String(VERSION)) {
    throw new LogError(
      'DATA_FORMAT',
      `${path} is of version ${version}; this rondo reads version ${VERSION}. Start the rondo that wrote it, or give a new directory: --data-dir <path>`,
    );
  }
  const placement = decodePlacement(text, partitions);
  if (placement !== undefined) return placement;
  throw new LogError(
    'DATA_DAMAGED',
    `${path} is damaged: it is not the placement of ${partitions} partitions, with its checksum. Nothing was changed. Restore that file, or all of ${directory}, from a backup`,
  );
}

/** The generation that is being made aside; undefined for none, or where its text never became whole. */
export function readGenerationAside(directory: string, partitions: number): number | undefined {
  const text = readText(join(directory, WORKERS_ASIDE_NAME));
  return text === undefined ? undefined : decodePlacement(text, partitions)?.generation;
}

/** Makes durable what WORKERS is going to be. Throws `DATA_UNREADABLE`, as do the others. */
export function writePlacementAside(directory: string, placement: Placement): void {
  const path = join(directory, WORKERS_ASIDE_NAME);
  try {
    writeFileSync(path, encodePlacement(placement), { mode: 0o600 });
    syncFile(path);
    syncFolder(directory);
  } catch (cause) {
    throw unreadable(path, 'write', cause);
  }
}

/** The switch: what was written aside holds from here on. */
export function adoptPlacement(directory: string): void {
  const path = join(directory, WORKERS_NAME);
  try {
    renameSync(join(directory, WORKERS_ASIDE_NAME), path);
    syncFolder(directory);
  } catch (cause) {
    throw unreadable(path, 'write', cause);
  }
}

export function removePlacementAside(directory: string): void {
  const path = join(directory, WORKERS_ASIDE_NAME);
  try {
    rmSync(path, { force: true });
  } catch (cause) {
    throw unreadable(path, 'remove', cause);
  }
}

export function encodePlacement({ generation, workers, owners }: Placement): string {
  const lines = [`rondo-workers ${VERSION}`, `generation ${generation}`, `workers ${workers}`];
  for (let worker = 0; worker < workers; worker++) {
    lines.push(`worker ${worker} ${rangesOf(owners, worker)}`);
  }
  const text = `${lines.join('\n')}\n`;
  return `${text}check ${checkOf(text)}\n`;
}

/** Undefined where the text is no placement of so many partitions. */
export function decodePlacement(text: string, partitions: number): Placement | undefined {
  const end = text.lastIndexOf('check ');
  if (end < 0 || text.slice(end) !== `check ${checkOf(text.slice(0, end))}\n`) return undefined;
  const head = /^rondo-workers 1\ngeneration (\d+)\nworkers (\d+)\n/.exec(text);
  const [generation, workers] = [Number(head?.[1]), Number(head?.[2])];
  if (head === null || !Number.isSafeInteger(generation) || generation === 0) return undefined;
  if (workers === 0 || workers > WORKERS_MAX) return undefined;
  const lines = text.slice(head[0].length, end).split('\n');
  if (lines.length !== workers + 1) return undefined;
  const owners = new Uint16Array(partitions);
  let placed = 0;
  for (let worker = 0; worker < workers; worker++) {
    const ranges = new RegExp(`^worker ${worker} (-|[0-9,-]+)$`).exec(lines[worker] ?? '')?.[1];
    if (ranges === undefined) return undefined;
    for (const range of ranges === '-' ? [] : ranges.split(',')) {
      const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
      for (let at = Number(first); at <= Number(last); at++, placed++) {
        if (at >= partitions) return undefined;
        owners[at] = worker;
      }
    }
  }
  // So many numbers below `partitions`, and the text that they give again: each is there once.
  const placement = { generation, workers, owners };
  return placed === partitions && encodePlacement(placement) === text ? placement : undefined;
}

function rangesOf(owners: Uint16Array, worker: number): string {
  const ranges: string[] = [];
  for (let at = 0; at < owners.length; at++) {
    if (owners[at] !== worker) continue;
    const first = at;
    while (owners[at + 1] === worker) at++;
    ranges.push(at === first ? String(first) : `${first}-${at}`);
  }
  return ranges.length === 0 ? '-' : ranges.join(',');
}

function checkOf(text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return xxh64(view, 0, bytes.length, 0n).toString(16).padStart(16, '0');
}

function readText(path: string): string | undefined {
  try {
    if (statSync(path).size > WORKERS_FILE_BYTES_MAX) return '';
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw unreadable(path, 'read', error);
  }
}
