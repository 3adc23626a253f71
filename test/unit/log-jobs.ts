// Compaction in either language, for tests: what is to be done, and what a directory holds afterwards.

import { type Compact, type CompactionJob, compact } from '../../node/log/local/compaction.js';
import type { DataFormat, DataPaths } from '../../node/log/local/data-directory.js';
import { nativeCompact } from '../../node/log/local/native-recovery.js';
import { recover } from '../../node/log/local/recovery.js';
import { findAddon } from './log-addon.js';
import { MapState } from './log-state.js';

type Directory = DataPaths & DataFormat;

export const addon = findAddon();
export const never = new AbortController().signal;
export const inThread: Compact = (job, signal) => compact(job, () => signal.aborted);
/** Those of this machine. */
export const compactions: [string, Compact][] = [['ts', inThread]];
if (addon !== undefined) compactions.push(['native', nativeCompact(addon)]);

export function jobOf(
  directory: Directory,
  { sealed, snapshot }: Awaited<ReturnType<typeof recover>>,
  runBytes: number,
): CompactionJob {
  const { snapshot: folder, logId, partitions } = directory;
  return {
    folder,
    logId,
    partitions,
    snapshot: snapshot?.path,
    segments: sealed,
    isBackground: false,
    runBytes,
    runsMax: 3,
  };
}

export async function recovered(directory: Directory) {
  const map = new MapState();
  const result = await recover(directory, map);
  return { result, state: map.state };
}
