// Where a watch goes on after its connection was lost: a place in the records of one node.

import { RESUME_BYTES, readU64 } from '../../ts/wire/layout.js';

/** The position of a token of RESUME_BYTES; undefined where it is of another node or number of partitions. */
export function resumePosition(
  token: Uint8Array,
  node: number,
  partitions: number,
): number | undefined {
  const view = new DataView(token.buffer, token.byteOffset, RESUME_BYTES);
  const isOurs = readU64(view, 0) === node && view.getUint32(8, true) === partitions;
  return isOurs && view.getUint32(12, true) === 0 ? readU64(view, 16) : undefined;
}
