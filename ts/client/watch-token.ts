// The place of a watch as an opaque text that outlives connection and process: which node (or log), how many
// partitions it has, and the position, the sum of their revisions. Each worker of a node has a log of its own: what
// is spread over several has a place in each, in the order of the workers.

import { RESUME_BYTES, writeU64 } from '../wire/layout.js';
import { WORKERS_MAX } from '../wire/limits.js';

/** Whose positions: those of two origins say nothing about each other. */
export interface Origin {
  readonly node: number;
  readonly partitions: number;
}

export interface Place extends Origin {
  readonly position: number;
}

/** One a worker; not empty. */
export type Places = readonly Place[];

/** Version 1 is of one worker; version 2 has node and position of each, and the partitions once, before them. */
const VERSION_OF_ONE = '1';
const VERSION_OF_SEVERAL = '2';
const RADIX = 36;
const SHAPE = /^(?:1(?:\.[0-9a-z]{1,11}){3}|2(?:\.[0-9a-z]{1,11}){5,})$/;

export function tokenOf(places: Places): string {
  const [{ partitions }] = places as [Place];
  const texts = places.flatMap(({ node, position }) => [
    node.toString(RADIX),
    position.toString(RADIX),
  ]);
  if (places.length > 1)
    return [VERSION_OF_SEVERAL, partitions.toString(RADIX), ...texts].join('.');
  return [VERSION_OF_ONE, texts[0], partitions.toString(RADIX), texts[1]].join('.');
}

/** The places that a token names; undefined where it is none. */
export function placesOf(token: string): Places | undefined {
  if (typeof token !== 'string' || !SHAPE.test(token)) return undefined;
  const [version, ...parts] = token.split('.');
  const figures = parts.map((part) => Number.parseInt(part, RADIX));
  if (!figures.every(Number.isSafeInteger)) return undefined;
  if (version === VERSION_OF_ONE) {
    const [node, partitions, position] = figures as [number, number, number];
    return partitions < 2 ** 32 ? [{ node, partitions, position }] : undefined;
  }
  const [partitions, ...pairs] = figures as [number, ...number[]];
  if (partitions >= 2 ** 32 || pairs.length % 2 !== 0 || pairs.length / 2 > WORKERS_MAX) {
    return undefined;
  }
  return Array.from({ length: pairs.length / 2 }, (_, index) => {
    const [node, position] = pairs.slice(index * 2) as [number, number];
    return { node, partitions, position };
  });
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
