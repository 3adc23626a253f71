// A node's log as its files show it, in small steps that a test can put between those of a reader: appends,
// rolls to a segment made new or used again, and compacts into a snapshot. Every batch is remembered.

import {
  closeSync,
  existsSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { sealBatch } from '../../node/log/local/batch.js';
import {
  BATCH_HEADER_BYTES,
  encodeSnapshotHeader,
  FILE_HEADER_BYTES,
  headerChecksum,
  segmentName,
  snapshotName,
} from '../../node/log/local/format.js';
import { RecordWriter, recordBytes } from '../../ts/engine/records.js';
import {
  LOG_ID,
  LogMaker,
  makeDataDirectory,
  PARTITIONS,
  RecordMaker,
  START_TIME,
} from './log-files.js';
import { type Entry, MapState } from './log-state.js';

type Batch = readonly Uint8Array[];

/** The fold of batches, taken on to later and later ones. */
class Folded {
  private readonly map = new MapState();
  private newest = 0;
  private records = 0;

  constructor(private readonly batches: readonly Batch[]) {}

  /** Of the newest record. */
  get time(): number {
    return START_TIME + this.records - 1;
  }

  upTo(newest: number) {
    if (newest < this.newest) throw new Error(`is at ${this.newest} already`);
    for (const record of this.batches.slice(this.newest, newest).flat()) {
      this.map.fold(record);
      this.records++;
    }
    this.newest = newest;
    return this.map.state;
  }
}

export class LiveLog {
  readonly paths = makeDataDirectory();
  readonly make = new RecordMaker();
  /** The records of each batch; the first is number 1. */
  readonly batches: Batch[] = [];
  private readonly asked = new Folded(this.batches);
  private readonly compacted = new Folded(this.batches);
  private readonly maker = new LogMaker(this.paths);
  private active = 0;
  private offset = 0;
  /** Numbers of sealed segments, and the newest batch and its checksum at the end of each. */
  private readonly sealed = new Map<number, { batch: number; checksum: bigint }>();
  private snapshot = 0;
  private descriptor = -1;

  /** Values begin with `salt`: another one gives another log of the same lengths. */
  constructor(
    private readonly segmentBytes = 4096,
    private readonly salt = '.....',
  ) {
    this.roll();
  }

  /** Number of the newest batch. */
  get newest(): number {
    return this.batches.length;
  }

  /** Segments that were written and no snapshot covers. */
  get sealedCount(): number {
    return this.active - 1 - this.snapshot;
  }

  get activePath(): string {
    return join(this.paths.wal, segmentName(this.active));
  }

  /** Puts of `count` keys of a few, in one batch; rolls first where it does not fit. */
  append(count: number, keys = 10, valueBytes = 8): void {
    this.appendBatch(
      Array.from({ length: count }, (_, index) => {
        const number = this.newest * 7 + index;
        return this.make.put(
          `key-${number % keys}`,
          this.salt + String(number).padStart(valueBytes, '.'),
        );
      }),
    );
  }

  mark(): void {
    this.appendBatch([]);
  }

  /** Half of a batch, as a reader sees it in the midst of the write; the rest is never written. */
  tear(): void {
    const before = { ...this.maker.chain };
    const batch = this.maker.batch([new RecordMaker().put('torn', 'never there')]);
    Object.assign(this.maker.chain, before);
    writeSync(this.descriptor, batch, 0, batch.length - 8, this.offset);
  }

  roll(): void {
    if (this.active > 0) {
      const { before, next } = this.maker.chain;
      this.sealed.set(this.active, { batch: next - 1, checksum: before });
      closeSync(this.descriptor);
    }
    this.active++;
    const path = this.activePath;
    const covered = [...this.sealed.keys()].find(
      (number) => number <= this.snapshot && existsSync(this.pathOf(number)),
    );
    if (covered === undefined) {
      writeFileSync(path, new Uint8Array(0));
      truncateSync(path, this.segmentBytes);
    } else {
      renameSync(this.pathOf(covered), path);
    }
    this.descriptor = openSync(path, 'r+');
    writeSync(this.descriptor, this.maker.header(this.active), 0, FILE_HEADER_BYTES, 0);
    this.offset = FILE_HEADER_BYTES;
  }

  /** Folds all sealed segments into a snapshot; all but `kept` of those that it covers are removed. */
  compact(kept = 0): void {
    const last = this.active - 1;
    const sealed = this.sealed.get(last);
    if (sealed === undefined || last === this.snapshot) return;
    const older = this.snapshot;
    const bytes = this.snapshotBytes(last, sealed.batch, sealed.checksum);
    const path = join(this.paths.snapshot, snapshotName(last));
    writeFileSync(`${path}.tmp`, bytes);
    renameSync(`${path}.tmp`, path);
    this.snapshot = last;
    if (older > 0) rmSync(join(this.paths.snapshot, snapshotName(older)));
    const covered = [...this.sealed.keys()].filter(
      (number) => number <= last && existsSync(this.pathOf(number)),
    );
    for (const number of covered.slice(kept)) rmSync(this.pathOf(number));
  }

  /** The state behind batch `newest`; not before the one asked for last. */
  stateAt(newest: number) {
    return this.asked.upTo(newest);
  }

  close(): void {
    closeSync(this.descriptor);
  }

  pathOf(segment: number): string {
    return join(this.paths.wal, segmentName(segment));
  }

  appendBatch(records: Batch): void {
    const length = records.reduce((sum, record) => sum + record.length, BATCH_HEADER_BYTES);
    if (this.offset + length > this.segmentBytes) this.roll();
    const batch = this.maker.batch(records);
    writeSync(this.descriptor, batch, 0, batch.length, this.offset);
    this.offset += batch.length;
    this.batches.push(records);
  }

  private snapshotBytes(lastSegment: number, lastBatch: number, lastChecksum: bigint): Uint8Array {
    const { entries, others, revisions } = this.compacted.upTo(lastBatch);
    const header = encodeSnapshotHeader({
      partitions: PARTITIONS,
      logId: LOG_ID,
      lastSegment,
      lastBatch,
      lastChecksum,
      time: this.compacted.time,
    });
    const chain = { logId: LOG_ID, before: headerChecksum(header), next: 0 };
    const batchOf = (body: Uint8Array, count: number) => {
      const batch = new Uint8Array(BATCH_HEADER_BYTES + body.length);
      batch.set(body, BATCH_HEADER_BYTES);
      sealBatch(new DataView(batch.buffer), 0, body.length, count, START_TIME, 0, chain);
      return batch;
    };
    const records = [entries, ...others].flat().map(([key, entry]) => recordOf(key, entry));
    const recordsBytes = records.reduce((sum, { length }) => sum + length, 0);
    const first = batchOf(figuresOf(revisions), revisions.length);
    const rest = records.map((record) => batchOf(record, 1));
    const end = batchOf(figuresOf([records.length, recordsBytes]), 0);
    return Buffer.concat([header, first, ...rest, end]);
  }
}

function figuresOf(figures: readonly number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(figures, BigInt).buffer);
}

function recordOf(key: string, entry: Entry): Uint8Array {
  const keyBytes = Buffer.from(key, 'latin1');
  const value = Buffer.from(entry.value, 'latin1');
  const bytes = new Uint8Array(recordBytes(keyBytes.length, value.length));
  const { kind, partition, revision, time, expiresAt, back, isEphemeral } = entry;
  new RecordWriter(bytes).append(
    kind,
    partition,
    revision,
    time,
    expiresAt,
    keyBytes,
    0,
    keyBytes.length,
    value,
    0,
    value.length,
    back,
    isEphemeral ? 1 : 0,
  );
  return bytes;
}
