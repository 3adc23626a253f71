// Counters are stored as canonical decimal text of a signed 64-bit integer, so that a counter is also
// readable as a plain value: `0`, or an optional `-` and digits without a leading zero.

/** Bytes of the longest such text, `-9223372036854775808`. */
export const DECIMAL_BYTES_MAX = 20;

const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

/** The number that `bytes[start, end)` spells, or undefined where it is not canonical or out of range. */
export function parseDecimal(bytes: Uint8Array, start: number, end: number): bigint | undefined {
  const digitsAt = bytes[start] === MINUS ? start + 1 : start;
  const length = end - start;
  if (digitsAt >= end || length > DECIMAL_BYTES_MAX) return undefined;
  if (bytes[digitsAt] === ZERO && length > 1) return undefined;
  let text = digitsAt > start ? '-' : '';
  for (let at = digitsAt; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < ZERO || byte > NINE) return undefined;
    text += String.fromCharCode(byte);
  }
  const value = BigInt(text);
  return inRange(value) ? value : undefined;
}

/** Writes the text of a number to the start of `bytes` and returns its length. */
export function writeDecimal(bytes: Uint8Array, value: bigint): number {
  const text = value.toString();
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return text.length;
}

/** The sum, or undefined where it does not fit 64 bits. */
export function addChecked(left: bigint, right: bigint): bigint | undefined {
  const sum = left + right;
  return inRange(sum) ? sum : undefined;
}

function inRange(value: bigint): boolean {
  return value >= MIN && value <= MAX;
}
