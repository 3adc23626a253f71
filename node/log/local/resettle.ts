// Makes durable what recovery has read. A process that was killed may have written what it never synced:
// the next one reads it from the page cache, shows it, and would lose it with the power. And after a sync
// that failed the kernel may hold pages as clean that never reached the disk; so that the end of the log is
// written once more, not only synced. Only batches of one write can be in doubt: each was synced before the
// next was written.

import { type FileHandle, open } from 'node:fs/promises';
import { LOG_BATCH_BYTES_MAX, LOG_PIECE_BYTES } from '../../limits.js';
import { type DataPaths, syncFolder } from './data-directory.js';
import { reading } from './data-errors.js';
import { FILE_HEADER_BYTES } from './format.js';

/** The segment with the newest batch, and where that batch ends. */
export interface LogEnd {
  readonly path: string;
  readonly offset: number;
}

/**
 * To be called before anything is shown and before any file is removed or used again. `appendBytesMax`:
 * of one append, which is written in one batch whatever its size. Throws `DATA_UNREADABLE`.
 */
export async function resettle(
  directory: DataPaths,
  end: LogEnd | undefined,
  appendBytesMax: number,
): Promise<void> {
  // Names first: of a snapshot for which segments are about to go, and of the segments.
  for (const folder of [directory.snapshot, directory.wal]) syncFolder(folder);
  if (end === undefined) return;
  const { path, offset } = end;
  const file = await reading(path, 'open', open(path, 'r+'));
  try {
    const doubtful = Math.max(LOG_BATCH_BYTES_MAX, appendBytesMax) + LOG_PIECE_BYTES;
    const from = Math.max(FILE_HEADER_BYTES, offset - doubtful);
    await reading(path, 'write again', rewrite(file, from, offset));
    await reading(path, 'sync', file.datasync());
  } finally {
    await file.close();
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
