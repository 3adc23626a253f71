// Commit batches: making one, and walking over those of a file. Layout in `format.ts`; the Rust twin is
// `core-native/src/log/batch.rs`.

import { BATCH_BODY_BYTES_MAX, BATCH_HEADER_BYTES } from './format.js';
import { xxh64 } from './xxh64.js';

/** Where a sequence of batches stands: what the next one must carry to belong to it. */
export interface Chain {
  /** The seed of the checksums. */
  readonly logId: bigint;
  /** Checksum of the batch before. */
  before: bigint;
  /** Number of the next batch. */
  next: number;
}

/** The chain of a log without batches. */
export function firstChain(logId: bigint): Chain {
  return { logId, before: logId, next: 1 };
}

/**
 * Turns `view[at, at + BATCH_HEADER_BYTES + bodyLength)`, whose body is in place, into the next batch of
 * the chain, and moves the chain on. `durable`: number of the newest batch that is synced.
 */
export function sealBatch(
  view: DataView,
  at: number,
  bodyLength: number,
  records: number,
  time: number,
  durable: number,
  chain: Chain,
): void {
  view.setBigUint64(at + 8, chain.before, true);
  view.setBigUint64(at + 16, BigInt(chain.next), true);
  view.setBigUint64(at + 24, BigInt(durable), true);
  view.setBigUint64(at + 32, BigInt(time), true);
  view.setUint32(at + 40, bodyLength, true);
  view.setUint32(at + 44, records, true);
  const end = at + BATCH_HEADER_BYTES + bodyLength;
  const checksum = xxh64(view, at + 8, end, chain.logId);
  view.setBigUint64(at, checksum, true);
  chain.before = checksum;
  chain.next++;
}

export interface BatchHeader {
  readonly checksum: bigint;
  readonly before: bigint;
  readonly number: number;
  /** Number of the newest batch that was synced when this one was made. */
  readonly durable: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly bodyLength: number;
  readonly records: number;
}

/** The header at `at`, unchecked; `view` holds all of it. */
export function readBatchHeader(view: DataView, at: number): BatchHeader {
  return {
    checksum: view.getBigUint64(at, true),
    before: view.getBigUint64(at + 8, true),
    number: Number(view.getBigUint64(at + 16, true)),
    durable: Number(view.getBigUint64(at + 24, true)),
    time: Number(view.getBigUint64(at + 32, true)),
    bodyLength: view.getUint32(at + 40, true),
    records: view.getUint32(at + 44, true),
  };
}

/**
 * What stands at `at`: the length of the next batch of the chain, header included; `short` where its
 * header claims to be that but `view` ends before it does; `invalid` where there is no such batch.
 * `isWhole` looks at the checksum.
 */
export function nextBatch(view: DataView, at: number, chain: Chain): number | 'short' | 'invalid' {
  if (view.byteLength - at < BATCH_HEADER_BYTES) return 'short';
  if (view.getBigUint64(at + 8, true) !== chain.before) return 'invalid';
  if (view.getBigUint64(at + 16, true) !== BigInt(chain.next)) return 'invalid';
  const bodyLength = view.getUint32(at + 40, true);
  if (bodyLength > BATCH_BODY_BYTES_MAX || bodyLength % 8 !== 0) return 'invalid';
  const length = BATCH_HEADER_BYTES + bodyLength;
  return view.byteLength - at < length ? 'short' : length;
}

/** Whether the batch of `length` bytes at `at` has the checksum that its bytes give. */
export function isWhole(view: DataView, at: number, length: number, logId: bigint): boolean {
  return view.getBigUint64(at, true) === xxh64(view, at + 8, at + length, logId);
}

/** How a walk over batches ended. */
export interface Gathered {
  /** Bytes of whole batches at the front of what was walked. */
  consumed: number;
  /** Bytes of their bodies, which now stand at the front, one after another. */
  bodyBytes: number;
  /** Records in them, as their headers count them. */
  records: number;
  /** `end`: all was consumed, or what is left is the beginning of a batch. */
  ended: 'end' | 'invalid';
  /** The highest of the batches, ms since 1970: that of a mark may be lower than one before; 0 for none. */
  time: number;
  /** The highest number that one of them says was synced; 0 for none. */
  durable: number;
}

/**
 * Walks over the whole batches of the chain at the front of `bytes`, checks each, moves the chain on and
 * brings their bodies together at the front of `bytes`. Bytes from `consumed` on stay as they are.
 */
export function gatherBatches(bytes: Uint8Array, chain: Chain): Gathered {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const gathered: Gathered = {
    consumed: 0,
    bodyBytes: 0,
    records: 0,
    ended: 'end',
    time: 0,
    durable: 0,
  };
  while (gathered.consumed < bytes.length) {
    const at = gathered.consumed;
    const length = nextBatch(view, at, chain);
    if (length === 'short') break;
    if (length === 'invalid' || !isWhole(view, at, length, chain.logId)) {
      gathered.ended = 'invalid';
      break;
    }
    chain.before = view.getBigUint64(at, true);
    chain.next++;
    gathered.durable = Math.max(gathered.durable, Number(view.getBigUint64(at + 24, true)));
    gathered.time = Math.max(gathered.time, Number(view.getBigUint64(at + 32, true)));
    gathered.records += view.getUint32(at + 44, true);
    bytes.copyWithin(gathered.bodyBytes, at + BATCH_HEADER_BYTES, at + length);
    gathered.bodyBytes += length - BATCH_HEADER_BYTES;
    gathered.consumed += length;
  }
  return gathered;
}
