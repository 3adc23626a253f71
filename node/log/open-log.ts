// Opens the log of a data directory: takes the lock, recovers the engine, goes on behind what it found,
// and keeps the log short while it runs.

import type { Logger } from 'pino';
import type { Engine } from '../../ts/engine/engine.js';
import type { EngineChoice } from '../../ts/engine/load.js';
import type { NativeAddon } from '../../ts/engine/native-engine.js';
import type { Clock } from '../clock.js';
import type { DurabilitySetting } from '../config/durability.js';
import type { Settings } from '../config/settings.js';
import { compactInWorker } from './local/compaction-worker.js';
import { Compactor } from './local/compactor.js';
import { findWorkerLog } from './local/data-directory.js';
import { LocalLog } from './local/local-log.js';
import { removeFiles } from './local/log-files.js';
import { type NativeRecoveryAddon, nativeCompact, nativeGather } from './local/native-recovery.js';
import { type RecoveryProgress, recover } from './local/recovery.js';
import { prepareWorkers } from './local/redistribution.js';
import { resettle } from './local/resettle.js';
import type { WorkerLog } from './local/worker-logs.js';
import type { Log, LogEvents } from './log.js';
import { reportRecovery } from './recovery-report.js';

export type { RecoveryProgress } from './local/recovery.js';

export interface OpenLogOptions {
  readonly settings: Settings;
  readonly engine: EngineChoice;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: LogEvents;
  /** Called now and then while the log is read. */
  readonly onRecovery?: (progress: RecoveryProgress) => void;
  /** Called with the records behind the snapshot, in order; see `RecoveryOptions`. */
  readonly onRecords?: (records: Uint8Array, position: number) => void;
  /**
   * One of several workers, for each of which the directory has a log: another thread holds its lock, from
   * `prepareWorkers` on. Left out: there is one worker, and the call does both.
   */
  readonly worker?: { readonly index: number; readonly workers: number } | undefined;
}

export interface OpenLog {
  readonly log: Log;
  readonly compactor: Compactor;
  /** Tells the log from all others, those of earlier placements too; never 0. */
  readonly logId: bigint;
  /** Makes durable what was accepted, and lets go of the directory where the lock is this log's. */
  close(): Promise<void>;
}

/** Rejects with `LogError` or `EngineError`, and leaves nothing open. The engine is of no use then. */
export async function openLog(
  engine: Engine,
  durability: Exclude<DurabilitySetting, { mode: 'none' }>,
  options: OpenLogOptions,
): Promise<OpenLog> {
  const { settings, clock, logger, events } = options;
  const { addon } = options.engine;
  const native = addon as (NativeAddon & NativeRecoveryAddon) | undefined;
  const { partitions, logSegmentBytes: segmentBytes } = settings;
  const held = await holdLog(native, options);
  const { directory } = held;
  try {
    const startedAt = clock.monotonic();
    const recovered = await recover(directory, engine, {
      gather: native && nativeGather(native),
      onProgress: options.onRecovery,
      onRecords: options.onRecords,
    });
    if (!held.isNew) reportRecovery(logger, directory, recovered, clock.monotonic() - startedAt);
    await resettle(directory, recovered.end);
    removeFiles(recovered.olderSnapshots.map(({ path }) => path));
    let compactor: Compactor | undefined;
    const log = await LocalLog.open({
      folder: directory.wal,
      partitions,
      recovered,
      spare: [...recovered.unused, ...recovered.covered].map(({ path }) => path),
      durability,
      addon,
      clock,
      events: { ...events, onSealed: (segment) => compactor?.segmentSealed(segment) },
      bounds: { segmentBytes, reserveBytes: engine.records.length },
    });
    compactor = new Compactor({
      directory,
      compact: native ? nativeCompact(native) : compactInWorker(),
      clock,
      logger,
      segmentBytes,
      snapshot: recovered.snapshot,
      sealed: recovered.sealed,
      trim: (lastBatch) => log.trim(lastBatch),
      onDamage: (error) => {
        const message = `the log can't be compacted and the node may not start again: ${error.message}`;
        logger.error({ event: 'log_damaged', err: error }, message);
      },
    });
    const compacting = compactor;
    return {
      log,
      compactor,
      logId: directory.logId,
      async close() {
        await compacting.close();
        await log.close().finally(() => held.close());
      },
    };
  } catch (error) {
    held.close();
    throw error;
  }
}

/** The log to be opened, and the lock where this call takes it. */
interface HeldLog {
  readonly directory: WorkerLog;
  readonly isNew: boolean;
  close(): void;
}

async function holdLog(
  addon: (NativeAddon & NativeRecoveryAddon) | undefined,
  { settings, clock, logger, worker, onRecovery: onProgress }: OpenLogOptions,
): Promise<HeldLog> {
  const { dataDir, partitions } = settings;
  if (worker !== undefined) {
    const directory = findWorkerLog(dataDir, partitions, worker);
    return { directory, isNew: false, close: () => {} };
  }
  const owners = new Uint16Array(partitions);
  const alone = { partitions, workers: 1, owners, addon, clock, logger, onProgress };
  const { layout, isNew, close } = await prepareWorkers(dataDir, alone);
  return { directory: layout.logs[0] as WorkerLog, isNew, close };
}
