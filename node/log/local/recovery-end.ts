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
import { type SegmentEnd, SegmentReader } from './segment-reader.js';

/** A segment that was read. */
export interface ReadSegment {
  readonly file: NumberedFile;
  /** Undefined where it has none of its own. */
  readonly header: SegmentHeader | undefined;
  readonly end: SegmentEnd;
  readonly sealed: SealedSegment;
  readonly hasBatches: boolean;
}

/** A write that a crash cut short. */
export interface Cut {
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * `chain` ended in segment `last`, -1 where no segment goes on from it. Throws `DATA_DAMAGED` where a
 * whole batch lies behind that end, in the rest of the segment or in a later one. `snapshot` is the
 * newest segment that the snapshot covers.
 */
export async function checkEnd(
  segments: readonly ReadSegment[],
  last: number,
  chain: Chain,
  snapshot: number,
): Promise<void> {
  const first = Math.max(0, last);
  for (const segment of segments.slice(first)) {
    const { file, header, end } = segment;
    const isLast = segment === segments[last];
    const reader = await SegmentReader.open(file.path);
    try {
      const from = isLast ? end.offset : FILE_HEADER_BYTES;
      const later = await reader.findLaterBatch(from, chain.next, chain.logId);
      if (later === undefined) continue;
      const stands = `batch ${later.number} stands whole at byte ${later.offset}`;
      const missing = missingBefore(file.number, segments[last]?.file.number ?? snapshot, segments);
      if (missing !== undefined) {
        const or = missing === FIRST_NUMBER ? ', or a snapshot that covers it' : '';
        const found = `none, although ${stands}`;
        throw new DataDamage(file.path, 0, `segment ${missing} before this one${or}`, found);
      }
      if (header === undefined) {
        const expected = 'the header of this segment';
        throw new DataDamage(file.path, 0, expected, `another, although ${stands}`);
      }
      // What is missing stood where something still claims to be it, else where the chain ended.
      const tail = segments.slice(first);
      const ended = tail.find((one) => one.end.kind === 'torn') ?? tail[0] ?? segment;
      const where = ended === segment ? '' : ` of ${file.path}`;
      const found = `other bytes, although ${stands}${where}`;
      throw new DataDamage(ended.file.path, ended.end.offset, `batch ${chain.next}`, found);
    } finally {
      await reader.close();
    }
  }
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
export async function cutOf(segment: ReadSegment | undefined): Promise<Cut | undefined> {
  if (segment === undefined) return undefined;
  const { path, bytes: fileBytes } = segment.file;
  const { offset } = segment.end;
  const reader = await SegmentReader.open(path);
  try {
    const start = await reader.bytesAt(offset, BATCH_HEADER_BYTES);
    const left = fileBytes - offset;
    if (start.length < BATCH_HEADER_BYTES) return { file: path, offset, bytes: left };
    const { bodyLength } = readBatchHeader(new DataView(start.buffer), 0);
    return { file: path, offset, bytes: Math.min(left, BATCH_HEADER_BYTES + bodyLength) };
  } finally {
    await reader.close();
  }
}
