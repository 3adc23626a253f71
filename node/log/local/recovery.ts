// Recovery: the snapshot and the segments behind it become the engine's state again.
//
// Batches are numbered and each carries the checksum of the one before, so that the chain proves by
// itself that nothing is missing before its newest batch. The log ends where the chain does, and that
// this is its true end is what has to be shown: no whole batch behind it, neither in the rest of that
// segment nor in a later one, says that the missing one was synced. Then what stands there is nothing, or
// what was written since the last sync, of which a crash let only parts through: one write, or with
// `--durability interval` several, of which later ones may be whole. It was never durable and is left as
// it is, because the log goes on in a new segment, whose first batch then proves that nothing was between.
// Otherwise bytes that were durable are gone, and recovery refuses to go on without them.
//
// Crashes leave: segments made ready and not yet used (also such with a header that is not whole, or
// with the name of the new number and the header of the old one, in the midst of being used again);
// numbers that no segment has, where one of those was removed; segments that the snapshot covers, not
// yet removed; an older snapshot; temporary files. None of these is damage. Nothing on disk is changed but that temporary files go, and those only when all is
// well.

import { EngineError } from '../../../ts/engine/engine.js';
import { LogError } from '../log.js';
import { type Chain, firstChain } from './batch.js';
import type { Gather } from './batch-stream.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import { FILE_HEADER_BYTES, type SegmentHeader } from './format.js';
import { listLogFiles, type NumberedFile, removeFiles } from './log-files.js';
import type { Recovered } from './recovered.js';
import { type Cut, checkEnd, type ReadSegment, type Undecided } from './recovery-end.js';
import { chooseSnapshot, restoreSnapshot } from './recovery-snapshot.js';
import type { LogEnd } from './resettle.js';
import type { SealedSegment } from './segment-list.js';
import { type SegmentEnd, SegmentReader } from './segment-reader.js';
import type { SnapshotReader } from './snapshot-reader.js';
import type { WorkerLog } from './worker-logs.js';

/** What recovery needs of an engine, which is empty. */
export interface RecoveringEngine {
  /** Records of what is, ascending by space and key, of any revision. */
  restore(records: Uint8Array): void;
  restoreRevisions(revisions: Float64Array, time: number): void;
  fold(records: Uint8Array): void;
  revisionOf(partition: number): number;
}

export interface RecoveryProgress {
  readonly phase: 'snapshot' | 'segments' | 'end' | 'redistribution';
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface RecoveryOptions {
  /** The native one where there is an addon. */
  readonly gather?: Gather | undefined;
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined;
  /** Called with the snapshot once it was read, closed. */
  readonly onSnapshot?: ((snapshot: SnapshotReader) => void) | undefined;
  /**
   * Called with the records of each piece of the segments, in order, once they are folded; not with those of
   * the snapshot. `position` is the sum of all partitions' revisions before the first of them. The bytes are
   * valid during the call only.
   */
  readonly onRecords?: ((records: Uint8Array, position: number) => void) | undefined;
  /** Called with each segment that was read, before it is known whether the log ends rightly. */
  readonly onSegment?: ((segment: ReadSegment) => void) | undefined;
  /** Only looks: temporary files stay. */
  readonly isReadOnly?: boolean | undefined;
}

export interface RecoveredLog extends Recovered {
  /** Where the log ends; undefined where no segment behind the snapshot has batches. */
  readonly end: LogEnd | undefined;
  /** Not covered by the snapshot, oldest first. */
  readonly sealed: readonly SealedSegment[];
  /** Covered by the snapshot: to be removed or used again. */
  readonly covered: readonly NumberedFile[];
  /** Made ready and not used, behind the newest batch: to be removed or used again. */
  readonly unused: readonly NumberedFile[];
  readonly snapshot: NumberedFile | undefined;
  /** Older than `snapshot`: to be removed. Newer ones that are damaged are in `damagedSnapshots`. */
  readonly olderSnapshots: readonly NumberedFile[];
  /** The damage of newer snapshots, for which older files stood in. */
  readonly damagedSnapshots: readonly DataDamage[];
  /** The writes at the end of the log that a crash cut short. */
  readonly cut: Cut | undefined;
  /** Behind the end there may be more that was durable: it could not be told from what users wrote. */
  readonly undecided: Undecided | undefined;
  /** The newest time in snapshot and batches, ms since 1970; 0 where there is none. */
  readonly time: number;
  /** Records that were read. */
  readonly records: number;
  /** Bytes of them. */
  readonly bytes: number;
}

/**
 * Throws `DATA_DAMAGED`, `DATA_FORMAT` (a file of a later version), `DATA_UNREADABLE`, and what the
 * engine throws of records that it cannot hold. The engine is of no use then.
 */
export async function recover(
  directory: DataPaths & DataFormat & Partial<Pick<WorkerLog, 'worker' | 'owners'>>,
  engine: RecoveringEngine,
  options: RecoveryOptions = {},
): Promise<RecoveredLog> {
  return new Recovery(directory, engine, options).run();
}

class Recovery {
  private chain: Chain;
  /** The newest batch that the chain calls synced. */
  private durable = 0;
  /** The sum of all partitions' revisions. */
  private position = 0;
  private epoch = 0;
  private time = 0;
  private records = 0;
  private bytes = 0;
  private bytesDone = 0;
  private bytesTotal = 0;
  /** Partitions of other workers. */
  private readonly foreign: readonly number[];

  constructor(
    private readonly directory: DataPaths &
      DataFormat &
      Partial<Pick<WorkerLog, 'worker' | 'owners'>>,
    private readonly engine: RecoveringEngine,
    private readonly options: RecoveryOptions,
  ) {
    this.chain = firstChain(directory.logId);
    const { owners, worker } = directory;
    this.foreign = [...(owners ?? [])].flatMap((owner, at) => (owner === worker ? [] : [at]));
  }

  async run(): Promise<RecoveredLog> {
    const { directory, engine } = this;
    const files = listLogFiles(directory);
    const { chosen, damaged } = await chooseSnapshot(
      files.snapshots,
      files.segments,
      this.snapshotOptions(),
    );
    const covered = files.segments.filter(({ number }) => number <= (chosen?.number ?? 0));
    const later = files.segments.filter(({ number }) => number > (chosen?.number ?? 0));
    this.bytesTotal = [...later, ...(chosen ? [chosen] : [])].reduce((sum, f) => sum + f.bytes, 0);
    if (chosen !== undefined) await this.restore(chosen);

    const segments: ReadSegment[] = [];
    for (const file of later) {
      const segment = await this.readSegment(file, segments);
      segments.push(segment);
      this.options.onSegment?.(segment);
    }
    const last = segments.findLastIndex(({ hasBatches }) => hasBatches);
    const { chain, durable } = this;
    const end = { chain, durable, last, snapshot: chosen?.number ?? 0 };
    const { cut, undecided } = await checkEnd(segments, end);

    if (this.options.isReadOnly !== true) removeFiles(files.temporary);
    this.progress('end', this.bytesTotal - this.bytesDone);
    const { epoch, time, records, bytes } = this;
    // One without a header of its own that lies between is none of the log's, as the chain goes on.
    const used = segments.slice(0, last + 1);
    return {
      chain,
      epoch,
      nextSegment: (later.at(-1)?.number ?? chosen?.number ?? 0) + 1,
      revisions: Float64Array.from({ length: directory.partitions }, (_, partition) =>
        engine.revisionOf(partition),
      ),
      sealed: used.flatMap(({ sealed, header }) => (header === undefined ? [] : [sealed])),
      end: last < 0 ? undefined : endOf(segments[last] as ReadSegment),
      covered,
      unused: segments
        .filter(({ header }, index) => index > last || header === undefined)
        .map(({ file }) => file),
      snapshot: chosen,
      olderSnapshots: files.snapshots.filter(({ number }) => number < (chosen?.number ?? 0)),
      damagedSnapshots: damaged,
      cut,
      undecided,
      time,
      records,
      bytes,
    };
  }

  private snapshotOptions() {
    const { logId, partitions } = this.directory;
    return { logId, partitions, gather: this.options.gather };
  }

  private async restore(file: NumberedFile): Promise<void> {
    const reader = await restoreSnapshot(
      file,
      this.snapshotOptions(),
      (bodies, { path, offset }) => {
        this.feed(path, offset - bodies.length, bodies, () => this.engine.restore(bodies));
        this.progress('snapshot', bodies.length);
      },
    );
    const { header, revisions, path } = reader;
    this.feed(path, FILE_HEADER_BYTES, new Uint8Array(0), () =>
      this.engine.restoreRevisions(revisions, header.time),
    );
    this.options.onSnapshot?.(reader);
    this.records += reader.records;
    this.position = revisions.reduce((sum, revision) => sum + revision, 0);
    this.time = header.time;
    this.chain.before = header.lastChecksum;
    this.chain.next = header.lastBatch + 1;
    this.durable = header.lastBatch;
  }

  private async readSegment(
    file: NumberedFile,
    before: readonly ReadSegment[],
  ): Promise<ReadSegment> {
    const { chain, engine } = this;
    const reader = await SegmentReader.open(file.path, this.options.gather);
    try {
      const first = chain.next;
      const pieces: { at: number; number: number }[] = [];
      const header = this.checkHeader(file, reader.header);
      let end: SegmentEnd = { kind: 'clean', offset: FILE_HEADER_BYTES };
      if (header !== undefined) {
        const stream = reader.batches(chain);
        let at = stream.offset;
        let number = first;
        for (let piece = await stream.next(); piece !== undefined; piece = await stream.next()) {
          if (at === FILE_HEADER_BYTES) checkEpoch(file, header, before);
          pieces.push({ at, number });
          number = chain.next;
          const { bodies, records, time, durable } = piece;
          this.feed(file.path, at, bodies, () => engine.fold(bodies));
          if (bodies.length > 0) this.options.onRecords?.(bodies, this.position);
          this.position += records;
          this.records += records;
          this.time = Math.max(this.time, time);
          this.durable = Math.max(this.durable, durable);
          this.progress('segments', stream.offset - at);
          at = stream.offset;
        }
        end = await reader.endOf(stream);
        this.epoch = Math.max(this.epoch, header.epoch);
      }
      this.progress('segments', Math.max(0, file.bytes - end.offset));
      const sealed = { ...file, lastBatch: chain.next - 1, lastChecksum: chain.before };
      const unsynced = pieces.findLast(({ number }) => number <= this.durable + 1)?.at;
      const unsyncedFrom = unsynced ?? FILE_HEADER_BYTES;
      return { file, header, end, unsyncedFrom, sealed, hasBatches: chain.next !== first };
    } finally {
      await reader.close();
    }
  }

  /** Undefined where a crash may have left the segment without a header of its own. */
  private checkHeader(
    { path, number }: NumberedFile,
    header: SegmentReader['header'],
  ): SegmentHeader | undefined {
    if (header === 'version') {
      throw new LogError(
        'DATA_FORMAT',
        `${path} is a segment of a version that this rondo does not know. Start the rondo that wrote it`,
      );
    }
    if (typeof header === 'string') return undefined;
    const { logId, partitions } = this.directory;
    if (header.logId !== logId) {
      throw new DataDamage(path, 16, 'a segment of this log', 'one of another log');
    }
    if (header.partitions !== partitions) {
      throw new DataDamage(path, 12, `${partitions} partitions`, `${header.partitions}`);
    }
    return header.segment === number ? header : undefined;
  }

  /** Lets the engine have records; that they are none is damage, as their checksums were right. */
  private feed(path: string, offset: number, bodies: Uint8Array, step: () => void): void {
    try {
      step();
    } catch (cause) {
      if (!(cause instanceof EngineError) || cause.code !== 'RECORDS_MALFORMED') throw cause;
      const expected = 'records that go on from those before';
      throw new DataDamage(path, offset, expected, 'others, in batches from there on', { cause });
    }
    // A record moves its partition on, so that one look at each tells of all.
    const partition = this.foreign.find((one) => this.engine.revisionOf(one) > 0);
    if (partition !== undefined) {
      const { owners, worker } = this.directory;
      const found = `one of partition ${partition}, which worker ${owners?.[partition]} has, in batches from there on`;
      throw new DataDamage(path, offset, `records of worker ${worker}`, found);
    }
    this.bytes += bodies.length;
  }

  private progress(phase: RecoveryProgress['phase'], bytes: number): void {
    this.bytesDone += bytes;
    const { bytesDone, bytesTotal } = this;
    this.options.onProgress?.({ phase, bytesDone: Math.min(bytesDone, bytesTotal), bytesTotal });
  }
}

function endOf({ file, end, unsyncedFrom }: ReadSegment): LogEnd {
  return { path: file.path, from: unsyncedFrom, offset: end.offset };
}

/** Throws where a segment with batches is of an older epoch than one before it. */
function checkEpoch(
  { path }: NumberedFile,
  { epoch }: SegmentHeader,
  before: readonly ReadSegment[],
): void {
  const epochs = before.map(({ header, hasBatches }) => (hasBatches && header?.epoch) || 0);
  const newest = Math.max(0, ...epochs);
  if (epoch < newest) throw new DataDamage(path, 32, `epoch ${newest} or newer`, `epoch ${epoch}`);
}
