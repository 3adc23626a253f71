// Counters are stored as canonical decimal text of a signed 64-bit integer, so that a counter is also
// readable as a plain value: `0`, or an optional `-` and digits without a leading zero.

/** Bytes of the longest such text, `-9223372036854775808`. */
export const DECIMAL_BYTES_MAX = 20;

const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

/** The number that `text` spells, or undefined where it is not canonical or out of range. */
export function parseDecimal(text: Uint8Array): bigint | undefined {
  const digitsAt = text[0] === MINUS ? 1 : 0;
  const digits = text.length - digitsAt;
  if (digits === 0 || text.length > DECIMAL_BYTES_MAX) return undefined;
  if (text[digitsAt] === ZERO && text.length > 1) return undefined;
  let spelled = '';
  for (const byte of text) spelled += String.fromCharCode(byte);
  for (let index = digitsAt; index < text.length; index++) {
    const byte = text[index] as number;
    if (byte < ZERO || byte > NINE) return undefined;
  }
  const value = BigInt(spelled);
  return inRange(value) ? value : undefined;
}

/** The sum, or undefined where it does not fit 64 bits. */
export function addChecked(left: bigint, right: bigint): bigint | undefined {
  const sum = left + right;
  return inRange(sum) ? sum : undefined;
}

function inRange(value: bigint): boolean {
  return value >= MIN && value <= MAX;
}
