// Makes durable what recovery has read. A process that was killed may have written what it never synced:
// the next one reads it from the page cache, shows it, and would lose it with the power. And after a sync
// that failed the kernel may hold pages as clean that never reached the disk; so that the end of the log is
// written once more, not only synced: all behind the newest batch that the log itself calls synced.

import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LOG_PIECE_BYTES } from '../../limits.js';
import { reading, systemCode, unreadable } from './data-errors.js';
import type { DataPaths } from './format-file.js';
import { syncFolder } from './sync.js';

/** The segment with the newest batch. */
export interface LogEnd {
  readonly path: string;
  /** What stands before it is known to be synced. */
  readonly from: number;
  /** Where the newest batch ends. */
  readonly offset: number;
}

/**
 * To be called before anything is shown and before any file is removed or used again. Throws
 * `DATA_UNREADABLE`.
 */
export async function resettle(directory: DataPaths, end: LogEnd | undefined): Promise<void> {
  // Names first: of all that leads to the log, of a snapshot for which segments are about to go, and of
  // the segments. A start that was killed may have made any of them and not synced it.
  const { path: root, snapshot, wal } = directory;
  syncAbove(root);
  for (const folder of [root, dirname(wal), snapshot, wal]) syncFolder(folder);
  if (end === undefined) return;
  const { path, from, offset } = end;
  const file = await reading(path, 'open', open(path, 'r+'));
  try {
    await reading(path, 'write again', rewrite(file, from, offset));
    await reading(path, 'sync', file.datasync());
  } finally {
    await file.close();
  }
}

/** Makes durable the name of a folder. Who may not read the folder above it cannot, and did not make it. */
function syncAbove(folder: string): void {
  try {
    syncFolder(dirname(folder));
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw unreadable(dirname(folder), 'sync', error);
  }
}

async function rewrite(file: FileHandle, from: number, to: number): Promise<void> {
  const piece = Buffer.allocUnsafe(Math.min(LOG_PIECE_BYTES, Math.max(0, to - from)));
  let at = from;
  while (at < to) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, to - at), at);
    if (bytesRead === 0) throw new Error('the file has become shorter');
    let written = 0;
    while (written < bytesRead) {
      const step = await file.write(piece, written, bytesRead - written, at + written);
      written += step.bytesWritten;
    }
    at += bytesRead;
  }
}
