// Writes a file of batches from records, one chain from front to end: snapshots, and the sorted runs of a
// compaction. Synchronous, for a thread of its own; synced on the way, so that the last sync is short.

import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { COMPACTION_SYNC_BYTES } from '../../limits.js';
import { type Chain, sealBatch } from './batch.js';
import { unreadable } from './data-errors.js';
import { BATCH_HEADER_BYTES } from './format.js';

export class BatchWriter {
  /** Bytes of the file so far. */
  bytes = 0;
  /** Records appended, and their bytes. */
  records = 0;
  recordBytes = 0;
  private readonly descriptor: number;
  private buffer: Uint8Array<ArrayBuffer>;
  private view: DataView;
  /** The batch that fills: its body is `buffer[BATCH_HEADER_BYTES, filled)`. */
  private filled = BATCH_HEADER_BYTES;
  private batchRecords = 0;
  private batchTime = 0;
  private unsynced = 0;
  private isOpen = true;

  /** `chain` is moved on. Throws `DATA_UNREADABLE`, as the methods do. */
  constructor(
    readonly path: string,
    private readonly chain: Chain,
    private readonly batchBytes: number,
  ) {
    this.buffer = new Uint8Array(BATCH_HEADER_BYTES + batchBytes);
    this.view = new DataView(this.buffer.buffer);
    this.descriptor = this.writing(() => openSync(path, 'w', 0o600));
  }

  /** Bytes that are no batch; before the first one. */
  raw(bytes: Uint8Array): void {
    this.write(bytes);
  }

  /**
   * The record `bytes[start, end)`, of this time. The batch before it is closed where it would grow
   * above its bound.
   */
  append(bytes: Uint8Array, start: number, end: number, time: number): number {
    const length = end - start;
    if (this.filled + length > BATCH_HEADER_BYTES + this.batchBytes) this.closeBatch();
    if (this.filled + length > this.buffer.length) {
      this.buffer = new Uint8Array(BATCH_HEADER_BYTES + length);
      this.view = new DataView(this.buffer.buffer);
    }
    const at = this.filled;
    this.buffer.set(bytes.subarray(start, end), at);
    this.filled += length;
    this.batchRecords++;
    if (time > this.batchTime) this.batchTime = time;
    this.records++;
    this.recordBytes += length;
    return at;
  }

  /** Closes the batch that fills, if there is one. */
  closeBatch(): void {
    if (this.batchRecords === 0) return;
    this.seal(this.batchRecords, this.batchTime);
    this.batchRecords = 0;
    this.batchTime = 0;
  }

  /** A batch of its own, whose body is no records; the one that fills is closed. */
  batch(body: Uint8Array, count: number, time: number): void {
    this.closeBatch();
    const length = BATCH_HEADER_BYTES + body.length;
    if (length > this.buffer.length) {
      this.buffer = new Uint8Array(length);
      this.view = new DataView(this.buffer.buffer);
    }
    this.buffer.set(body, BATCH_HEADER_BYTES);
    this.filled = length;
    this.seal(count, time);
  }

  /** Makes the file durable and closes it. */
  finish(): void {
    this.closeBatch();
    this.writing(() => fsyncSync(this.descriptor));
    this.close();
  }

  /** Closes the file, as far as it was written. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    closeSync(this.descriptor);
  }

  private seal(records: number, time: number): void {
    const length = this.filled - BATCH_HEADER_BYTES;
    sealBatch(this.view, 0, length, records, time, 0, this.chain);
    this.write(this.buffer.subarray(0, this.filled));
    this.filled = BATCH_HEADER_BYTES;
  }

  private write(bytes: Uint8Array): void {
    this.writing(() => {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.descriptor, bytes, at);
      this.unsynced += bytes.length;
      if (this.unsynced < COMPACTION_SYNC_BYTES) return;
      fdatasyncSync(this.descriptor);
      this.unsynced = 0;
    });
    this.bytes += bytes.length;
  }

  private writing<T>(step: () => T): T {
    try {
      return step();
    } catch (cause) {
      throw unreadable(this.path, 'write', cause);
    }
  }
}
