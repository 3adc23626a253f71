// What lies in the folders of a log, by number, and what a start that was cut short has left there.

import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DataPaths } from './data-directory.js';
import { unreadable } from './data-errors.js';
import { numberOf } from './format.js';

export interface NumberedFile {
  readonly number: number;
  readonly path: string;
  readonly bytes: number;
}

export interface LogFiles {
  /** In ascending order. */
  readonly segments: readonly NumberedFile[];
  /** The newest first. */
  readonly snapshots: readonly NumberedFile[];
  /** Without meaning: being made when the process ended. */
  readonly temporary: readonly string[];
}

/**
 * Throws `DATA_UNREADABLE`. Files of other names are left alone; one that a node removes meanwhile is
 * not listed.
 */
export function listLogFiles({ wal, snapshot }: DataPaths): LogFiles {
  const segments = numbered(wal, 'seg');
  const snapshots = numbered(snapshot, 'snap').reverse();
  const temporary = [wal, snapshot].flatMap((folder) =>
    namesIn(folder)
      .filter((name) => name.endsWith('.tmp'))
      .map((name) => join(folder, name)),
  );
  return { segments, snapshots, temporary };
}

/** Bytes of all segments and snapshots. */
export function bytesOfLog(paths: DataPaths): number {
  const { snapshots, segments } = listLogFiles(paths);
  return [...snapshots, ...segments].reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Removes files; one that is gone already is no error. */
export function removeFiles(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      rmSync(path, { force: true });
    } catch (cause) {
      throw unreadable(path, 'remove', cause);
    }
  }
}

function numbered(folder: string, extension: 'seg' | 'snap'): NumberedFile[] {
  return namesIn(folder)
    .flatMap((name) => {
      const number = numberOf(name, extension);
      if (number === undefined) return [];
      const path = join(folder, name);
      const bytes = sizeOf(path);
      return bytes === undefined ? [] : [{ number, path, bytes }];
    })
    .sort((a, b) => a.number - b.number);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    throw unreadable(folder, 'read', cause);
  }
}

function sizeOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size;
  } catch (cause) {
    throw unreadable(path, 'read', cause);
  }
}
