// Logs to recover and to compact: an engine makes the records, and they are laid out as the node's writer
// does it, batch by batch in segments of full length.

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { LOG_SEGMENT_BYTES_DEFAULT } from '../../node/limits.js';
import { type Chain, firstChain, sealBatch } from '../../node/log/local/batch.js';
import {
  type DataFormat,
  type DataPaths,
  dataPaths,
  openDataDirectory,
  readDataFormat,
} from '../../node/log/local/data-directory.js';
import {
  BATCH_HEADER_BYTES,
  encodeSegmentHeader,
  FILE_HEADER_BYTES,
  FIRST_NUMBER,
  segmentName,
} from '../../node/log/local/format.js';
import {
  type Engine,
  OUTCOME_COUNT,
  OUTCOME_NEXT,
  OUTCOME_RECORD_BYTES,
} from '../../ts/engine/engine.js';
import { chooseEngine, type EngineMode } from '../../ts/engine/load.js';
import { RECORD_HEADER_BYTES } from '../../ts/engine/records.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { PARTITIONS_DEFAULT } from '../../ts/wire/limits.js';
import { RequestWriter } from '../../ts/wire/request.js';
import { BATCH_RECORDS, RECORD_BYTES, RECORDS_PER_KEY } from './limits.js';

const NOW = 1_700_000_000_000;
const PREFIX = 'note:';
const DIGITS = 12;
const VALUE_BYTES = RECORD_BYTES - RECORD_HEADER_BYTES - PREFIX.length - DIGITS;
const EPOCH = 1;

/** As JSON can carry it between processes. */
export interface MadeSegment {
  readonly number: number;
  readonly path: string;
  readonly lastBatch: number;
  /** Hexadecimal. */
  readonly lastChecksum: string;
}

export interface MadeLog {
  /** The data directory. */
  readonly folder: string;
  readonly segments: readonly MadeSegment[];
  readonly records: number;
  /** Of all batches, without what stands unused at the end of segments. */
  readonly bytes: number;
}

/** An engine of the benchmark's usual settings. */
export function makeEngine(mode: EngineMode): Engine {
  return chooseEngine(mode).create({
    partitions: PARTITIONS_DEFAULT,
    valueBytesMax: 1024 * 1024,
    memoryBytesMax: 0,
    hashSeed: 0x5eed,
  });
}

/** Puts of random keys, and the records that an engine makes of them, a batch at a time. */
export class RecordSource {
  private readonly engine = makeEngine('auto');
  private readonly writer = new RequestWriter();
  private readonly value = new Uint8Array(VALUE_BYTES).fill(0x76);
  private readonly keys: number;
  private state = 0x2545f491;

  /** `records` is how many will be asked for. */
  constructor(records: number) {
    this.keys = Math.max(1, Math.ceil(records / RECORDS_PER_KEY));
  }

  /** Valid until the next call. */
  next(count: number): Uint8Array {
    const { engine, writer, value } = this;
    writer.begin(count);
    for (let at = 0; at < count; at++) {
      // An LCG, so that all logs of a length are alike.
      this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
      const index = Math.floor((this.state / 2 ** 32) * this.keys);
      const key = PREFIX + `${index}`.padStart(DIGITS, '0');
      value[0] = at;
      writer.operation(at, OperationCode.Put, 0, key, value, 0, 0, 0);
    }
    const length = engine.execute(writer.finish().slice().buffer, 0, NOW);
    const { outcome } = engine;
    const bytes = outcome[OUTCOME_RECORD_BYTES] as number;
    if (length <= 0 || outcome[OUTCOME_NEXT] !== outcome[OUTCOME_COUNT]) {
      throw new Error(`the engine did not take a frame of ${count} puts whole`);
    }
    if (bytes !== count * RECORD_BYTES) throw new Error(`${count} puts made ${bytes} bytes`);
    return engine.records.subarray(0, bytes);
  }

  close(): void {
    this.engine.close();
  }
}

/** Where a made log lies, and of which kind it is. */
export function directoryOf(folder: string): DataPaths & DataFormat {
  return { ...dataPaths(folder), ...readDataFormat(folder) };
}

/** A data directory whose log has `bytes` of records; all but the last segment are full. */
export function makeLog(
  folder: string,
  bytes: number,
  batchRecords: 1 | typeof BATCH_RECORDS,
  segmentBytes = LOG_SEGMENT_BYTES_DEFAULT,
): MadeLog {
  openDataDirectory(folder, { partitions: PARTITIONS_DEFAULT }).close();
  const directory = directoryOf(folder);
  const records = Math.ceil(bytes / RECORD_BYTES);
  const source = new RecordSource(records);
  const segments = new SegmentSink(directory, segmentBytes);
  try {
    for (let made = 0; made < records; ) {
      const count = Math.min(BATCH_RECORDS, records - made);
      const body = source.next(count);
      if (batchRecords === 1) {
        for (let at = 0; at < body.length; at += RECORD_BYTES) {
          segments.append(body.subarray(at, at + RECORD_BYTES), 1);
        }
      } else segments.append(body, count);
      made += count;
    }
    // The mark of a log that ended in order.
    segments.append(new Uint8Array(0), 0);
    segments.endSegment();
  } finally {
    segments.close();
    source.close();
  }
  return { folder, segments: segments.ended, records, bytes: segments.bytes };
}

/** Bytes that are written to a file at once. */
const WRITE_BYTES = 4 * 1024 * 1024;

class SegmentSink {
  readonly ended: MadeSegment[] = [];
  bytes = 0;
  private readonly chain: Chain;
  private readonly buffer = new Uint8Array(WRITE_BYTES);
  private readonly view = new DataView(this.buffer.buffer);
  private filled = 0;
  private file: number | undefined;
  private path = '';
  /** Bytes of the open segment. */
  private at = 0;

  constructor(
    private readonly directory: DataPaths & DataFormat,
    private readonly segmentBytes: number,
  ) {
    this.chain = firstChain(directory.logId);
  }

  append(body: Uint8Array, records: number): void {
    const length = BATCH_HEADER_BYTES + body.length;
    if (this.file !== undefined && this.at + length > this.segmentBytes) this.endSegment();
    if (this.file === undefined) this.beginSegment();
    if (this.filled + length > WRITE_BYTES) this.flush();
    this.buffer.set(body, this.filled + BATCH_HEADER_BYTES);
    sealBatch(this.view, this.filled, body.length, records, NOW, this.chain.next - 1, this.chain);
    this.filled += length;
    this.at += length;
    this.bytes += length;
  }

  endSegment(): void {
    if (this.file === undefined) return;
    this.flush();
    ftruncateSync(this.file, this.segmentBytes);
    closeSync(this.file);
    this.file = undefined;
    this.ended.push({
      number: FIRST_NUMBER + this.ended.length,
      path: this.path,
      lastBatch: this.chain.next - 1,
      lastChecksum: this.chain.before.toString(16),
    });
  }

  /** Lets go of what an error left open. */
  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }

  private beginSegment(): void {
    const { partitions, logId, wal } = this.directory;
    const segment = FIRST_NUMBER + this.ended.length;
    this.path = join(wal, segmentName(segment));
    this.file = openSync(this.path, 'wx', 0o600);
    this.buffer.set(encodeSegmentHeader({ partitions, logId, segment, epoch: EPOCH }), 0);
    this.filled = FILE_HEADER_BYTES;
    this.at = FILE_HEADER_BYTES;
  }

  private flush(): void {
    if (this.file === undefined) return;
    for (let at = 0; at < this.filled; ) {
      at += writeSync(this.file, this.buffer, at, this.filled - at);
    }
    this.filled = 0;
  }
}
