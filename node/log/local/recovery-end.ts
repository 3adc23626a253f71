// The end of a log: that it is the true one, and what a crash left there.

import { type Chain, readBatchHeader } from './batch.js';
import { DataDamage } from './data-errors.js';
import {
  BATCH_HEADER_BYTES,
  FILE_HEADER_BYTES,
  FIRST_NUMBER,
  type SegmentHeader,
} from './format.js';
import type { NumberedFile } from './log-files.js';
import type { SealedSegment } from './segment-list.js';
import { type FoundBatch, type SegmentEnd, SegmentReader } from './segment-reader.js';

/** A segment that was read. */
export interface ReadSegment {
  readonly file: NumberedFile;
  /** Undefined where it has none of its own. */
  readonly header: SegmentHeader | undefined;
  readonly end: SegmentEnd;
  /** No batch before this byte is later than those that the log calls synced. */
  readonly unsyncedFrom: number;
  readonly sealed: SealedSegment;
  readonly hasBatches: boolean;
}

/** What was written last and is left out, because a crash let only parts of it through. */
export interface Cut {
  readonly file: string;
  readonly offset: number;
  /** From there up to where the last of those batches ends. */
  readonly bytes: number;
  /** Several only where batches were written between two syncs. */
  readonly batches: number;
}

/** A place behind the end that holds too much of what looks like batches to tell what it is. */
export interface Undecided {
  readonly file: string;
  readonly offset: number;
}

/** Where a chain ended. */
export interface ChainEnd {
  readonly chain: Readonly<Chain>;
  /** The newest batch that the chain itself calls synced. */
  readonly durable: number;
  /** Index of the segment, -1 where none goes on from the snapshot. */
  readonly last: number;
  /** The newest segment that the snapshot covers. */
  readonly snapshot: number;
}

/**
 * Throws `DATA_DAMAGED` where a whole batch behind the end of the chain, in the rest of the segment or in a
 * later one, proves that a batch which is missing there was durable. Otherwise returns what a crash cut,
 * and where it could not be told.
 */
export async function checkEnd(
  segments: readonly ReadSegment[],
  end: ChainEnd,
): Promise<{ cut: Cut | undefined; undecided: Undecided | undefined }> {
  const { chain, last } = end;
  const tail = segments.slice(Math.max(0, last));
  // What is missing stood where something still claims to be it, else where the chain ended.
  const ended = tail.find((one) => one.end.kind === 'torn') ?? tail[0];
  if (ended === undefined) return { cut: undefined, undecided: undefined };
  let undecided: Undecided | undefined;
  let newest = 0;
  let bytes = 0;
  for (const segment of tail) {
    const from = segment === segments[last] ? segment.end.offset : FILE_HEADER_BYTES;
    const reader = await SegmentReader.open(segment.file.path);
    try {
      const behind = await reader.findBehind(from, chain);
      const { proof, unproven } = behind;
      if (proof !== undefined) throw damageBy(proof, segment, ended, segments, end);
      if (behind.undecided !== undefined) {
        undecided ??= { file: segment.file.path, offset: behind.undecided };
      }
      // Those that an earlier cut left say so: the log has synced more since they were written.
      const lost = unproven.filter(({ durable }) => durable >= end.durable);
      newest = Math.max(newest, ...lost.map(({ number }) => number));
      const start = segment === ended ? ended.end.offset : FILE_HEADER_BYTES;
      bytes += Math.max(0, (lost.at(-1)?.end ?? start) - start);
    } finally {
      await reader.close();
    }
  }
  if (newest === 0) {
    return { cut: ended.end.kind === 'torn' ? await tornCut(ended) : undefined, undecided };
  }
  const { file, end: place } = ended;
  const batches = newest - chain.next + 1;
  return { cut: { file: file.path, offset: place.offset, bytes, batches }, undecided };
}

function damageBy(
  proof: FoundBatch,
  { file, header }: ReadSegment,
  ended: ReadSegment,
  segments: readonly ReadSegment[],
  { chain, last, snapshot }: ChainEnd,
): DataDamage {
  const stands = `batch ${proof.number} stands whole at byte ${proof.offset}`;
  const missing = missingBefore(file.number, segments[last]?.file.number ?? snapshot, segments);
  if (missing !== undefined) {
    const or = missing === FIRST_NUMBER ? ', or a snapshot that covers it' : '';
    const found = `none, although ${stands}`;
    return new DataDamage(file.path, 0, `segment ${missing} before this one${or}`, found);
  }
  if (header === undefined) {
    const expected = 'the header of this segment';
    return new DataDamage(file.path, 0, expected, `another, although ${stands}`);
  }
  const where = ended.file === file ? '' : ` of ${file.path}`;
  const found = `other bytes, although ${stands}${where}`;
  return new DataDamage(ended.file.path, ended.end.offset, `batch ${chain.next}`, found);
}

/** The first number after `after` and before `number` that no segment has. */
function missingBefore(
  number: number,
  after: number,
  segments: readonly ReadSegment[],
): number | undefined {
  let expected = after + 1;
  for (const { file } of segments) {
    if (file.number <= after) continue;
    if (file.number !== expected) return expected;
    if (file.number === number) return undefined;
    expected++;
  }
  return undefined;
}

/** The beginning of a batch at the end of a segment that is torn there. */
async function tornCut({ file, end }: ReadSegment): Promise<Cut> {
  const { path, bytes: fileBytes } = file;
  const { offset } = end;
  const reader = await SegmentReader.open(path);
  try {
    const start = await reader.bytesAt(offset, BATCH_HEADER_BYTES);
    const left = fileBytes - offset;
    if (start.length < BATCH_HEADER_BYTES) return { file: path, offset, bytes: left, batches: 1 };
    const { bodyLength } = readBatchHeader(new DataView(start.buffer), 0);
    const bytes = Math.min(left, BATCH_HEADER_BYTES + bodyLength);
    return { file: path, offset, bytes, batches: 1 };
  } finally {
    await reader.close();
  }
}
