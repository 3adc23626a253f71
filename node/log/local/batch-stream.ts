// A file's batches, read in pieces of bounded size: either gathered, many bodies a step, or one by one
// with their headers. The chain is checked on the way; where it ends, `offset` says.

import type { FileHandle } from 'node:fs/promises';
import {
  type BatchHeader,
  type Chain,
  type Gathered,
  gatherBatches,
  isWhole,
  nextBatch,
  readBatchHeader,
} from './batch.js';
import { reading } from './data-errors.js';
import { BATCH_HEADER_BYTES } from './format.js';

/** `gatherBatches` of either language. */
export type Gather = (bytes: Uint8Array, chain: Chain) => Gathered;

/** Bodies of whole batches, one after another; valid until the next step. */
export interface Piece {
  readonly bodies: Uint8Array;
  readonly records: number;
  /** The highest of the batches, ms since 1970. */
  readonly time: number;
  /** The highest number that one of the batches says was synced. */
  readonly durable: number;
}

/** A whole batch; the body is valid until the next step. */
export interface StoredBatch {
  readonly offset: number;
  readonly header: BatchHeader;
  readonly body: Uint8Array;
}

/** `short`: what is left is the beginning of what claims to be the next batch, or less than a header. */
export type StreamEnd = 'end' | 'invalid' | 'short';

export class BatchStream {
  /** Bytes of the file that are to be looked at. */
  end: number;
  /** Byte behind the newest batch that was given out. */
  offset: number;
  /** Set once a step has answered `undefined`. */
  ended: StreamEnd = 'end';
  private buffer: Uint8Array<ArrayBuffer>;
  /** What is read and not given out is `buffer[from, filled)`. */
  private from = 0;
  private filled = 0;

  constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    start: number,
    end: number,
    readonly chain: Chain,
    pieceBytes: number,
    private readonly gather: Gather = gatherBatches,
  ) {
    this.offset = start;
    this.end = end;
    this.buffer = new Uint8Array(Math.max(BATCH_HEADER_BYTES, Math.min(pieceBytes, end - start)));
  }

  /** The next whole batches; undefined where the chain ends. */
  async next(): Promise<Piece | undefined> {
    while (true) {
      const gathered = this.gather(this.buffer.subarray(this.from, this.filled), this.chain);
      const start = this.from;
      this.from += gathered.consumed;
      this.offset += gathered.consumed;
      if (gathered.consumed > 0) {
        const bodies = this.buffer.subarray(start, start + gathered.bodyBytes);
        const { records, time, durable } = gathered;
        return { bodies, records, time, durable };
      }
      if (gathered.ended === 'invalid') return this.finish('invalid');
      if (!(await this.fill())) return this.finish(this.from === this.filled ? 'end' : 'short');
    }
  }

  /** The next batch; undefined where the chain ends. */
  async nextBatch(): Promise<StoredBatch | undefined> {
    while (true) {
      const view = new DataView(this.buffer.buffer, 0, this.filled);
      const at = this.from;
      const length = nextBatch(view, at, this.chain);
      if (length === 'invalid') return this.finish('invalid');
      if (length === 'short') {
        if (await this.fill()) continue;
        return this.finish(this.from === this.filled ? 'end' : 'short');
      }
      if (!isWhole(view, at, length, this.chain.logId)) return this.finish('invalid');
      const header = readBatchHeader(view, at);
      const offset = this.offset;
      this.chain.before = header.checksum;
      this.chain.next++;
      this.from += length;
      this.offset += length;
      return { offset, header, body: this.buffer.subarray(at + BATCH_HEADER_BYTES, at + length) };
    }
  }

  /** Reads on; false where there is nothing more. */
  private async fill(): Promise<boolean> {
    const kept = this.filled - this.from;
    if (this.offset + kept >= this.end) return false;
    this.makeRoom(kept);
    this.from = 0;
    this.filled = kept;
    while (this.filled < this.buffer.length) {
      const at = this.offset + this.filled;
      const wanted = Math.min(this.buffer.length - this.filled, this.end - at);
      if (wanted === 0) break;
      const { bytesRead } = await reading(
        this.path,
        'read',
        this.file.read(this.buffer, this.filled, wanted, at),
      );
      if (bytesRead === 0) this.end = at; // Cut since it was opened: that is its end.
      this.filled += bytesRead;
    }
    return this.filled > kept;
  }

  /** Moves what is kept to the front of a buffer that holds the batch which begins there. */
  private makeRoom(kept: number): void {
    let buffer = this.buffer;
    if (kept >= BATCH_HEADER_BYTES) {
      const view = new DataView(buffer.buffer, this.from, kept);
      const length = BATCH_HEADER_BYTES + readBatchHeader(view, 0).bodyLength;
      const needed = Math.min(length, this.end - this.offset);
      if (needed > buffer.length) buffer = new Uint8Array(needed);
    }
    buffer.set(this.buffer.subarray(this.from, this.filled), 0);
    this.buffer = buffer;
  }

  private finish(ended: StreamEnd): undefined {
    this.ended = ended;
    return undefined;
  }
}
