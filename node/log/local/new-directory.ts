// A data directory that is there whole or not at all: made aside, synced, and renamed to its place. Where
// the place is a mount point, which cannot be renamed over, the parts are renamed into it, FORMAT last:
// without that file it is no data directory.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { LogError } from '../log.js';
import { type DataPaths, dataPaths, FORMAT_NAME, syncFile, syncFolder } from './data-directory.js';
import { unreadable } from './data-errors.js';

export class NewDirectory {
  private constructor(
    readonly target: string,
    /** Where it is made. */
    readonly paths: DataPaths,
  ) {}

  /** Throws `DATA_NOT_EMPTY` where something is at `target`, `DATA_UNREADABLE`. */
  static begin(path: string): NewDirectory {
    const target = resolve(path);
    try {
      checkEmpty(target);
      const aside = isMountPoint(target)
        ? join(target, `tmp-${process.pid}`)
        : `${target}.tmp-${process.pid}`;
      rmSync(aside, { recursive: true, force: true });
      const made = new NewDirectory(target, dataPaths(aside));
      made.clear();
      return made;
    } catch (error) {
      throw error instanceof LogError ? error : unreadable(target, 'create', error);
    }
  }

  /** Makes it empty again, but for its folders. */
  clear(): void {
    const { path, wal, snapshot } = this.paths;
    rmSync(path, { recursive: true, force: true });
    for (const folder of [wal, snapshot]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** Gives it the FORMAT of `source`: it is of the same log. */
  addFormat(source: DataPaths): void {
    const format = join(this.paths.path, FORMAT_NAME);
    try {
      copyFileSync(join(source.path, FORMAT_NAME), format);
      syncFile(format);
    } catch (error) {
      throw unreadable(format, 'create', error);
    }
  }

  /** Puts it into its place. Its files are synced already. */
  publish(): void {
    const { target, paths } = this;
    try {
      for (const folder of [paths.wal, paths.snapshot, dirname(paths.wal), paths.path]) {
        syncFolder(folder);
      }
      if (dirname(paths.path) === target) {
        for (const name of [basename(dirname(paths.wal)), FORMAT_NAME]) {
          renameSync(join(paths.path, name), join(target, name));
          syncFolder(target);
        }
        rmdirSync(paths.path);
      } else {
        checkEmpty(target);
        if (existsSync(target)) rmdirSync(target);
        renameSync(paths.path, target);
      }
      syncFolder(dirname(target));
    } catch (error) {
      throw error instanceof LogError ? error : unreadable(target, 'create', error);
    }
  }

  /** Removes what was made. */
  discard(): void {
    rmSync(this.paths.path, { recursive: true, force: true });
  }
}

function checkEmpty(target: string): void {
  if (!existsSync(target)) {
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    return;
  }
  const names = statSync(target).isDirectory() ? readdirSync(target) : [basename(target)];
  const held = names.filter((name) => name !== 'lost+found');
  if (held.length === 0) return;
  throw new LogError(
    'DATA_NOT_EMPTY',
    `${target} is not empty: it holds ${held.slice(0, 3).join(', ')}. Nothing was written there. Give a path where nothing is, or move what is there away first`,
  );
}

function isMountPoint(target: string): boolean {
  return existsSync(target) && statSync(target).dev !== statSync(dirname(target)).dev;
}
