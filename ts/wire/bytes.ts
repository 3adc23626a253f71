// Copying and comparing short runs of bytes. A plain loop beats the built-in calls for the lengths
// that keys and most values have, because those first make a view.

/** Bytes up to which a loop is the faster copy. */
const LOOP_BYTES_MAX = 48;

/** Copies `source[start, end)` to `target` at `at`. */
export function copyBytes(
  target: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): void {
  if (end - start > LOOP_BYTES_MAX) {
    target.set(source.subarray(start, end), at);
    return;
  }
  for (let from = start, to = at; from < end; from++, to++) target[to] = source[from] as number;
}

/** Below 0, 0 or above 0 as `left[…)` sorts before, with or after `right[…)`, byte by byte. */
export function compareBytes(
  left: Uint8Array,
  leftStart: number,
  leftEnd: number,
  right: Uint8Array,
  rightStart: number,
  rightEnd: number,
): number {
  const leftLength = leftEnd - leftStart;
  const rightLength = rightEnd - rightStart;
  const shared = Math.min(leftLength, rightLength);
  for (let index = 0; index < shared; index++) {
    const difference = (left[leftStart + index] as number) - (right[rightStart + index] as number);
    if (difference !== 0) return difference;
  }
  return leftLength - rightLength;
}
