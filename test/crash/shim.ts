// Compiles `shim/volatile_disk.c`, where there is a C compiler for it.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./shim/volatile_disk.c', import.meta.url));

/** Why there can be no shim here; undefined where there can. */
export function shimAbsence(): string | undefined {
  if (process.platform !== 'linux') return 'LD_PRELOAD as the shim needs it exists on Linux only';
  const { error, status } = spawnSync('cc', ['--version'], { stdio: 'ignore' });
  return error === undefined && status === 0 ? undefined : 'there is no C compiler (cc)';
}

/** The library, in `folder`. */
export function compileShim(folder: string): string {
  const library = join(folder, 'volatile_disk.so');
  const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror'];
  const { status, stderr } = spawnSync('cc', [...flags, '-o', library, SOURCE, '-lpthread'], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`cc failed:\n${stderr}`);
  return library;
}
