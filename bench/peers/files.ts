// The result files: proven writable before the long run, and replaced only when all of it is there.

import { constants } from 'node:fs';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Makes the folder where it is absent. Rejects with what is wrong with it. */
export async function checkFolder(folder: string): Promise<void> {
  const probe = join(folder, `.probe-${process.pid}`);
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
    await writeFile(probe, '');
    await rm(probe);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the results folder cannot be written: ${why}`, { cause });
  }
}

/** All files are whole on disk under other names before the first one takes its own. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const temporary = (name: string): string => join(folder, `.${name}.${process.pid}`);
  const names = Object.keys(files);
  try {
    for (const name of names) await writeFile(temporary(name), files[name] as string);
    for (const name of names) await rename(temporary(name), join(folder, name));
  } finally {
    for (const name of names) await rm(temporary(name), { force: true });
  }
}
