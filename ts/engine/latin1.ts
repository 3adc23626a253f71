// Keys as Latin-1 strings: one char a byte, so that a Map hashes them at full speed and string order
// is byte order.

interface Latin1Source extends Uint8Array {
  /** On every Node Buffer, without the option handling of `toString`. */
  latin1Slice?(start: number, end: number): string;
}

/** The bytes `[start, end)`, one char each. */
export function latin1(bytes: Latin1Source, start: number, end: number): string {
  if (bytes.latin1Slice !== undefined) return bytes.latin1Slice(start, end);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', start, end);
}

/** The bytes of a Latin-1 string. */
export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
