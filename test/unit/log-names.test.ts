// Which names a start makes durable. Another start may have made them and been killed before it synced
// the folders that hold them; who lets clients see what lies below has to.

import type * as fs from 'node:fs';
import { readlinkSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, it, vi } from 'vitest';
import { resettle } from '../../node/log/local/resettle.js';
import { makeDataDirectory } from './log-files.js';

const synced: string[] = [];

vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>();
  const fsyncSync = (descriptor: number) => {
    synced.push(readlinkSync(`/proc/self/fd/${descriptor}`));
    real.fsyncSync(descriptor);
  };
  return { ...real, fsyncSync };
});

it.runIf(process.platform === 'linux')('makes all names durable that lead to the log', async () => {
  // A start that was killed right behind the rename of FORMAT left the directory and FORMAT as names
  // that a loss of power took back, with all that was acknowledged since.
  const paths = makeDataDirectory();
  await resettle(paths, undefined);
  const { path, wal, snapshot } = paths;
  const folders = [dirname(path), path, dirname(wal), snapshot, wal];
  expect(synced).toEqual(folders.map((folder) => realpathSync(folder)));
});
