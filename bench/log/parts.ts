// The parts of the log that are measured, in either language, behind one name each.

import { mkdirSync } from 'node:fs';
import { realClock } from '../../node/clock.js';
import { COMPACTION_RUN_BYTES, COMPACTION_RUNS_MAX } from '../../node/limits.js';
import type { CompactedSnapshot, CompactionJob } from '../../node/log/local/compaction.js';
import { compactInWorker } from '../../node/log/local/compaction-worker.js';
import { openDataDirectory } from '../../node/log/local/data-directory.js';
import { LocalLog } from '../../node/log/local/local-log.js';
import {
  type NativeRecoveryAddon,
  nativeCompact,
  nativeGather,
} from '../../node/log/local/native-recovery.js';
import { recover } from '../../node/log/local/recovery.js';
import type { LogError } from '../../node/log/log.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { PARTITIONS_DEFAULT } from '../../ts/wire/limits.js';
import { directoryOf, type MadeSegment, makeEngine } from './data.js';
import type { Kind } from './tasks.js';

function addonOf(kind: Kind) {
  return kind === 'ts' ? undefined : chooseEngine('native').addon;
}

function recoveryAddonOf(kind: Kind): NativeRecoveryAddon | undefined {
  return addonOf(kind) as (ReturnType<typeof addonOf> & NativeRecoveryAddon) | undefined;
}

/** Recovers a data directory into an empty engine. */
export async function recoverBy(kind: Kind, folder: string): ReturnType<typeof recover> {
  const addon = recoveryAddonOf(kind);
  const engine = makeEngine(kind);
  try {
    return await recover(directoryOf(folder), engine, {
      gather: addon === undefined ? undefined : nativeGather(addon),
    });
  } finally {
    engine.close();
  }
}

export interface OpenedLog {
  readonly log: LocalLog;
  close(): Promise<void>;
}

/** A log in a new data directory; `onFailure` is called where a write fails. */
export async function openLogBy(
  kind: Kind,
  folder: string,
  onProgress: () => void,
  onFailure: (error: LogError) => void,
): Promise<OpenedLog> {
  const directory = openDataDirectory(folder, { partitions: PARTITIONS_DEFAULT });
  const engine = makeEngine(kind);
  try {
    const recovered = await recover(directory, engine);
    const log = await LocalLog.open({
      folder: directory.wal,
      partitions: PARTITIONS_DEFAULT,
      recovered,
      durability: { mode: 'sync' },
      addon: addonOf(kind),
      clock: realClock,
      events: { onProgress, onFailure, onSealed: () => undefined },
    });
    if (log.writerKind !== kind) throw new Error(`the log writes with ${log.writerKind}`);
    return {
      log,
      async close() {
        await log.close();
        directory.close();
      },
    };
  } catch (error) {
    directory.close();
    throw error;
  } finally {
    engine.close();
  }
}

/** Compacts all segments of a made log into `into`. */
export function compactBy(
  kind: Kind,
  folder: string,
  segments: readonly MadeSegment[],
  into: string,
): Promise<CompactedSnapshot> {
  mkdirSync(into, { recursive: true });
  const { logId, partitions } = directoryOf(folder);
  const job: CompactionJob = {
    folder: into,
    logId,
    partitions,
    snapshot: undefined,
    segments: segments.map(({ lastChecksum, ...segment }) => ({
      ...segment,
      lastChecksum: BigInt(`0x${lastChecksum}`),
    })),
    isBackground: true,
    runBytes: COMPACTION_RUN_BYTES,
    runsMax: COMPACTION_RUNS_MAX,
  };
  const addon = recoveryAddonOf(kind);
  const compact = addon === undefined ? compactInWorker() : nativeCompact(addon);
  return compact(job, new AbortController().signal);
}
