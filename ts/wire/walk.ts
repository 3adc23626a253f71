// Walks FlatBuffers from outside without trusting a byte of them: each step checks alignment and
// range before it reads, and answers -1 where the frame is not valid. The FlatBuffers runtime for
// TypeScript has no verifier; these are the checks of the Rust crate's, so that both engines accept
// the same frames. Positions are from the start of the frame.

/** Position of the table that the 32-bit offset at `at` points to, or -1. */
export function followOffset(view: DataView, at: number): number {
  if (at % 4 !== 0 || at + 4 > view.byteLength) return -1;
  return at + view.getUint32(at, true);
}

/** Position of the vtable of the table at `table`, or -1. */
export function vtableOf(view: DataView, table: number): number {
  if (table % 4 !== 0 || table + 4 > view.byteLength) return -1;
  const vtable = table - view.getInt32(table, true);
  if (vtable < 0 || vtable % 2 !== 0 || vtable + 2 > view.byteLength) return -1;
  const length = view.getUint16(vtable, true);
  if (length % 2 !== 0 || vtable + length > view.byteLength) return -1;
  return vtable;
}

/** Position of a field of the table, 0 where it is absent, or -1. `bytes` is the field's inline size. */
export function fieldAt(
  view: DataView,
  table: number,
  vtable: number,
  slot: number,
  bytes: number,
): number {
  if (slot >= view.getUint16(vtable, true)) return 0;
  if (vtable + slot + 2 > view.byteLength) return -1;
  const offset = view.getUint16(vtable + slot, true);
  if (offset === 0) return 0;
  const at = table + offset;
  if (at % bytes !== 0 || at + bytes > view.byteLength) return -1;
  return at;
}

/**
 * Position of the first element of the vector that the offset field at `field` points to, or -1.
 * Its length stands in the four bytes before.
 */
export function vectorAt(view: DataView, field: number, elementBytes: number): number {
  const vector = followOffset(view, field);
  if (vector < 0 || vector % 4 !== 0 || vector + 4 > view.byteLength) return -1;
  const length = view.getUint32(vector, true);
  if (vector + 4 + length * elementBytes > view.byteLength) return -1;
  return vector + 4;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The string that the offset field at `field` points to, or undefined where it is not valid. */
export function stringAt(view: DataView, field: number): string | undefined {
  const start = vectorAt(view, field, 1);
  if (start < 0) return undefined;
  const end = start + view.getUint32(start - 4, true);
  if (end >= view.byteLength || view.getUint8(end) !== 0) return undefined;
  try {
    return decoder.decode(new Uint8Array(view.buffer, view.byteOffset + start, end - start));
  } catch {
    return undefined;
  }
}
