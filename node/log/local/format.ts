// The bytes on disk. Set in stone once released: fixtures in `test/fixtures/` hold them, and another
// layout is another version. Little-endian; everything starts at a multiple of 8 bytes.
//
//   data/FORMAT                     text: magic, version, number of partitions, id of the directory
//   data/WORKERS                    text: whose each partition is (`workers-file.ts`); absent: all are worker 0's
//   data/LOCK                       who has the directory open
//   data/worker-0/wal/<n>.seg       segments; n ascends from 1, in LOWER hexadecimal, 16 digits
//   data/worker-0/snapshot/<n>.snap the fold of all segments up to and with n
//   data/worker-<n>.<generation>/   the same for each of several workers; the generation of worker-0 is 0
//   data/redistribution/            what only the making of the next generation needs: removed at start
//   *.tmp                           being made: without meaning, removed at start
//
// Segment: a header of 64 bytes, then batches one after another. What follows the last batch means
// nothing: segments have their full length from the start and old ones are used again.
//
//    0  8 bytes "RONDOSEG"       24  u64 number of the segment
//    8  u32 version              32  u64 epoch: ascends with every opening of the log
//   12  u32 partitions           40  16 zero bytes
//   16  u64 id of the log        56  u64 XXH64 of bytes 0 to 55, seed 0
//
// Batch: what one sync made durable. The id of the log, drawn at random when the directory is made (or what
// `worker-logs.ts` makes of that), is the seed of its checksums: nobody can plant a batch inside a value, and none of another log passes.
// The chain starts with the id in place of a batch before.
//
//    0  u64 XXH64 of all that follows, seed: the id of the log
//    8  u64 the checksum of the batch before
//   16  u64 number of the batch: ascends by 1 from 1, across segments
//   24  u64 number of the newest batch that was synced when this one was made
//   32  u64 time, ms since 1970: of the newest record; without records, of the batch
//   40  u32 bytes of the records, a multiple of 8
//   44  u32 number of records
//   48  the records (`ts/engine/records.ts`)
//
// The newest synced batch is the one before, except with `--durability interval`, where batches are
// written on between two syncs. It tells damage from what a loss of power may take: a batch that a later
// one calls synced was durable, and its loss is damage; what none does was never promised.
//
// A batch without records is a mark: it says that the batch before it is whole and synced. The writer
// leaves one when it falls idle and when it ends, so that later damage to that batch cannot pass for a
// torn write.
//
// Snapshot: a header of 64 bytes; a batch with number 0 whose body is the newest revision of each
// partition, u64 each, and counts them; batches from number 1 on whose records say what is: PUT, SESSION,
// HOLD, FENCE in this order, those of one kind in ascending byte order of their keys; last a batch of 16 bytes and count 0: u64 number of records, u64
// their bytes. None names a synced batch (0). The chain starts with the header's checksum.
//
//    0  8 bytes "RONDOSNP"       32  u64 number of the newest batch that it covers
//    8  u32 version              40  u64 the checksum of that batch
//   12  u32 partitions           48  u64 time of the newest record that it covers
//   16  u64 id of the log        56  u64 XXH64 of bytes 0 to 55, seed 0
//   24  u64 number of the newest segment that it covers, whole

import { xxh64 } from './xxh64.js';

export const FORMAT_VERSION = 1;
export const FILE_HEADER_BYTES = 64;
export const BATCH_HEADER_BYTES = 48;
/** Records of one batch; larger than what any one append can bring. */
export const BATCH_BODY_BYTES_MAX = 128 * 1024 * 1024;
/** Number of the first segment and of the first batch. */
export const FIRST_NUMBER = 1;

const SEGMENT_MAGIC = 0x4745534f444e4f52n; // "RONDOSEG"
const SNAPSHOT_MAGIC = 0x504e534f444e4f52n; // "RONDOSNP"

export interface SegmentHeader {
  readonly partitions: number;
  readonly logId: bigint;
  readonly segment: number;
  readonly epoch: number;
}

export interface SnapshotHeader {
  readonly partitions: number;
  readonly logId: bigint;
  readonly lastSegment: number;
  readonly lastBatch: number;
  readonly lastChecksum: bigint;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Why bytes are not the header that they should be. */
export type HeaderFault = 'short' | 'magic' | 'version' | 'checksum';

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(FILE_HEADER_BYTES));
  view.setBigUint64(0, SEGMENT_MAGIC, true);
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, header.partitions, true);
  view.setBigUint64(16, header.logId, true);
  view.setBigUint64(24, BigInt(header.segment), true);
  view.setBigUint64(32, BigInt(header.epoch), true);
  view.setBigUint64(56, xxh64(view, 0, 56, 0n), true);
  return new Uint8Array(view.buffer);
}

export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | HeaderFault {
  const view = checkHeader(bytes, SEGMENT_MAGIC);
  if (typeof view === 'string') return view;
  return {
    partitions: view.getUint32(12, true),
    logId: view.getBigUint64(16, true),
    segment: Number(view.getBigUint64(24, true)),
    epoch: Number(view.getBigUint64(32, true)),
  };
}

export function encodeSnapshotHeader(header: SnapshotHeader): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(FILE_HEADER_BYTES));
  view.setBigUint64(0, SNAPSHOT_MAGIC, true);
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, header.partitions, true);
  view.setBigUint64(16, header.logId, true);
  view.setBigUint64(24, BigInt(header.lastSegment), true);
  view.setBigUint64(32, BigInt(header.lastBatch), true);
  view.setBigUint64(40, header.lastChecksum, true);
  view.setBigUint64(48, BigInt(header.time), true);
  view.setBigUint64(56, xxh64(view, 0, 56, 0n), true);
  return new Uint8Array(view.buffer);
}

export function decodeSnapshotHeader(bytes: Uint8Array): SnapshotHeader | HeaderFault {
  const view = checkHeader(bytes, SNAPSHOT_MAGIC);
  if (typeof view === 'string') return view;
  return {
    partitions: view.getUint32(12, true),
    logId: view.getBigUint64(16, true),
    lastSegment: Number(view.getBigUint64(24, true)),
    lastBatch: Number(view.getBigUint64(32, true)),
    lastChecksum: view.getBigUint64(40, true),
    time: Number(view.getBigUint64(48, true)),
  };
}

/** The checksum with which the chain of a snapshot starts. */
export function headerChecksum(header: Uint8Array): bigint {
  return viewOf(header).getBigUint64(56, true);
}

export function segmentName(segment: number): string {
  return `${segment.toString(16).padStart(16, '0')}.seg`;
}

export function snapshotName(lastSegment: number): string {
  return `${lastSegment.toString(16).padStart(16, '0')}.snap`;
}

/** The number in a segment's or snapshot's file name; undefined for any other name. */
export function numberOf(name: string, extension: 'seg' | 'snap'): number | undefined {
  const digits = name.slice(0, 16);
  if (name !== `${digits}.${extension}` || !/^[0-9a-f]{16}$/.test(digits)) return undefined;
  const number = Number.parseInt(digits, 16);
  return Number.isSafeInteger(number) && number >= FIRST_NUMBER ? number : undefined;
}

function checkHeader(bytes: Uint8Array, magic: bigint): DataView | HeaderFault {
  if (bytes.length < FILE_HEADER_BYTES) return 'short';
  const view = viewOf(bytes);
  if (view.getBigUint64(0, true) !== magic) return 'magic';
  // The checksum first: a version that is only damaged must not read as one from the future.
  if (view.getBigUint64(56, true) !== xxh64(view, 0, 56, 0n)) return 'checksum';
  return view.getUint32(8, true) === FORMAT_VERSION ? view : 'version';
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
