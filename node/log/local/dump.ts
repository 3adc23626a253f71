// The batches of one segment or snapshot, as they stand, for people to look at. A file is read by itself:
// its first batch is believed, the others have to go on from it; damage ends the reading and is told.

import { dirname, resolve } from 'node:path';
import { LogError } from '../log.js';
import { firstChain, isWhole, readBatchHeader } from './batch.js';
import type { BatchStream, StoredBatch } from './batch-stream.js';
import {
  BATCH_HEADER_BYTES,
  decodeSnapshotHeader,
  FILE_HEADER_BYTES,
  type SegmentHeader,
  type SnapshotHeader,
} from './format.js';
import { SegmentReader } from './segment-reader.js';
import { readLayout } from './worker-logs.js';

/** How the reading of a file ended. */
export interface DumpEnd {
  /** Byte up to which the file is whole. */
  readonly offset: number;
  /** `end`: of the file or of what was written to it. `stopped`: what stands there is no whole batch. */
  readonly kind: 'end' | 'stopped';
  /** A whole batch that goes on behind the place where the reading stopped. */
  readonly later: { readonly number: number; readonly offset: number } | undefined;
}

export class DumpReader {
  private stream: BatchStream | undefined;

  private constructor(
    readonly path: string,
    readonly kind: 'segment' | 'snapshot',
    /** Undefined where it cannot be read. */
    readonly header: SegmentHeader | SnapshotHeader | undefined,
    /** Length of the file. */
    readonly bytes: number,
    private readonly logId: bigint,
    private readonly reader: SegmentReader,
  ) {}

  /**
   * Throws `DATA_UNREADABLE`, and `DATA_FORMAT` where neither the file nor a FORMAT above it says to
   * which log it belongs.
   */
  static async open(path: string): Promise<DumpReader> {
    const reader = await SegmentReader.open(path);
    try {
      const snapshot = decodeSnapshotHeader(await reader.bytesAt(0, FILE_HEADER_BYTES));
      const segment = reader.header;
      const isSnapshot = typeof snapshot !== 'string' || path.endsWith('.snap');
      const decoded = isSnapshot ? snapshot : segment;
      const header = typeof decoded === 'string' ? undefined : decoded;
      const logId = header?.logId ?? logIdAbove(path);
      const kind = isSnapshot ? 'snapshot' : 'segment';
      return new DumpReader(path, kind, header, reader.bytes, logId, reader);
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** The next batch, valid until the one after it is asked for; undefined where the reading ends. */
  async next(): Promise<StoredBatch | undefined> {
    this.stream ??= await this.start();
    return this.stream?.nextBatch();
  }

  /** How the reading ended. */
  async end(): Promise<DumpEnd> {
    const { stream, reader, bytes, logId } = this;
    const offset = stream?.offset ?? FILE_HEADER_BYTES;
    const { proof, unproven } = await reader.findBehind(offset, stream?.chain ?? firstChain(logId));
    const found = proof ?? unproven[0];
    const later = found && { number: found.number, offset: found.offset };
    if (later !== undefined) return { offset, kind: 'stopped', later };
    if (this.kind === 'snapshot') {
      return { offset, kind: offset === bytes ? 'end' : 'stopped', later };
    }
    const isTorn = stream !== undefined && (await reader.endOf(stream)).kind === 'torn';
    return { offset, kind: isTorn ? 'stopped' : 'end', later };
  }

  async close(): Promise<void> {
    await this.reader.close();
  }

  /** Undefined where no whole batch stands behind the header. */
  private async start(): Promise<BatchStream | undefined> {
    const { reader, logId, bytes } = this;
    const start = await reader.bytesAt(FILE_HEADER_BYTES, BATCH_HEADER_BYTES);
    if (start.length < BATCH_HEADER_BYTES) return undefined;
    const header = readBatchHeader(new DataView(start.buffer), 0);
    const length = BATCH_HEADER_BYTES + header.bodyLength;
    if (length > bytes - FILE_HEADER_BYTES) return undefined;
    const first = await reader.bytesAt(FILE_HEADER_BYTES, length);
    if (first.length < length) return undefined; // Cut since it was opened.
    if (!isWhole(new DataView(first.buffer), 0, length, logId)) return undefined;
    return reader.batches({ logId, before: header.before, next: header.number });
  }
}

function logIdAbove(path: string): bigint {
  try {
    const folder = dirname(dirname(resolve(path)));
    const { logs } = readLayout(dirname(folder));
    const log = logs.find(({ wal }) => dirname(wal) === folder);
    if (log === undefined) throw new Error(`${folder} holds no log of its data directory`);
    return log.logId;
  } catch (cause) {
    throw new LogError(
      'DATA_FORMAT',
      `${path} has no header that can be read, and no FORMAT file three folders above it says to which log it belongs. Look at it where it lies in its data directory`,
      { cause },
    );
  }
}
