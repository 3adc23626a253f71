// Reading a range of a file: one call may give fewer bytes than the file has there.

import type { FileHandle } from 'node:fs/promises';
import { reading } from './data-errors.js';

/** Fills `bytes` from `offset` on; how many there were, fewer where the file ends. Throws `DATA_UNREADABLE`. */
export async function readInto(
  file: FileHandle,
  path: string,
  bytes: Uint8Array,
  offset: number,
): Promise<number> {
  let filled = 0;
  while (filled < bytes.length) {
    const read = file.read(bytes, filled, bytes.length - filled, offset + filled);
    const { bytesRead } = await reading(path, 'read', read);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** The bytes of a range, in memory of their own; fewer where the file ends. Throws `DATA_UNREADABLE`. */
export async function readAt(
  file: FileHandle,
  path: string,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, await readInto(file, path, bytes, offset));
}
