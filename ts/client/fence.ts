// Fenced writes: in front of the value stand the token and the name of a lock, and the node refuses the write
// where it knows of a newer holder. So a holder that was paused and does not know it cannot do harm.
// (M. Kleppmann, "How to do distributed locking", 2016.)

import { FENCE_HEAD_BYTES, writeU64 } from '../wire/layout.js';
import { INTEGER_LIMIT } from '../wire/limits.js';
import { invalidArgument, type RondoError } from './errors.js';
import { keyError } from './key.js';

export interface Fence {
  /** Name of the lock. */
  readonly lock: string;
  /** Of the grant: `lock.token`. */
  readonly token: number;
}

const encoder = new TextEncoder();

export function fenceError(fence: Fence | undefined): RondoError | undefined {
  if (fence === undefined) return undefined;
  const { lock, token } = fence;
  if (!Number.isInteger(token) || token < 1 || token >= INTEGER_LIMIT) {
    return invalidArgument('fence.token is the token of a lock');
  }
  return keyError(lock, false);
}

/** The value as it goes to the node with the fence before it. */
export function fenced(fence: Fence, value: string | Uint8Array | undefined): Uint8Array {
  const name = encoder.encode(fence.lock);
  const rest = typeof value === 'string' ? encoder.encode(value) : value;
  const valueAt = FENCE_HEAD_BYTES + name.length;
  const bytes = new Uint8Array(valueAt + (rest?.length ?? 0));
  const view = new DataView(bytes.buffer);
  writeU64(view, 0, fence.token);
  view.setUint16(FENCE_HEAD_BYTES - 2, name.length, true);
  bytes.set(name, FENCE_HEAD_BYTES);
  if (rest !== undefined) bytes.set(rest, valueAt);
  return bytes;
}
