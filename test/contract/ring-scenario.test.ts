// Ten nodes that hold at most four blocks each, and eight blocks of 1,024 bytes: placement, a full node that
// passes on, a node that leaves, and all data still found.

import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { plan, Ring, type RingMember } from '../../ts/engine/ring.js';

const BLOCKS = 8;
const BLOCK_BYTES = 1024;
const CAPACITY = 4;

const nodesOf = (seed: number, capacity: number): RingMember[] =>
  Array.from({ length: 10 }, (_, index) => ({ name: `node-${index}.${seed}`, capacity }));
const ownerOf = (ring: Ring, block: number) => ring.names[ring.owners[block] as number] as string;

/** Ten nodes of which one would get more than its four blocks, did it not pass on. */
function crowdedSeed(): number {
  for (let seed = 0; ; seed++) {
    if (Math.max(...new Ring(nodesOf(seed, BLOCKS), BLOCKS).loads()) > CAPACITY) return seed;
  }
}

it('ten nodes hold eight blocks, pass on what has no room, and lose none when one leaves', () => {
  const seed = crowdedSeed();
  const unbounded = new Ring(nodesOf(seed, BLOCKS), BLOCKS);
  const ring = new Ring(nodesOf(seed, CAPACITY), BLOCKS);
  expect(Math.max(...ring.loads())).toBe(CAPACITY);
  const full = ring.names[ring.loads().indexOf(CAPACITY)] as string;

  // What the full node passes on is what comes after its fourth block, and nothing else moves but by that.
  const wanted = Array.from({ length: BLOCKS }, (_, block) => block).filter(
    (block) => ownerOf(unbounded, block) === full,
  );
  expect(wanted.length).toBeGreaterThan(CAPACITY);
  const kept = wanted.filter((block) => ownerOf(ring, block) === full);
  expect(kept).toEqual(wanted.slice(0, CAPACITY));

  const blocks = Array.from({ length: BLOCKS }, () => randomBytes(BLOCK_BYTES));
  const stores = new Map(ring.names.map((name) => [name, new Map<number, Buffer>()]));
  for (const [block, data] of blocks.entries()) {
    stores.get(ownerOf(ring, block))?.set(block, data);
  }
  const find = (where: Ring, block: number) => stores.get(ownerOf(where, block))?.get(block);
  expect(blocks.map((_, block) => find(ring, block))).toEqual(blocks);

  const left = new Ring(
    nodesOf(seed, CAPACITY).filter(({ name }) => name !== full),
    BLOCKS,
  );
  for (const { partition, from, to } of plan(ring, left)) {
    const data = stores.get(from)?.get(partition) as Buffer;
    stores.get(to)?.set(partition, data);
    stores.get(from)?.delete(partition);
  }
  expect(stores.get(full)?.size).toBe(0);
  stores.delete(full);
  expect(blocks.map((_, block) => find(left, block))).toEqual(blocks);
  for (const store of stores.values()) expect(store.size).toBeLessThanOrEqual(CAPACITY);
});
