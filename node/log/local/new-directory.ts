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
import { unreadable } from './data-errors.js';
import { FORMAT_NAME } from './format-file.js';
import { syncFile, syncFolder } from './sync.js';
import { type DataLayout, layoutOf } from './worker-logs.js';
import { WORKERS_NAME } from './workers-file.js';

export class NewDirectory {
  private constructor(
    readonly target: string,
    /** What is made, where it is made. */
    readonly layout: DataLayout,
    private readonly source: DataLayout,
  ) {}

  /** For the logs of `source`. Throws `DATA_NOT_EMPTY` where something is at `target`, `DATA_UNREADABLE`. */
  static begin(path: string, source: DataLayout): NewDirectory {
    const target = resolve(path);
    try {
      checkEmpty(target);
      const aside = isMountPoint(target)
        ? join(target, `tmp-${process.pid}`)
        : `${target}.tmp-${process.pid}`;
      const { partitions, id: logId } = source;
      const layout = layoutOf(aside, { partitions, logId }, source);
      const made = new NewDirectory(target, layout, source);
      made.clear();
      return made;
    } catch (error) {
      throw error instanceof LogError ? error : unreadable(target, 'create', error);
    }
  }

  /** Makes it empty again, but for its folders. */
  clear(): void {
    const { path, logs } = this.layout;
    rmSync(path, { recursive: true, force: true });
    for (const folder of logs.flatMap(({ wal, snapshot }) => [wal, snapshot])) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    }
  }

  /** Gives it what tells which logs it has: they are those of the source. */
  addFormat(): void {
    const { layout, source } = this;
    for (const name of [WORKERS_NAME, FORMAT_NAME]) {
      const [from, to] = [join(source.path, name), join(layout.path, name)];
      if (name === WORKERS_NAME && source.generation === 0) continue;
      try {
        copyFileSync(from, to);
        syncFile(to);
      } catch (error) {
        throw unreadable(to, 'create', error);
      }
    }
  }

  /** Puts it into its place. Its files are synced already. */
  publish(): void {
    const { target, layout } = this;
    const { path, logs } = layout;
    const folders = logs.map(({ wal }) => dirname(wal));
    try {
      for (const { wal, snapshot } of logs) {
        for (const folder of [wal, snapshot, dirname(wal)]) syncFolder(folder);
      }
      syncFolder(path);
      if (dirname(path) === target) {
        const names = [...folders.map((folder) => basename(folder)), WORKERS_NAME, FORMAT_NAME];
        for (const name of names.filter((one) => existsSync(join(path, one)))) {
          renameSync(join(path, name), join(target, name));
          syncFolder(target);
        }
        rmdirSync(path);
      } else {
        checkEmpty(target);
        if (existsSync(target)) rmdirSync(target);
        renameSync(path, target);
      }
      syncFolder(dirname(target));
    } catch (error) {
      throw error instanceof LogError ? error : unreadable(target, 'create', error);
    }
  }

  /** Removes what was made. */
  discard(): void {
    rmSync(this.layout.path, { recursive: true, force: true });
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
