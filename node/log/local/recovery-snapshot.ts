// Which snapshot a recovery starts from, and its way into the engine. There is one, as a rule; two where
// a compaction was cut short between the new snapshot's rename and the old one's removal. Then an older
// one stands in for a damaged newest one, as long as the segments behind it are still all there.

import { DataDamage } from './data-errors.js';
import { FIRST_NUMBER } from './format.js';
import type { NumberedFile } from './log-files.js';
import { SnapshotReader, type SnapshotReaderOptions, verifySnapshot } from './snapshot-reader.js';

export interface SnapshotChoice {
  /** Undefined: the log is read from its first segment. */
  readonly chosen: NumberedFile | undefined;
  /** Newer ones that are damaged. */
  readonly damaged: readonly DataDamage[];
}

/** Throws `DATA_DAMAGED` where the newest one is damaged and nothing stands in for it. */
export async function chooseSnapshot(
  snapshots: readonly NumberedFile[],
  segments: readonly NumberedFile[],
  options: SnapshotReaderOptions,
): Promise<SnapshotChoice> {
  const newest = snapshots[0];
  if (newest === undefined) return { chosen: undefined, damaged: [] };
  const numbers = new Set(segments.map(({ number }) => number));
  const canStandIn = (older: number) => {
    for (let number = older + 1; number <= newest.number; number++) {
      if (!numbers.has(number)) return false;
    }
    return true;
  };
  // Its damage, if any, is met while it is read into the engine: without another one, that is the end.
  const isAlone = snapshots.length === 1 && !canStandIn(FIRST_NUMBER - 1);
  if (isAlone) return { chosen: newest, damaged: [] };
  const damaged: DataDamage[] = [];
  for (const snapshot of snapshots) {
    if (!canStandIn(snapshot.number)) break;
    try {
      await verifySnapshot(snapshot.path, options);
      return { chosen: snapshot, damaged };
    } catch (error) {
      if (!(error instanceof DataDamage)) throw error;
      damaged.push(error);
    }
  }
  if (canStandIn(FIRST_NUMBER - 1)) return { chosen: undefined, damaged };
  throw damaged[0];
}

/** Gives the records of a snapshot to `restore`; returns the reader, closed, for what it counted. */
export async function restoreSnapshot(
  file: NumberedFile,
  options: SnapshotReaderOptions,
  restore: (bodies: Uint8Array, reader: SnapshotReader) => void,
): Promise<SnapshotReader> {
  const reader = await SnapshotReader.open(file.path, options);
  try {
    for (let piece = await reader.next(); piece !== undefined; piece = await reader.next()) {
      restore(piece.bodies, reader);
    }
    return reader;
  } finally {
    await reader.close();
  }
}
