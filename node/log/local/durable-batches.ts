// Reads batches back from the segments of a log that is open: from its own files, and only what is
// durable. Recovery has a reader of its own, which has to tell a torn tail from damage.

import { LOG_READ_BYTES } from '../../limits.js';
import { type LogBatch, LogError } from '../log.js';
import { type Chain, isWhole, nextBatch, readBatchHeader } from './batch.js';
import type { Files } from './files.js';
import { BATCH_HEADER_BYTES, decodeSegmentHeader, FILE_HEADER_BYTES } from './format.js';

export interface SegmentFile {
  readonly number: number;
  readonly path: string;
}

/**
 * The first batch of a segment as the chain that it continues; undefined where it has none, or is no
 * segment of this log any more.
 */
export async function firstOf(
  files: Files,
  segment: SegmentFile,
  logId: bigint,
): Promise<Chain | undefined> {
  const bytes = new Uint8Array(FILE_HEADER_BYTES + BATCH_HEADER_BYTES);
  const fd = await files.open(segment.path, 'read');
  try {
    if ((await files.read(fd, bytes, 0, bytes.length, 0)) < bytes.length) return undefined;
  } finally {
    await files.close(fd);
  }
  const header = decodeSegmentHeader(bytes);
  if (typeof header === 'string' || header.logId !== logId || header.segment !== segment.number) {
    return undefined;
  }
  const { before, number } = readBatchHeader(new DataView(bytes.buffer), FILE_HEADER_BYTES);
  return number === 0 ? undefined : { logId, before, next: number };
}

/**
 * The batches of a segment with numbers above `after` and up to `last`, which is durable, oldest first;
 * moves `chain`, which its first batch continues, on. Ends early where bytes do not continue the chain.
 */
export async function* batchesOf(
  files: Files,
  segment: SegmentFile,
  chain: Chain,
  after: number,
  last: number,
): AsyncGenerator<LogBatch, void, undefined> {
  const fd = await files.open(segment.path, 'read');
  try {
    let bytes = new Uint8Array(LOG_READ_BYTES);
    // Over what was read and no further.
    let view = new DataView(bytes.buffer, 0, 0);
    let [start, position] = [0, FILE_HEADER_BYTES];
    while (chain.next <= last) {
      const length = nextBatch(view, start, chain);
      if (length === 'invalid') return;
      if (length === 'short') {
        const left = bytes.subarray(start, view.byteLength);
        const needed = neededFor(view, start);
        if (needed > bytes.length) bytes = new Uint8Array(needed);
        bytes.set(left);
        const room = bytes.length - left.length;
        const count = await files.read(fd, bytes, left.length, room, position);
        if (count === 0) return;
        view = new DataView(bytes.buffer, 0, left.length + count);
        [start, position] = [0, position + count];
        continue;
      }
      if (!isWhole(view, start, length, chain.logId)) return;
      const { checksum, number, time } = readBatchHeader(view, start);
      chain.before = checksum;
      chain.next++;
      const records = bytes.subarray(start + BATCH_HEADER_BYTES, start + length);
      start += length;
      if (number > after) yield { number, time, records };
    }
  } finally {
    await files.close(fd);
  }
}

/** Bytes of the batch that begins at `at`, as far as its header is there. */
function neededFor(view: DataView, at: number): number {
  if (view.byteLength - at < BATCH_HEADER_BYTES) return BATCH_HEADER_BYTES;
  return BATCH_HEADER_BYTES + readBatchHeader(view, at).bodyLength;
}

export function damaged(path: string, number: number): LogError {
  return new LogError(
    'DATA_DAMAGED',
    `Batch ${number} should be in ${path} and is not whole there. Stop the node and restore the data directory from a copy.`,
  );
}
