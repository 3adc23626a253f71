// Writes a snapshot: aside, in one pass, and under its name only when all of it is durable. Where its
// batches end is part of its bytes, so that both languages write the same file.

import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { SNAPSHOT_BATCH_BYTES } from '../../limits.js';
import { BatchWriter } from './batch-writer.js';

import { unreadable } from './data-errors.js';
import {
  encodeSnapshotHeader,
  headerChecksum,
  type SnapshotHeader,
  snapshotName,
} from './format.js';
import { SNAPSHOT_END_BYTES } from './snapshot-reader.js';
import { syncFolder } from './sync.js';

/** Where a snapshot is written before it gets its name. */
export function snapshotAside(folder: string, lastSegment: number): string {
  return join(folder, `${snapshotName(lastSegment)}.tmp`);
}

export class SnapshotWriter {
  private readonly writer: BatchWriter;
  private readonly path: string;

  /** `revisions` are the newest of each partition. Throws `DATA_UNREADABLE`, as the methods do. */
  constructor(
    private readonly folder: string,
    private readonly header: SnapshotHeader,
    revisions: Float64Array,
  ) {
    const name = snapshotName(header.lastSegment);
    const bytes = encodeSnapshotHeader(header);
    const chain = { logId: header.logId, before: headerChecksum(bytes), next: 0 };
    this.path = join(folder, name);
    const aside = snapshotAside(folder, header.lastSegment);
    this.writer = new BatchWriter(aside, chain, SNAPSHOT_BATCH_BYTES);
    this.writer.raw(bytes);
    const body = new DataView(new ArrayBuffer(revisions.length * 8));
    for (const [partition, revision] of revisions.entries()) {
      body.setBigUint64(partition * 8, BigInt(revision), true);
    }
    this.writer.batch(new Uint8Array(body.buffer), revisions.length, header.time);
  }

  /** The record `bytes[start, end)`, of what is; it is above those before it by space and key. */
  append(bytes: Uint8Array, start: number, end: number, time: number): void {
    this.writer.append(bytes, start, end, time);
  }

  /** Makes the snapshot durable under its name. */
  finish(): { path: string; bytes: number; records: number } {
    const { writer, path, folder } = this;
    writer.closeBatch();
    const end = new DataView(new ArrayBuffer(SNAPSHOT_END_BYTES));
    end.setBigUint64(0, BigInt(writer.records), true);
    end.setBigUint64(8, BigInt(writer.recordBytes), true);
    writer.batch(new Uint8Array(end.buffer), 0, this.header.time);
    writer.finish();
    try {
      renameSync(writer.path, path);
      syncFolder(folder);
    } catch (cause) {
      throw unreadable(path, 'write', cause);
    }
    return { path, bytes: writer.bytes, records: writer.records };
  }

  /** Leaves the temporary file. */
  close(): void {
    this.writer.close();
  }
}
