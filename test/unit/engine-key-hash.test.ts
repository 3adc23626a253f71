// The keyed hash of the TypeScript engine's tables. The Rust engine's has its test in
// `core-native/src/keyspace.rs`.

import { expect, it } from 'vitest';
import { keyHash } from '../../ts/engine/key-hash.js';
import { xxh32 } from '../../ts/wire/xxh32.js';

const PAIRS = 64;
const SEEDS = [0, 1, 0x9e3779b9, 0xffffffff];

/** A key of words in which one pair is changed so that it cancels out in XXH32, seed or no seed. */
function chosenKey(changed: number): Uint8Array {
  const key = new Uint8Array(PAIRS * 8);
  const view = new DataView(key.buffer);
  for (let pair = 0; pair < PAIRS; pair++) {
    const at = (pair >> 2) * 32 + (pair & 3) * 4;
    const [first, second] = [Math.imul(pair + 1, 0x01010101), Math.imul(pair + 7, 0x01030507)];
    // 2^30 in the lane becomes 2^11 by the rotation; both divided by the multiplier of the input.
    view.setUint32(at, pair === changed ? first + Math.imul(2 ** 30, INVERSE_2) : first, true);
    const lessened = second - Math.imul(Math.imul(2 ** 11, PRIME_1), INVERSE_2);
    view.setUint32(at + 16, pair === changed ? lessened : second, true);
  }
  return key;
}

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
/** Of PRIME_2, modulo 2^32. */
const INVERSE_2 = inverse(PRIME_2);

function inverse(odd: number): number {
  let found = 1;
  for (let step = 0; step < 5; step++) found = Math.imul(found, 2 - Math.imul(odd, found));
  return found;
}

it.each(SEEDS)('keeps keys apart that collide in XXH32, under seed %i', (seed) => {
  // The tables were keyed with XXH32: 4,096 such keys held the engine up for 20 seconds.
  const keys = Array.from({ length: PAIRS }, (_, pair) => chosenKey(pair));
  const of = (hash: typeof keyHash) => new Set(keys.map((key) => hash(key, 0, key.length, seed)));
  expect(of(xxh32).size).toBeLessThan(PAIRS - 16);
  expect(of(keyHash).size).toBe(PAIRS);
});

it('reads its range only, to the last byte, and depends on the seed', () => {
  const bytes = Uint8Array.from({ length: 40 }, (_, index) => index);
  for (let length = 0; length < 32; length++) {
    const own = keyHash(bytes.slice(3, 3 + length), 0, length, 5);
    expect(keyHash(bytes, 3, 3 + length, 5)).toBe(own);
    expect(keyHash(bytes, 3, 4 + length, 5)).not.toBe(own);
    expect(keyHash(bytes, 3, 3 + length, 6)).not.toBe(own);
  }
});
