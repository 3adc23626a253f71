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
import { type DataDirectory, openDataDirectory } from './local/data-directory.js';
import { LocalLog } from './local/local-log.js';
import { removeFiles } from './local/log-files.js';
import { type NativeRecoveryAddon, nativeCompact, nativeGather } from './local/native-recovery.js';
import { type RecoveredLog, type RecoveryProgress, recover } from './local/recovery.js';
import { resettle } from './local/resettle.js';
import type { Log, LogEvents } from './log.js';

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
}

export interface OpenLog {
  readonly log: Log;
  readonly compactor: Compactor;
  /** Drawn at random when the log was made, never 0. */
  readonly logId: bigint;
  /** Makes durable what was accepted, and lets go of the directory. */
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
  const directory = openDataDirectory(settings.dataDir, { partitions, flock: native?.flock });
  try {
    const startedAt = clock.monotonic();
    const recovered = await recover(directory, engine, {
      gather: native && nativeGather(native),
      onProgress: options.onRecovery,
      onRecords: options.onRecords,
    });
    report(logger, directory, recovered, clock.monotonic() - startedAt);
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
        await log.close().finally(() => directory.close());
      },
    };
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** What recovery found, and what it could not keep. */
function report(
  logger: Logger,
  directory: DataDirectory,
  recovered: RecoveredLog,
  durationMs: number,
): void {
  const { records, bytes, cut, undecided, damagedSnapshots } = recovered;
  const dataDir = directory.path;
  const fields = { dataDir, records, bytes, durationMs: Math.round(durationMs) };
  if (directory.isNew) logger.info({ event: 'data_made', dataDir }, `${dataDir} was made`);
  else logger.info({ event: 'recovered', ...fields }, `recovered ${records} records`);
  if (cut !== undefined) {
    const what = cut.batches === 1 ? 'the last write was' : `the last ${cut.batches} writes were`;
    logger.warn(
      { event: 'log_cut', ...cut },
      `${what} cut short by a crash and left out: never synced, and so never promised by --durability sync; interval:<ms> takes this loss`,
    );
  }
  if (undecided !== undefined) {
    const { file, offset } = undecided;
    logger.error(
      { event: 'log_end_undecided', ...undecided },
      `values behind the end of the log, in ${file} from byte ${offset} on, look so much like writes that whether writes are missing there could not be told. Compare with a backup if the disk may be damaged`,
    );
  }
  for (const damage of damagedSnapshots) {
    const message = `an older snapshot stands in for a damaged one: ${damage.message}`;
    logger.error({ event: 'snapshot_damaged', err: damage }, message);
  }
}
