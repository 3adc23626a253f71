// XXH64 in plain TypeScript, for the checksums of log and snapshots
// (github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). A 64-bit word is kept as two 32-bit halves:
// BigInt arithmetic allocates, and is some fifty times slower. A helper returns the lower half of its
// answer and leaves the upper one in `upper`.

const P1_LOWER = 0x85ebca87 | 0;
const P1_UPPER = 0x9e3779b1 | 0;
const P2_LOWER = 0x27d4eb4f | 0;
const P2_UPPER = 0xc2b2ae3d | 0;
const P3_LOWER = 0x9e3779f9 | 0;
const P3_UPPER = 0x165667b1 | 0;
const P4_LOWER = 0xc2b2ae63 | 0;
const P4_UPPER = 0x85ebca77 | 0;
const P5_LOWER = 0x165667c5 | 0;
const P5_UPPER = 0x27d4eb2f | 0;

const STRIPE_BYTES = 32;

let upper = 0;

function multiply(lower: number, higher: number, byLower: number, byHigher: number): number {
  const l0 = lower & 0xffff;
  const l1 = lower >>> 16;
  const b0 = byLower & 0xffff;
  const b1 = byLower >>> 16;
  // No sum below exceeds 2^32 - 1.
  const middle = ((Math.imul(l1, b0) >>> 0) + (Math.imul(l0, b0) >>> 16)) >>> 0;
  const carry = ((Math.imul(l0, b1) >>> 0) + (middle & 0xffff)) >>> 0;
  const product = Math.imul(l1, b1) + (middle >>> 16) + (carry >>> 16);
  upper = (product + Math.imul(lower, byHigher) + Math.imul(higher, byLower)) | 0;
  return Math.imul(lower, byLower);
}

function add(lower: number, higher: number, toLower: number, toHigher: number): number {
  const sum = (lower >>> 0) + (toLower >>> 0);
  upper = (higher + toHigher + (sum > 0xffffffff ? 1 : 0)) | 0;
  return sum | 0;
}

/** One lane of a stripe: `rotl(lane + word * P2, 31) * P1`. */
function round(lower: number, higher: number, wordLower: number, wordHigher: number): number {
  const product = multiply(wordLower, wordHigher, P2_LOWER, P2_UPPER);
  const sum = add(product, upper, lower, higher);
  const rotated = (sum << 31) | (upper >>> 1);
  return multiply(rotated, (upper << 31) | (sum >>> 1), P1_LOWER, P1_UPPER);
}

/** Takes a lane into the hash: `(hash ^ round(0, lane)) * P1 + P4`. */
function merge(lower: number, higher: number, laneLower: number, laneHigher: number): number {
  const lane = round(0, 0, laneLower, laneHigher);
  const product = multiply(lower ^ lane, higher ^ upper, P1_LOWER, P1_UPPER);
  return add(product, upper, P4_LOWER, P4_UPPER);
}

/** The XXH64 of `view[start, end)` under a seed of 64 bits. */
export function xxh64(view: DataView, start: number, end: number, seed: bigint): bigint {
  const seedLower = Number(seed & 0xffffffffn) | 0;
  const seedUpper = Number(seed >> 32n) | 0;
  let at = start;
  let lower: number;
  let higher: number;
  if (end - start >= STRIPE_BYTES) {
    let a = add(P1_LOWER, P1_UPPER, P2_LOWER, P2_UPPER);
    a = add(a, upper, seedLower, seedUpper);
    let aUpper = upper;
    let b = add(P2_LOWER, P2_UPPER, seedLower, seedUpper);
    let bUpper = upper;
    let c = seedLower;
    let cUpper = seedUpper;
    // Minus P1 is its complement plus 1.
    let d = add(~P1_LOWER, ~P1_UPPER, 1, 0);
    d = add(d, upper, seedLower, seedUpper);
    let dUpper = upper;
    for (; end - at >= STRIPE_BYTES; at += STRIPE_BYTES) {
      a = round(a, aUpper, view.getInt32(at, true), view.getInt32(at + 4, true));
      aUpper = upper;
      b = round(b, bUpper, view.getInt32(at + 8, true), view.getInt32(at + 12, true));
      bUpper = upper;
      c = round(c, cUpper, view.getInt32(at + 16, true), view.getInt32(at + 20, true));
      cUpper = upper;
      d = round(d, dUpper, view.getInt32(at + 24, true), view.getInt32(at + 28, true));
      dUpper = upper;
    }
    lower = add(
      (a << 1) | (aUpper >>> 31),
      (aUpper << 1) | (a >>> 31),
      (b << 7) | (bUpper >>> 25),
      (bUpper << 7) | (b >>> 25),
    );
    lower = add(lower, upper, (c << 12) | (cUpper >>> 20), (cUpper << 12) | (c >>> 20));
    lower = add(lower, upper, (d << 18) | (dUpper >>> 14), (dUpper << 18) | (d >>> 14));
    lower = merge(lower, upper, a, aUpper);
    lower = merge(lower, upper, b, bUpper);
    lower = merge(lower, upper, c, cUpper);
    lower = merge(lower, upper, d, dUpper);
    higher = upper;
  } else {
    lower = add(seedLower, seedUpper, P5_LOWER, P5_UPPER);
    higher = upper;
  }
  lower = add(lower, higher, end - start, 0);
  higher = upper;

  for (; end - at >= 8; at += 8) {
    const word = round(0, 0, view.getInt32(at, true), view.getInt32(at + 4, true));
    const mixed = lower ^ word;
    const mixedUpper = higher ^ upper;
    const rotated = (mixed << 27) | (mixedUpper >>> 5);
    lower = multiply(rotated, (mixedUpper << 27) | (mixed >>> 5), P1_LOWER, P1_UPPER);
    lower = add(lower, upper, P4_LOWER, P4_UPPER);
    higher = upper;
  }
  if (end - at >= 4) {
    const word = multiply(view.getInt32(at, true), 0, P1_LOWER, P1_UPPER);
    const mixed = lower ^ word;
    const mixedUpper = higher ^ upper;
    const rotated = (mixed << 23) | (mixedUpper >>> 9);
    lower = multiply(rotated, (mixedUpper << 23) | (mixed >>> 9), P2_LOWER, P2_UPPER);
    lower = add(lower, upper, P3_LOWER, P3_UPPER);
    higher = upper;
    at += 4;
  }
  for (; at < end; at++) {
    const byte = multiply(view.getUint8(at), 0, P5_LOWER, P5_UPPER);
    const mixed = lower ^ byte;
    const mixedUpper = higher ^ upper;
    const rotated = (mixed << 11) | (mixedUpper >>> 21);
    lower = multiply(rotated, (mixedUpper << 11) | (mixed >>> 21), P1_LOWER, P1_UPPER);
    higher = upper;
  }

  // Avalanche: `h ^= h >> 33; h *= P2; h ^= h >> 29; h *= P3; h ^= h >> 32`.
  lower = multiply(lower ^ (higher >>> 1), higher, P2_LOWER, P2_UPPER);
  higher = upper;
  lower = multiply(
    lower ^ ((lower >>> 29) | (higher << 3)),
    higher ^ (higher >>> 29),
    P3_LOWER,
    P3_UPPER,
  );
  higher = upper;
  return (BigInt(higher >>> 0) << 32n) | BigInt((lower ^ higher) >>> 0);
}
