// Logs for tests: records as an engine makes them, logs in folders that go away, files that fail, and what
// a log's files hold, read without the log.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realClock } from '../../node/clock.js';
import { firstChain, gatherBatches, readBatchHeader } from '../../node/log/local/batch.js';
import type { Files } from '../../node/log/local/files.js';
import {
  BATCH_HEADER_BYTES,
  decodeSegmentHeader,
  FILE_HEADER_BYTES,
  numberOf,
} from '../../node/log/local/format.js';
import { LocalLog, type LocalLogOptions } from '../../node/log/local/local-log.js';
import type { Recovered } from '../../node/log/local/recovered.js';
import type { LogError, LogEvents } from '../../node/log/log.js';
import { chooseEngine } from '../../ts/engine/load.js';
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
  RecordReader,
  RecordWriter,
  recordBytes,
} from '../../ts/engine/records.js';
import { findNative } from './engines.js';

export const PARTITIONS = 4;
export const LOG_ID = 0x1122334455667788n;
export const SEGMENT_BYTES = 64 * 1024;

export type WriterKind = 'native' | 'ts';
findNative(); // throws where there has to be one
const { addon } = chooseEngine('auto');
/** The writers of this machine. */
export const WRITERS: readonly WriterKind[] = addon === undefined ? ['ts'] : ['native', 'ts'];

/** What a record is like. */
export interface Shape {
  readonly kind: number;
  /** Bytes of the key, of which `suffix` do not count against its bound; of the value. */
  readonly key: number;
  readonly suffix: number;
  readonly value: number;
  readonly expires: boolean;
  readonly flags: number;
  readonly back: number;
}

/** One of each kind, and an ephemeral put. */
export const SHAPES: readonly Shape[] = [
  shape(RECORD_PUT, { key: 1024, value: 100, expires: true, back: 0xffffffff }),
  shape(RECORD_PUT, { expires: true, flags: RECORD_FLAG_EPHEMERAL, back: 1 }),
  shape(RECORD_DELETE, { back: 2 }),
  shape(RECORD_EXPIRE, { back: 2 }),
  shape(RECORD_TOUCH, { expires: true, back: 2 }),
  shape(RECORD_SESSION, { key: 14, value: 24 }),
  shape(RECORD_SESSION_END, { key: 14 }),
  shape(RECORD_HOLD, { key: 1032, suffix: 8, value: 24, expires: true }),
  shape(RECORD_HOLD_END, { key: 9, suffix: 8 }),
  shape(RECORD_FENCE, { key: 1028, suffix: 4, value: 8 }),
];

function shape(kind: number, rest: Partial<Shape>): Shape {
  const plain = { key: 1, suffix: 0, value: 0, expires: false, flags: 0, back: 0 };
  return { kind, ...plain, ...rest };
}

/** Makes appends whose revisions go on, partition by partition. */
export class AppendMaker {
  readonly revisions: Float64Array;
  time = 1_700_000_000_000;

  constructor(recovered?: Recovered) {
    this.revisions = recovered?.revisions.slice() ?? new Float64Array(PARTITIONS);
  }

  /** Puts of `valueBytes` each, one in each of `partitions`. */
  next(valueBytes: number, partitions: readonly number[] = [0]): Uint8Array {
    const bytes = new Uint8Array(partitions.length * recordBytes(3, valueBytes));
    const made = new RecordWriter(bytes);
    const key = Buffer.from('key');
    for (const partition of partitions) {
      const revision = (this.revisions[partition] as number) + 1;
      this.revisions[partition] = revision;
      const value = new Uint8Array(valueBytes).fill((revision * 7 + partition) & 255);
      const time = this.time++;
      made.append(RECORD_PUT, partition, revision, time, 0, key, 0, 3, value, 0, valueBytes);
    }
    return bytes;
  }
}

/** A record like that, of partition 0. */
export function recordLike(like: Shape, revision: number): Uint8Array {
  const { kind, key, value, expires, flags, back } = like;
  const bytes = new Uint8Array(recordBytes(key, value));
  const filler = new Uint8Array(Math.max(key, value)).fill(48);
  const [time, expiresAt] = [1_700_000_000_000, expires ? 5 : 0];
  const made = new RecordWriter(bytes);
  made.append(kind, 0, revision, time, expiresAt, filler, 0, key, filler, 0, value, back, flags);
  return bytes;
}

/** What a log told its owner. */
export class Recorder implements LogEvents {
  progress = 0;
  readonly failures: LogError[] = [];
  readonly sealed: { number: number; bytes: number; lastBatch: number; lastChecksum: bigint }[] =
    [];
  /** Called behind each report of progress. */
  afterProgress: () => void = () => undefined;

  onProgress(): void {
    this.progress++;
    this.afterProgress();
  }
  onFailure(error: LogError): void {
    this.failures.push(error);
  }
  onSealed(segment: Recorder['sealed'][number]): void {
    this.sealed.push(segment);
  }
}

/** A folder for segments; `remove` when done. */
export function temporaryFolder(): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'rondo-log-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export function emptyRecovered(): Recovered {
  const revisions = new Float64Array(PARTITIONS);
  return { chain: firstChain(LOG_ID), epoch: 0, nextSegment: 1, revisions, sealed: [] };
}

export function openLocal(
  writer: WriterKind,
  folder: string,
  events: Recorder,
  options: Partial<LocalLogOptions> = {},
): Promise<LocalLog> {
  return LocalLog.open({
    folder,
    partitions: PARTITIONS,
    recovered: emptyRecovered(),
    durability: { mode: 'sync' },
    addon: writer === 'native' ? addon : undefined,
    clock: realClock,
    events,
    ...options,
    bounds: { segmentBytes: SEGMENT_BYTES, ...options.bounds },
  });
}

export interface FoundBatch {
  readonly number: number;
  readonly segment: number;
  readonly bytes: Uint8Array;
}

/**
 * What the files of a folder hold, and what the next opening is told. Batches up to `covered` may be
 * missing, in whole segments. Throws where a segment has no header.
 */
export function readBack(
  folder: string,
  covered = 0,
): { batches: FoundBatch[]; recovered: Recovered } {
  const chain = firstChain(LOG_ID);
  const batches: FoundBatch[] = [];
  const sealed: { number: number; bytes: number }[] = [];
  const revisions = new Float64Array(PARTITIONS);
  let epoch = 0;
  for (const name of readdirSync(folder).sort()) {
    const number = numberOf(name, 'seg');
    if (number === undefined) continue;
    const file = new Uint8Array(readFileSync(join(folder, name)));
    const header = decodeSegmentHeader(file);
    if (typeof header === 'string' || header.segment !== number) {
      throw new Error(`${name}: ${JSON.stringify(header, (_, it) => String(it))}`);
    }
    sealed.push({ number, bytes: file.length });
    epoch = Math.max(epoch, header.epoch);
    const first = readBatchHeader(new DataView(file.buffer), FILE_HEADER_BYTES);
    if (first.number > chain.next && first.number <= covered + 1) {
      Object.assign(chain, { before: first.before, next: first.number });
    }
    for (let at = FILE_HEADER_BYTES; file.length - at >= BATCH_HEADER_BYTES; ) {
      // One batch at a time: what is left behind its end must not count.
      const before = { ...chain };
      const rest = file.slice(at);
      const length = BATCH_HEADER_BYTES + new DataView(rest.buffer).getUint32(40, true);
      const gathered = gatherBatches(rest.subarray(0, length), chain);
      if (gathered.consumed === 0) break;
      at += gathered.consumed;
      const bytes = rest.slice(0, gathered.bodyBytes);
      batches.push({ number: before.next, segment: number, bytes });
      const reader = new RecordReader(bytes);
      while (!reader.done && reader.next()) revisions[reader.partition] = reader.revision;
    }
  }
  const nextSegment = (sealed.at(-1)?.number ?? 0) + 1;
  return { batches, recovered: { chain, epoch, nextSegment, revisions, sealed } };
}

/** The records of all batches, one after another. */
export function recordsOf(batches: readonly FoundBatch[]): Buffer {
  return Buffer.concat(batches.map(({ bytes }) => bytes));
}

export type FaultyCall = 'open' | 'write' | 'sync' | 'rename' | 'unlink' | 'syncFolder' | 'size';
export type FaultKind = 'EIO' | 'ENOSPC' | 'EINTR' | 'SHORT' | 'LIE';

/**
 * Real files, but what is written stays in memory until a sync, as after a loss of power; and one call
 * fails once.
 */
export class ScriptedFiles implements Files {
  readonly calls = new Map<FaultyCall, number>();
  private readonly held = new Map<number, { bytes: Uint8Array; position: number }[]>();

  constructor(
    private readonly real: Files,
    readonly fault?: { call: FaultyCall; nth: number; kind: FaultKind },
  ) {}

  private count(call: FaultyCall): FaultKind | undefined {
    const nth = (this.calls.get(call) ?? 0) + 1;
    this.calls.set(call, nth);
    const { fault } = this;
    return fault?.call === call && fault.nth === nth ? fault.kind : undefined;
  }

  private async guard<T>(call: FaultyCall, action: () => Promise<T>): Promise<T> {
    const kind = this.count(call);
    if (kind !== undefined && kind !== 'SHORT' && kind !== 'LIE') throw systemError(kind, call);
    return action();
  }

  open: Files['open'] = (path, how) => this.guard('open', () => this.real.open(path, how));
  size: Files['size'] = (path) => this.guard('size', () => this.real.size(path));
  rename: Files['rename'] = (from, to) => this.guard('rename', () => this.real.rename(from, to));
  unlink: Files['unlink'] = (path) => this.guard('unlink', () => this.real.unlink(path));
  syncFolder: Files['syncFolder'] = (path) =>
    this.guard('syncFolder', () => this.real.syncFolder(path));
  read: Files['read'] = (...read) => this.real.read(...read);

  write: Files['write'] = (fd, bytes, offset, length, position, done) => {
    const kind = this.count('write');
    setImmediate(() => {
      if (kind !== undefined && kind !== 'SHORT') return done(systemError(kind, 'write'), 0);
      const taken = kind === 'SHORT' ? Math.floor(length / 2) : length;
      const list = this.held.get(fd) ?? [];
      this.held.set(fd, list);
      list.push({ bytes: bytes.slice(offset, offset + taken), position });
      return done(null, taken);
    });
  };

  sync: Files['sync'] = (fd, done) => {
    const kind = this.count('sync');
    const held = this.held.get(fd) ?? [];
    this.held.delete(fd);
    if (kind === 'LIE') return void setImmediate(() => done(null));
    if (kind !== undefined && kind !== 'SHORT') {
      return void setImmediate(() => done(systemError(kind, 'sync')));
    }
    const next = () => {
      const piece = held.shift();
      if (piece === undefined) return this.real.sync(fd, done);
      const { bytes, position } = piece;
      this.real.write(fd, bytes, 0, bytes.length, position, (error) => {
        if (error !== null) done(error);
        else next();
      });
    };
    next();
  };

  close: Files['close'] = (fd) => {
    this.held.delete(fd);
    return this.real.close(fd);
  };
}

function systemError(errno: string, call: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${errno}: as the test says, ${call}`), { code: errno });
}
