// The values of session, hold and fence records as bytes; their layout is in `records.ts`.

import { readU64, writeU64 } from '../wire/layout.js';
import type { Hold } from './locks.js';
import { SESSION_VALUE_BYTES, type Session } from './sessions.js';

const HOLD_VALUE_BYTES = 24;
export const FENCE_VALUE_BYTES = 8;
/** Where a session's value has what stands for its secret. */
const DIGEST_AT = 8;

// Where a hold's value has what.
const SESSION_AT = 0;
const GRANTED_AT = 8;
const ID_AT = 16;
const DEPTH_AT = 20;
const MODE_AT = 22;
const ZERO_AT = 23;

export interface HoldFields {
  readonly session: number;
  readonly grantedAt: number;
  readonly id: number;
  readonly depth: number;
  readonly mode: number;
  /** Zero in a valid record. */
  readonly zero: number;
}

export function sessionValue({ ttlMs, digest }: Session): Uint8Array {
  const value = new Uint8Array(SESSION_VALUE_BYTES);
  writeU64(new DataView(value.buffer), 0, ttlMs);
  value.set(digest, DIGEST_AT);
  return value;
}

export function readSessionValue(value: Uint8Array): { ttlMs: number; digest: Uint8Array } {
  return { ttlMs: readU64(viewOf(value), 0), digest: value.slice(DIGEST_AT) };
}

export function holdValue({ session, grantedAt, id, depth, mode }: Hold): Uint8Array {
  const value = new Uint8Array(HOLD_VALUE_BYTES);
  const view = new DataView(value.buffer);
  writeU64(view, SESSION_AT, session);
  writeU64(view, GRANTED_AT, grantedAt);
  view.setUint32(ID_AT, id, true);
  view.setUint16(DEPTH_AT, depth, true);
  view.setUint8(MODE_AT, mode);
  return value;
}

export function readHoldValue(value: Uint8Array): HoldFields {
  const view = viewOf(value);
  return {
    session: readU64(view, SESSION_AT),
    grantedAt: readU64(view, GRANTED_AT),
    id: view.getUint32(ID_AT, true),
    depth: view.getUint16(DEPTH_AT, true),
    mode: view.getUint8(MODE_AT),
    zero: view.getUint8(ZERO_AT),
  };
}

export function fenceValue(token: number): Uint8Array {
  const value = new Uint8Array(FENCE_VALUE_BYTES);
  writeU64(new DataView(value.buffer), 0, token);
  return value;
}

export function readFenceValue(value: Uint8Array): number {
  return readU64(viewOf(value), 0);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
