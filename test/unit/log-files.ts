// Records, segments and data directories for tests, made without the log's writer: what a log looks
// like is written down here a second time.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { type Chain, firstChain, sealBatch } from '../../node/log/local/batch.js';
import { type DataPaths, dataPaths } from '../../node/log/local/data-directory.js';
import {
  BATCH_HEADER_BYTES,
  encodeSegmentHeader,
  segmentName,
} from '../../node/log/local/format.js';
import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_FENCE,
  RECORD_FLAG_EPHEMERAL,
  RECORD_HOLD,
  RECORD_HOLD_END,
  RECORD_PUT,
  RECORD_SESSION,
  RECORD_SESSION_END,
  RECORD_TOUCH,
  RecordWriter,
  recordBytes,
} from '../../ts/engine/records.js';
import { partitionOfKey } from '../../ts/wire/partition.js';

export const PARTITIONS = 4;
export const LOG_ID = 0x0123456789abcdefn;
export const START_TIME = 1_700_000_000_000;
export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

/** A folder that is taken away when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rondo-log-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A data directory of LOG_ID without a log in it. */
export function makeDataDirectory(): DataPaths & { partitions: number; logId: bigint } {
  const paths = dataPaths(join(temporaryFolder(), 'data'));
  mkdirSync(paths.wal, { recursive: true });
  mkdirSync(paths.snapshot, { recursive: true });
  const text = `rondo-data 1\npartitions ${PARTITIONS}\nid ${LOG_ID.toString(16).padStart(16, '0')}\n`;
  writeFileSync(join(dirname(dirname(paths.wal)), 'FORMAT'), text);
  return { ...paths, partitions: PARTITIONS, logId: LOG_ID };
}

/** What a hold is, beside its lock, token and session. */
export interface HoldOptions {
  /** Left out: it is granted by this record. */
  readonly token?: number;
  readonly mode?: number;
  readonly depth?: number;
  readonly lease?: number;
}

/** Makes records whose revisions and times ascend, as an engine does. */
export class RecordMaker {
  time = START_TIME;
  readonly revisions: Float64Array;
  /** Whether a key's records say how far back the one before is. */
  isLinked = false;
  private readonly newest = new Map<string, number>();

  constructor(readonly partitions = PARTITIONS) {
    this.revisions = new Float64Array(partitions);
  }

  put(key: string, value: string | Uint8Array, expiresAt = 0): Uint8Array {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    return this.record(RECORD_PUT, key, bytes, expiresAt);
  }

  touch(key: string, expiresAt: number): Uint8Array {
    return this.record(RECORD_TOUCH, key, new Uint8Array(0), expiresAt);
  }

  delete(key: string): Uint8Array {
    return this.record(RECORD_DELETE, key, new Uint8Array(0), 0);
  }

  expire(key: string): Uint8Array {
    return this.record(RECORD_EXPIRE, key, new Uint8Array(0), 0);
  }

  ephemeral(key: string, value: string, session: number): Uint8Array {
    return this.record(RECORD_PUT, key, Buffer.from(value), session, RECORD_FLAG_EPHEMERAL);
  }

  session(id: number, ttlMs: number): Uint8Array {
    const value = Buffer.alloc(24, `secret ${id} of it all`);
    value.writeBigUInt64LE(BigInt(ttlMs));
    return this.write(RECORD_SESSION, sessionKey(id), 0, value);
  }

  sessionEnd(id: number): Uint8Array {
    return this.write(RECORD_SESSION_END, sessionKey(id), 0, Buffer.alloc(0));
  }

  /** The token of a hold of this lock that is granted next. */
  nextToken(name: string): number {
    return (this.revisions[this.partitionOf(Buffer.from(name))] ?? 0) + 1;
  }

  hold(name: string, session: number, options: HoldOptions = {}): Uint8Array {
    const { token = this.nextToken(name), mode = 0, depth = 1, lease = 0 } = options;
    const value = Buffer.alloc(24);
    value.writeBigUInt64LE(BigInt(session), 0);
    value.writeBigUInt64LE(BigInt(this.time), 8);
    value.writeUInt32LE(77, 16);
    value.writeUInt16LE(depth, 20);
    value.writeUInt8(mode, 22);
    return this.write(RECORD_HOLD, holdKey(name, token), 8, value, lease);
  }

  holdEnd(name: string, token: number): Uint8Array {
    return this.write(RECORD_HOLD_END, holdKey(name, token), 8, Buffer.alloc(0));
  }

  fence(name: string, partition: number, token: number): Uint8Array {
    const suffix = Buffer.alloc(4);
    suffix.writeUInt32LE(partition);
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(BigInt(token));
    const key = Buffer.concat([Buffer.from(name), suffix]);
    return this.writeIn(partition, RECORD_FENCE, key, value, 0, 0, 0);
  }

  private record(
    kind: number,
    key: string,
    value: Uint8Array,
    expiresAt: number,
    flags = 0,
  ): Uint8Array {
    const keyBytes = Buffer.from(key);
    const partition = this.partitionOf(keyBytes);
    const revision = (this.revisions[partition] ?? 0) + 1;
    const before = this.newest.get(key);
    const back = this.isLinked && before !== undefined ? revision - before : 0;
    if (kind === RECORD_DELETE || kind === RECORD_EXPIRE) this.newest.delete(key);
    else this.newest.set(key, revision);
    return this.writeIn(partition, kind, keyBytes, value, expiresAt, back, flags);
  }

  private write(
    kind: number,
    key: Buffer,
    suffixBytes: number,
    value: Uint8Array,
    expiresAt = 0,
  ): Uint8Array {
    const partition = this.partitionOf(key.subarray(0, key.length - suffixBytes));
    return this.writeIn(partition, kind, key, value, expiresAt, 0, 0);
  }

  private writeIn(
    partition: number,
    kind: number,
    key: Uint8Array,
    value: Uint8Array,
    expiresAt: number,
    back: number,
    flags: number,
  ): Uint8Array {
    const revision = (this.revisions[partition] ?? 0) + 1;
    this.revisions[partition] = revision;
    const bytes = new Uint8Array(recordBytes(key.length, value.length));
    new RecordWriter(bytes).append(
      kind,
      partition,
      revision,
      this.time++,
      expiresAt,
      key,
      0,
      key.length,
      value,
      0,
      value.length,
      back,
      flags,
    );
    return bytes;
  }

  private partitionOf(key: Uint8Array): number {
    return partitionOfKey(key, 0, key.length, this.partitions);
  }
}

function sessionKey(id: number): Buffer {
  return Buffer.from(id.toString(16).padStart(14, '0'));
}

function holdKey(name: string, token: number): Buffer {
  const suffix = Buffer.alloc(8);
  suffix.writeBigUInt64BE(BigInt(token));
  return Buffer.concat([Buffer.from(name), suffix]);
}

/** Makes batches and segments of one chain. A batch is a list of records; an empty one is a mark. */
export class LogMaker {
  readonly chain: Chain;
  epoch = 1;
  /** Number of the newest synced batch, as batches name it; undefined: the one before each. */
  durable: number | undefined;
  /** Number of the next segment. */
  segment = 1;

  constructor(
    readonly paths: DataPaths,
    readonly partitions = PARTITIONS,
    readonly logId = LOG_ID,
  ) {
    this.chain = firstChain(logId);
  }

  batch(records: readonly Uint8Array[]): Uint8Array {
    const body = Buffer.concat(records);
    const batch = new Uint8Array(BATCH_HEADER_BYTES + body.length);
    batch.set(body, BATCH_HEADER_BYTES);
    const view = new DataView(batch.buffer);
    const times = records.map((record) => Number(Buffer.from(record).readBigUInt64LE(24)));
    const time = Math.max(START_TIME, ...times);
    const durable = this.durable ?? this.chain.next - 1;
    sealBatch(view, 0, body.length, records.length, time, durable, this.chain);
    return batch;
  }

  header(segment: number): Uint8Array {
    const { partitions, logId, epoch } = this;
    return encodeSegmentHeader({ partitions, logId, segment, epoch });
  }

  /** Writes the next segment; `rest` stands behind its batches. Returns its path. */
  write(batches: readonly (readonly Uint8Array[])[], rest = new Uint8Array(256)): string {
    const bytes = batches.map((records) => this.batch(records));
    return this.writeBytes([...bytes, rest]);
  }

  /** Writes the next segment: its header, then these bytes. Returns its path. */
  writeBytes(parts: readonly Uint8Array[]): string {
    const path = join(this.paths.wal, segmentName(this.segment));
    writeFileSync(path, Buffer.concat([this.header(this.segment), ...parts]));
    this.segment++;
    return path;
  }
}
