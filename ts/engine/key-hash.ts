// HalfSipHash-1-3: the hash of a key within its partition's table. Keyed with a secret seed, and unlike
// XXH32 made so that nobody can choose keys that collide under a seed that they do not know: of XXH32,
// pairs of words are known that cancel out under one seed in two.
// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", and https://github.com/veorq/SipHash

/** The hash of `bytes[start, end)` under a seed of 32 bits, as an unsigned 32-bit integer. */
export function keyHash(bytes: Uint8Array, start: number, end: number, seed: number): number {
  const other = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 0;
  let v0 = seed | 0;
  let v1 = other;
  let v2 = 0x6c796765 ^ seed;
  let v3 = 0x74656462 ^ other;
  const length = end - start;
  const wordsEnd = end - (length & 3);
  let at = start;
  // A round for each word and for the rest with the length, then three rounds more.
  for (let closing = 0; closing < 4; ) {
    let word = 0;
    if (at < wordsEnd) {
      word =
        (bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24);
      at += 4;
    } else if (closing++ === 0) {
      word = length << 24;
      for (let shift = 0; at < end; at++, shift += 8) word |= (bytes[at] as number) << shift;
    } else if (closing === 2) {
      v2 ^= 0xff;
    }
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return (v1 ^ v3) >>> 0;
}
