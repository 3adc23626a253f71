// Reads a snapshot in pieces, and checks every byte of it: the header, the chain of the batches, and at
// the end that they are all there.

import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { LOG_PIECE_BYTES } from '../../limits.js';
import { LogError } from '../log.js';
import { BatchStream, type Gather, type Piece } from './batch-stream.js';
import { DataDamage, reading } from './data-errors.js';
import {
  BATCH_HEADER_BYTES,
  decodeSnapshotHeader,
  FILE_HEADER_BYTES,
  FORMAT_VERSION,
  headerChecksum,
  type SnapshotHeader,
  snapshotName,
} from './format.js';
import { readAt } from './read-at.js';

/** Bytes of the body of the last batch: number of records, their bytes. */
export const SNAPSHOT_END_BYTES = 16;
const END_BATCH_BYTES = BATCH_HEADER_BYTES + SNAPSHOT_END_BYTES;

export interface SnapshotReaderOptions {
  readonly logId: bigint;
  readonly partitions: number;
  /** The native one where there is an addon. */
  readonly gather?: Gather | undefined;
  readonly pieceBytes?: number;
}

export class SnapshotReader {
  /** Records and their bytes that were given out. */
  records = 0;
  recordBytes = 0;

  private constructor(
    readonly path: string,
    /** Length of the file. */
    readonly bytes: number,
    readonly header: SnapshotHeader,
    /** The newest revision of each partition. */
    readonly revisions: Float64Array,
    private readonly file: FileHandle,
    private readonly stream: BatchStream,
  ) {}

  /** Throws `DATA_UNREADABLE`, `DATA_DAMAGED`, `DATA_FORMAT` (a version that this code does not know). */
  static async open(path: string, options: SnapshotReaderOptions): Promise<SnapshotReader> {
    const file = await reading(path, 'open', open(path, 'r'));
    try {
      const { size } = await reading(path, 'read', file.stat());
      const start = await readAt(file, path, 0, FILE_HEADER_BYTES);
      const header = checkHeader(path, start, options);
      const chain = { logId: options.logId, before: headerChecksum(start), next: 0 };
      const bodyEnd = Math.max(FILE_HEADER_BYTES, size - END_BATCH_BYTES);
      const piece = options.pieceBytes ?? LOG_PIECE_BYTES;
      const stream = new BatchStream(
        file,
        path,
        FILE_HEADER_BYTES,
        bodyEnd,
        chain,
        piece,
        options.gather,
      );
      const first = await stream.nextBatch();
      if (first?.body.length !== options.partitions * 8) {
        throw new DataDamage(
          path,
          FILE_HEADER_BYTES,
          `the revisions of ${options.partitions} partitions`,
          found(stream),
        );
      }
      const revisions = readRevisions(first.body);
      return new SnapshotReader(path, size, header, revisions, file, stream);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Byte up to which the file was read and found whole. */
  get offset(): number {
    return this.stream.offset;
  }

  /** Batches that were read. */
  get batches(): number {
    return this.stream.chain.next;
  }

  /** The next records, ascending by space and key; undefined at the end. Throws `DATA_DAMAGED`. */
  async next(): Promise<Piece | undefined> {
    const piece = await this.stream.next();
    if (piece !== undefined) {
      this.records += piece.records;
      this.recordBytes += piece.bodies.length;
      return piece;
    }
    await this.checkEnd();
    return undefined;
  }

  /** Bytes of the file; fewer where it ends. */
  bytesAt(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return readAt(this.file, this.path, offset, length);
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private async checkEnd(): Promise<void> {
    const { stream, path, bytes } = this;
    if (stream.ended !== 'end' || stream.offset !== bytes - END_BATCH_BYTES) {
      throw new DataDamage(path, stream.offset, 'the next batch of the snapshot', found(stream));
    }
    stream.end = bytes;
    const end = await stream.nextBatch();
    const at = bytes - END_BATCH_BYTES;
    const expected = `its last batch, for ${this.records} records of ${this.recordBytes} bytes`;
    if (end === undefined || end.body.length !== SNAPSHOT_END_BYTES || end.header.records !== 0) {
      throw new DataDamage(path, at, expected, found(stream));
    }
    const view = new DataView(end.body.buffer, end.body.byteOffset);
    const records = Number(view.getBigUint64(0, true));
    const recordBytes = Number(view.getBigUint64(8, true));
    if (records !== this.records || recordBytes !== this.recordBytes) {
      throw new DataDamage(path, at, expected, `one for ${records} of ${recordBytes} bytes`);
    }
  }
}

/** Reads all of a snapshot; throws what reading it throws. */
export async function verifySnapshot(path: string, options: SnapshotReaderOptions): Promise<void> {
  const reader = await SnapshotReader.open(path, options);
  try {
    while ((await reader.next()) !== undefined);
  } finally {
    await reader.close();
  }
}

function checkHeader(
  path: string,
  bytes: Uint8Array,
  { logId, partitions }: SnapshotReaderOptions,
): SnapshotHeader {
  const header = decodeSnapshotHeader(bytes);
  if (header === 'version') {
    throw new LogError(
      'DATA_FORMAT',
      `${path} is of another version than ${FORMAT_VERSION}. Start the version of rondo that wrote it`,
    );
  }
  if (typeof header === 'string') {
    throw new DataDamage(path, 0, 'the header of a snapshot', `one with a fault: ${header}`);
  }
  if (header.logId !== logId || header.partitions !== partitions) {
    throw new DataDamage(
      path,
      header.logId === logId ? 12 : 16,
      `the header of a snapshot of this log, with ${partitions} partitions`,
      header.logId === logId ? `${header.partitions} partitions` : 'the id of another log',
    );
  }
  if (snapshotName(header.lastSegment) !== basename(path)) {
    throw new DataDamage(path, 24, 'the number in its name', `number ${header.lastSegment}`);
  }
  return header;
}

function found({ ended }: BatchStream): string {
  if (ended === 'invalid') return 'other bytes, or a checksum that differs';
  return ended === 'short' ? 'the end of the file within a batch' : 'another batch';
}

function readRevisions(body: Uint8Array): Float64Array {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return Float64Array.from({ length: body.length / 8 }, (_, partition) =>
    Number(view.getBigUint64(partition * 8, true)),
  );
}
