// Makes durable what was written: the bytes of a file, the names of a folder.

import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Makes directory entries durable. */
export function syncFolder(folder: string): void {
  syncPath(folder, 'r');
}

/** Makes what was written to a file durable. */
export function syncFile(path: string): void {
  syncPath(path, 'r+');
}

function syncPath(path: string, flags: string): void {
  const descriptor = openSync(path, flags);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
