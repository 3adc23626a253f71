// Reads a segment: its header, its batches, how it ends, and whether anything that was durable lies
// behind that end. Stale batches of a segment's earlier use have lower numbers than the next one of the
// chain, or a loss of power cut them off before they were synced: then they call none synced from that
// cut on. The id of the log, seed of the checksums, keeps users from planting others inside values.

import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { recordBytes, shapeFits } from '../../../ts/engine/records.js';
import { PARTITIONS_MAX } from '../../../ts/wire/limits.js';
import {
  LOG_PIECE_BYTES,
  LOG_SEARCH_HASHED_BYTES_MIN,
  LOG_SEARCH_HASHED_FACTOR,
  LOG_SEARCH_PIECE_BYTES,
} from '../../limits.js';
import { type BatchHeader, type Chain, isWhole, readBatchHeader } from './batch.js';
import { BatchStream, type Gather } from './batch-stream.js';
import { reading } from './data-errors.js';
import {
  BATCH_BODY_BYTES_MAX,
  BATCH_HEADER_BYTES,
  decodeSegmentHeader,
  FILE_HEADER_BYTES,
  type HeaderFault,
  type SegmentHeader,
} from './format.js';
import { readAt, readInto } from './read-at.js';

/** The least bytes of a record: header, a key of one byte, padding. */
const RECORD_BYTES_MIN = 48;
/** What a search looks at before it hashes: a batch's header, and the beginning of its first record. */
const SEARCHED_BYTES = BATCH_HEADER_BYTES + 16;

/**
 * `clean`: no further batch of the chain begins there. `torn`: one begins there and is not whole, or the
 * file ends or holds what is neither zero nor a header that a batch could have.
 */
export interface SegmentEnd {
  readonly kind: 'clean' | 'torn';
  readonly offset: number;
}

/** A whole batch behind the end of the chain. */
export interface FoundBatch {
  readonly offset: number;
  /** Byte behind it. */
  readonly end: number;
  readonly number: number;
  readonly before: bigint;
  readonly durable: number;
}

export interface Behind {
  /** Proves that the next batch of the chain was durable. */
  readonly proof: FoundBatch | undefined;
  /** Those before it that do not: of writes between two syncs, left by a loss of power. */
  readonly unproven: readonly FoundBatch[];
  /** The first byte at which a batch may stand that there were too many others to look at for. */
  readonly undecided: number | undefined;
}

export class SegmentReader {
  private constructor(
    readonly path: string,
    /** Length of the file when it was looked at last. */
    public bytes: number,
    readonly header: SegmentHeader | HeaderFault,
    private readonly file: FileHandle,
    private readonly gather: Gather | undefined,
  ) {}

  /** Throws `DATA_UNREADABLE`. `gather` is the native one where there is an addon. */
  static async open(path: string, gather?: Gather): Promise<SegmentReader> {
    const file = await reading(path, 'open', open(path, 'r'));
    try {
      const { size } = await reading(path, 'read', file.stat());
      const header = decodeSegmentHeader(await readAt(file, path, 0, FILE_HEADER_BYTES));
      return new SegmentReader(path, size, header, file, gather);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The batches from the header, or from byte `start`, on; moves `chain` on. */
  batches(chain: Chain, start = FILE_HEADER_BYTES, pieceBytes = LOG_PIECE_BYTES): BatchStream {
    const { file, path, bytes, gather } = this;
    return new BatchStream(file, path, start, bytes, chain, pieceBytes, gather);
  }

  /** The header of the batch that begins at `offset`, unchecked. */
  async batchHeaderAt(offset: number): Promise<BatchHeader> {
    const bytes = new Uint8Array(BATCH_HEADER_BYTES);
    await readInto(this.file, this.path, bytes, offset);
    return readBatchHeader(new DataView(bytes.buffer), 0);
  }

  /** How the segment ends, once its stream has. */
  async endOf({ ended, offset, chain }: BatchStream): Promise<SegmentEnd> {
    if (ended === 'end') return { kind: 'clean', offset };
    const start = await this.bytesAt(offset, BATCH_HEADER_BYTES);
    if (start.every((byte) => byte === 0)) return { kind: 'clean', offset };
    if (start.length < BATCH_HEADER_BYTES) return { kind: 'torn', offset };
    const header = readBatchHeader(new DataView(start.buffer), 0);
    const isClaim = header.before === chain.before || header.number === chain.next;
    return { kind: isClaim ? 'torn' : 'clean', offset };
  }

  /**
   * What stands whole at or behind `from` with the number of the chain's next batch or a higher one, up to
   * the first that proves that the next one was durable.
   */
  async findBehind(from: number, chain: Readonly<Chain>): Promise<Behind> {
    const unproven: FoundBatch[] = [];
    let undecided: number | undefined;
    const start = Math.max(FILE_HEADER_BYTES, Math.ceil(from / 8) * 8);
    const room = Math.max(0, Math.ceil((this.bytes - start) / 8) * 8);
    const piece = Math.min(LOG_SEARCH_PIECE_BYTES, room);
    const buffer = new Uint8Array(piece + SEARCHED_BYTES);
    const words = new Uint32Array(buffer.buffer);
    const view = new DataView(buffer.buffer);
    // Headers planted in values cost a hash each; a bound keeps them from costing hours. Those of short
    // batches cost little: what proves damage is found among them, whatever was planted before it.
    let hashable = this.bytes * LOG_SEARCH_HASHED_FACTOR;
    // Within a whole batch there is none.
    let next = start;
    for (let at = start; at < this.bytes; at += piece) {
      const bytesRead = await readInto(this.file, this.path, buffer, at);
      const last = Math.min(bytesRead - BATCH_HEADER_BYTES, piece - 8);
      for (let index = Math.max(0, next - at); index <= last; index += 8) {
        const word = index >>> 2;
        const number = (words[word + 4] as number) + (words[word + 5] as number) * 2 ** 32;
        if (number < chain.next || number > Number.MAX_SAFE_INTEGER) continue;
        const offset = at + index;
        if (!isPlausible(words, word, this.bytes - offset)) continue;
        const header = readBatchHeader(view, index);
        const length = BATCH_HEADER_BYTES + header.bodyLength;
        if (header.durable >= number) continue;
        const isNext = number === chain.next && header.before === chain.before;
        if (!isNext && length > LOG_SEARCH_HASHED_BYTES_MIN) {
          if (length > hashable) {
            undecided ??= offset;
            continue;
          }
          hashable -= length;
        }
        const isInBuffer = index + length <= bytesRead;
        const isBatch = isInBuffer
          ? isWhole(view, index, length, chain.logId)
          : await this.isBatch(offset, length, chain.logId);
        if (!isBatch) continue;
        const { before, durable } = header;
        const found = { offset, number, before, durable, end: offset + length };
        if (provesNext(found, chain)) return { proof: found, unproven, undecided };
        unproven.push(found);
        next = found.end;
        index = next - at - 8;
      }
    }
    return { proof: undefined, unproven, undecided };
  }

  /** Looks at the length again: a batch larger than the segment lengthens it. */
  async refresh(): Promise<void> {
    this.bytes = (await reading(this.path, 'read', this.file.stat())).size;
  }

  /** Bytes of the file; fewer where it ends. */
  bytesAt(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return readAt(this.file, this.path, offset, length);
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private async isBatch(offset: number, length: number, logId: bigint): Promise<boolean> {
    const batch = await this.bytesAt(offset, length);
    return batch.length === length && isWhole(new DataView(batch.buffer), 0, length, logId);
  }
}

/** One that was synced behind the next batch of the chain, or is that batch, in another place. */
function provesNext({ number, before, durable }: FoundBatch, chain: Readonly<Chain>): boolean {
  return durable >= chain.next || (number === chain.next && before === chain.before);
}

/** Whether a batch may begin at a word: its lengths fit, and so does the header of its first record. */
function isPlausible(words: Uint32Array, word: number, room: number): boolean {
  const bodyLength = words[word + 10] as number;
  const records = words[word + 11] as number;
  if (BATCH_HEADER_BYTES + bodyLength > room || bodyLength > BATCH_BODY_BYTES_MAX) return false;
  if (records === 0 || bodyLength === 0) return records === bodyLength;
  if (bodyLength % 8 !== 0 || records * RECORD_BYTES_MIN > bodyLength) return false;
  // Its value's length; its key's, kind and flags; partition; back.
  const valueLength = words[word + 12] as number;
  const lengthAndKind = words[word + 13] as number;
  const keyLength = lengthAndKind & 0xffff;
  const kind = (lengthAndKind >>> 16) & 0xff;
  const back = words[word + 15] as number;
  if (!shapeFits(kind, lengthAndKind >>> 24, back, keyLength, valueLength)) return false;
  const partition = words[word + 14] as number;
  return partition < PARTITIONS_MAX && recordBytes(keyLength, valueLength) <= bodyLength;
}
