// What may be a key, or the name of a lock, as far as its content goes.

import { isUtf8 } from 'node:buffer';

/** Whether `bytes[start, end)` is not empty and UTF-8. */
export function isValidKey(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end) return false;
  for (let at = start; at < end; at++) {
    if ((bytes[at] as number) > 0x7f) return isUtf8(bytes.subarray(start, end));
  }
  return true;
}
