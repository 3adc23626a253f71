// Where a folder is: a sync to memory costs nothing and keeps nothing, so that no durable row may come
// from there.

import { readFileSync, realpathSync } from 'node:fs';

export interface Storage {
  /** Of the file system: `ext4`. */
  readonly type: string;
  /** What it is on: `/dev/vda`. */
  readonly device: string;
}

const IN_MEMORY = ['tmpfs', 'ramfs'];

/** Undefined where the system does not tell. */
export function storageOf(folder: string): Storage | undefined {
  let mounts: string;
  try {
    mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return undefined; // Not Linux.
  }
  return findMount(mounts, realpathSync(folder));
}

/** Of the mounts that hold the path, the innermost; of those at one place, the last, which covers the others. */
export function findMount(mountinfo: string, path: string): Storage | undefined {
  let found: (Storage & { readonly point: string }) | undefined;
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const point = unescaped(left.split(' ')[4] ?? '');
    const [type, device] = right.split(' ');
    if (point === '' || type === undefined || device === undefined) continue;
    const holds = path === point || path.startsWith(point.endsWith('/') ? point : `${point}/`);
    if (!holds || point.length < (found?.point.length ?? 0)) continue;
    found = { point, type, device: unescaped(device) };
  }
  return found && { type: found.type, device: found.device };
}

/** Throws where what is synced there would be lost with the power. */
export function checkStorage(storage: Storage | undefined): void {
  if (storage === undefined || !IN_MEMORY.includes(storage.type)) return;
  throw new Error(
    `the folder for temporary files is in memory (${storage.type}), where nothing is durable: set ` +
      'TMPDIR to a folder on a disk',
  );
}

/** For the report. */
export function storageText(storage: Storage | undefined): string {
  const where =
    storage === undefined
      ? 'one file system'
      : `one file system, ${storage.type} on ${storage.device}`;
  return `durable data of all sides is on ${where}`;
}

/** Blanks and the like are octal there. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
