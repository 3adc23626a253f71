// Redistribution: the logs of a data directory become those of another placement of the partitions on workers.
// Done before any worker starts, by who holds the directory's lock.
//
// Every log is read as a start reads it: what a crash cut is left out and reported, damage ends it all with
// nothing changed. Each is compacted into one snapshot, and these are divided among the logs of the next
// generation, whose folders lie beside those that hold. The rename of WORKERS is the switch. Before it the
// directory is of the old generation, whole; behind it of the new one, whole. What a crash leaves of the other one
// the next start removes: WORKERS.tmp is made first, and says which folders were being made.

import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../clock.js';
import { messageOf } from '../../errors.js';
import { COMPACTION_RUN_BYTES, COMPACTION_RUNS_MAX } from '../../limits.js';
import { LogError } from '../log.js';
import { reportRecovery } from '../recovery-report.js';
import type { Gather } from './batch-stream.js';
import { type Compact, CompactionCancelled } from './compaction.js';
import { compactInWorker } from './compaction-worker.js';
import { makeFolder, makeLogFolders, openDataDirectory } from './data-directory.js';
import { FoldCheck } from './fold-check.js';
import { bytesOfLog, listLogFiles } from './log-files.js';
import { type NativeRecoveryAddon, nativeCompact, nativeGather } from './native-recovery.js';
import { type RecoveryProgress, recover } from './recovery.js';
import { type Division, divideSnapshots, type WholeLog } from './snapshot-division.js';
import { verifySnapshot } from './snapshot-reader.js';
import { syncFolder } from './sync.js';
import {
  type DataLayout,
  findLeftovers,
  layoutOf,
  removeAll,
  scratchFolder,
  type WorkerLog,
} from './worker-logs.js';
import {
  adoptPlacement,
  type Placement,
  readPlacement,
  removePlacementAside,
  writePlacementAside,
} from './workers-file.js';

export interface PrepareOptions {
  readonly partitions: number;
  readonly workers: number;
  /** The worker of each partition. */
  readonly owners: Uint16Array;
  readonly addon: NativeRecoveryAddon | undefined;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Called now and then while logs are redistributed, with the phase `redistribution`. */
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined;
  /** Ends a redistribution, which then has changed nothing. */
  readonly signal?: AbortSignal | undefined;
  /** In place of the compaction that goes with the addon. */
  readonly compact?: Compact | undefined;
  /** For tests: called before each change of the directory; what it throws ends the redistribution there. */
  readonly onStep?: ((step: string) => void) | undefined;
}

export interface PreparedWorkers {
  /** What the directory has: the logs of these workers. */
  readonly layout: DataLayout;
  /** Whether the directory was made by this call. */
  readonly isNew: boolean;
  readonly isRedistributed: boolean;
  /** Lets go of the lock; once all workers' logs are closed. */
  close(): void;
}

/**
 * Takes the lock of a data directory, which is made where nothing is, and sees that it has the logs of these
 * workers with these partitions each. Throws `DATA_FORMAT`, `DATA_PARTITIONS`, `DATA_LOCKED`, `DATA_DAMAGED`,
 * `DATA_UNREADABLE`, `DATA_CANCELLED`; then the lock is free and the state is what it was.
 */
export async function prepareWorkers(
  path: string,
  options: PrepareOptions,
): Promise<PreparedWorkers> {
  const { partitions, workers, owners, addon } = options;
  const directory = openDataDirectory(path, {
    partitions,
    flock: addon?.flock,
    placement: { workers, owners },
  });
  try {
    const { layout, isNew } = directory;
    const dataDir = layout.path;
    if (isNew) options.logger.info({ event: 'data_made', dataDir }, `${dataDir} was made`);
    removeLeftovers(layout);
    const close = directory.close;
    if (layout.workers === workers && isEqual(layout.owners, owners)) {
      return { layout, isNew, isRedistributed: false, close };
    }
    const made = await new Redistribution(layout, options).run();
    return { layout: made, isNew, isRedistributed: true, close };
  } catch (error) {
    directory.close();
    throw error;
  }
}

class Redistribution {
  private readonly next: DataLayout;
  private readonly scratch: string;
  private readonly gather: Gather | undefined;
  private readonly compact: Compact;
  private bytesDone = 0;
  private bytesTotal = 0;

  constructor(
    private readonly layout: DataLayout,
    private readonly options: PrepareOptions,
  ) {
    const { path, partitions, id: logId, generation } = layout;
    const { workers, owners, addon, compact } = options;
    const placement: Placement = { generation: generation + 1, workers, owners };
    this.next = layoutOf(path, { partitions, logId }, placement);
    this.scratch = scratchFolder(path);
    this.gather = addon && nativeGather(addon);
    this.compact = compact ?? (addon ? nativeCompact(addon) : compactInWorker());
  }

  async run(): Promise<DataLayout> {
    const { layout, next, options } = this;
    const { clock, logger } = options;
    const startedAt = clock.monotonic();
    // Each log is read as recovery does it, then for its snapshot, and that is divided.
    this.bytesTotal = 3 * layout.logs.reduce((sum, log) => sum + bytesOfLog(log), 0);
    const change = { from: layout.workers, to: next.workers, generation: next.generation };
    logger.info(
      { event: 'redistributing', ...change },
      `the partitions go from the logs of ${change.from} to those of ${change.to} workers`,
    );
    try {
      const { records, bytes } = await this.makeAside();
      this.step('switch');
      adoptPlacement(layout.path);
      const durationMs = Math.round(clock.monotonic() - startedAt);
      logger.info(
        { event: 'redistributed', ...change, records, bytes, durationMs },
        `redistributed ${records} records`,
      );
    } catch (error) {
      this.discard();
      throw this.faultOf(error);
    }
    // It holds: from here on nothing ends it, and what was told to stop does so later.
    options.onStep?.('remove');
    // Nothing depends on the rest: what stays, the next start removes.
    try {
      removeLeftovers(next);
    } catch (error) {
      logger.warn({ event: 'leftovers' }, messageOf(error));
    }
    return next;
  }

  /** Makes the logs of the next generation, durably; those that hold stay as they are. */
  private async makeAside(): Promise<Division> {
    const { layout, next, options, gather } = this;
    const { path, partitions } = layout;
    this.step('announce');
    writePlacementAside(path, next);
    this.step('folders');
    makeFolder(this.scratch);
    makeLogFolders(next.logs);
    const sources: WholeLog[] = [];
    for (const log of layout.logs) {
      const snapshot = await this.wholeSnapshot(log);
      if (snapshot !== undefined) sources.push({ ...snapshot, log });
    }
    this.step('divide');
    this.bytesTotal = this.bytesDone + sources.reduce((sum, { bytes }) => sum + bytes, 0);
    const divided = await divideSnapshots(sources, next.logs, {
      partitions,
      owners: options.owners,
      gather,
      onBytes: this.advance,
    });
    this.step('verify');
    for (const log of next.logs) {
      for (const file of listLogFiles(log).snapshots) {
        await verifySnapshot(file.path, { ...log, gather });
      }
    }
    this.advance(this.bytesTotal - this.bytesDone);
    return divided;
  }

  /** A snapshot of all that a log holds; undefined where it never held anything. */
  private async wholeSnapshot(log: WorkerLog): Promise<Omit<WholeLog, 'log'> | undefined> {
    const { clock, logger, signal } = this.options;
    const startedAt = clock.monotonic();
    const before = this.bytesDone;
    this.step(`read ${log.worker}`);
    const { sealed, snapshot, ...recovered } = await recover(log, new FoldCheck(log.partitions), {
      gather: this.gather,
      isReadOnly: true,
      onProgress: ({ bytesDone }) => this.advance(before + bytesDone - this.bytesDone),
    });
    reportRecovery(logger, log, recovered, clock.monotonic() - startedAt);
    if (sealed.length === 0) return snapshot;
    this.step(`compact ${log.worker}`);
    const folder = join(this.scratch, String(log.worker));
    makeFolder(folder);
    const job = {
      folder,
      logId: log.logId,
      partitions: log.partitions,
      snapshot: snapshot?.path,
      segments: sealed,
      runBytes: COMPACTION_RUN_BYTES,
      runsMax: COMPACTION_RUNS_MAX,
      isBackground: false,
    };
    const made = await this.compact(job, signal ?? new AbortController().signal);
    this.advance(bytesOfLog(log));
    return made;
  }

  private step(name: string): void {
    this.options.onStep?.(name);
    this.advance(0);
  }

  private readonly advance = (bytes: number): void => {
    if (this.options.signal?.aborted) throw new CompactionCancelled('told to stop');
    this.bytesDone += bytes;
    const bytesTotal = Math.max(this.bytesTotal, this.bytesDone);
    this.options.onProgress?.({ phase: 'redistribution', bytesDone: this.bytesDone, bytesTotal });
  };

  /** Removes what was made aside, unless it is what holds: a switch may be done and only its sync have failed. */
  private discard(): void {
    const { layout, next, options } = this;
    try {
      const holds = readPlacement(layout.path, layout.partitions)?.generation;
      if (holds !== next.generation) removeLeftovers(layout);
    } catch (error) {
      options.logger.warn({ event: 'leftovers' }, messageOf(error));
    }
  }

  private faultOf(error: unknown): unknown {
    if (!(error instanceof CompactionCancelled)) return error;
    const message = `The redistribution of ${this.layout.path} was told to stop. Nothing was changed: the next start begins it anew`;
    return new LogError('DATA_CANCELLED', message);
  }
}

/** What says which folders were being made goes last, so that a crash leaves none that nothing explains. */
function removeLeftovers(layout: DataLayout): void {
  const leftovers = findLeftovers(layout);
  removeAll(leftovers);
  if (leftovers.length > 0) syncFolder(layout.path);
  removePlacementAside(layout.path);
}

function isEqual(a: Uint16Array, b: Uint16Array): boolean {
  return a.length === b.length && a.every((owner, at) => owner === b[at]);
}
