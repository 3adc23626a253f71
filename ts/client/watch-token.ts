// The place of a watch as an opaque text that outlives connection and process: which node (or log), how many
// partitions it has, and the position, the sum of their revisions.

import { RESUME_BYTES, writeU64 } from '../wire/layout.js';

/** Whose positions: those of two origins say nothing about each other. */
export interface Origin {
  readonly node: number;
  readonly partitions: number;
}

export interface Place extends Origin {
  readonly position: number;
}

const VERSION = '1';
const RADIX = 36;
const SHAPE = /^1(?:\.[0-9a-z]{1,11}){3}$/;

export function tokenOf(origin: Origin, position: number): string {
  const { node, partitions } = origin;
  return `${VERSION}.${node.toString(RADIX)}.${partitions.toString(RADIX)}.${position.toString(RADIX)}`;
}

/** The place that a token names; undefined where it is none. */
export function placeOf(token: string): Place | undefined {
  if (typeof token !== 'string' || !SHAPE.test(token)) return undefined;
  const [node = Number.NaN, partitions = Number.NaN, position = Number.NaN] = token
    .split('.')
    .slice(1)
    .map((part) => Number.parseInt(part, RADIX));
  if (!Number.isSafeInteger(node) || !Number.isSafeInteger(position)) return undefined;
  return partitions < 2 ** 32 ? { node, partitions, position } : undefined;
}

/** The place as the value of a Watch operation that goes on from it. */
export function resumeBytes({ node, partitions, position }: Place): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RESUME_BYTES);
  const view = new DataView(bytes.buffer);
  writeU64(view, 0, node);
  view.setUint32(8, partitions, true);
  writeU64(view, 16, position);
  return bytes;
}
