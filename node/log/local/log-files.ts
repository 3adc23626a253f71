// What lies in the folders of a log, by number, and what a start that was cut short has left there.

import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LogError } from '../log.js';
import type { DataPaths } from './data-directory.js';
import { systemCode, unreadable } from './data-errors.js';
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

/** Throws `DATA_UNREADABLE`. Files of other names are left alone. */
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
      return [{ number, path, bytes: sizeOf(path) }];
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

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') {
      throw new LogError('DATA_UNREADABLE', `${path} disappeared while it was looked at`, {
        cause,
      });
    }
    throw unreadable(path, 'read', cause);
  }
}
