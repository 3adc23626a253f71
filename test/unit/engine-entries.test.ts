// The entries of the TypeScript engine where their arena is at its end. The Rust ones have the same
// test in `core-native/src/arena.rs`.

import { expect, it } from 'vitest';
import { Entries } from '../../ts/engine/entries.js';

it('keeps a smaller value in its block where no chunk is left', () => {
  // With every chunk taken (8 GiB of large values do that), a small value in place of a large one
  // asked for a chunk more, and the engine threw.
  const entries = new Entries();
  const key = new Uint8Array(3);
  const handle = entries.add(key, 0, 3, new Uint8Array(300_000), 0, 300_000, 0);
  expect([entries.fits(handle, 1), entries.fits(handle, 400_000)]).toEqual([false, false]);
  (entries.arena as unknown as { chunks: unknown[] }).chunks.length = 2 ** 15;
  expect([entries.fits(handle, 1), entries.fits(handle, 400_000)]).toEqual([true, false]);
});
