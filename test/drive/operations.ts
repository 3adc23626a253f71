// Operations as tests write them, and their request frame. Every field can be set, to what no client
// would send as well; 64-bit fields take a bigint where a double would not do.

import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  CONDITION_IF_ABSENT,
  CONDITION_IF_REVISION,
  FLAG_KEYS_ONLY,
  HEADER_BYTES,
  OPERATION_BYTES,
  OPERATION_EXPECTED_REVISION,
  OPERATION_TTL_MS,
  TTL_KEEP,
  TTL_SET,
} from '../../ts/wire/layout.js';
import { RequestWriter } from '../../ts/wire/request.js';

export interface Operation {
  readonly code: number;
  readonly key: Uint8Array;
  /** One more than the one before, from 1 on, where left out. */
  readonly id?: number;
  readonly flags?: number;
  readonly value?: Uint8Array;
  readonly limit?: number;
  readonly ttlMs?: number | bigint;
  readonly expectedRevision?: number | bigint;
}

type Bytes = string | Uint8Array;

/** What a write asks of the key's time to live: a number sets it. */
export type Ttl = number | 'keep' | undefined;

/** Code points above 255 are encoded as UTF-8, and so are all others. */
export function bytes(text: Bytes): Uint8Array {
  return typeof text === 'string' ? new TextEncoder().encode(text) : text;
}

export function get(key: Bytes, options: { keysOnly?: boolean } = {}): Operation {
  const flags = options.keysOnly === true ? FLAG_KEYS_ONLY : 0;
  return { code: OperationCode.Get, key: bytes(key), flags };
}

export function put(
  key: Bytes,
  value: Bytes,
  options: { ifAbsent?: boolean; ifRevision?: number; ttl?: Ttl } = {},
): Operation {
  const condition =
    options.ifAbsent === true
      ? CONDITION_IF_ABSENT
      : options.ifRevision === undefined
        ? 0
        : CONDITION_IF_REVISION;
  return {
    code: OperationCode.Put,
    key: bytes(key),
    value: bytes(value),
    flags: condition | ttlFlags(options.ttl),
    ttlMs: ttlOf(options.ttl),
    expectedRevision: options.ifRevision ?? 0,
  };
}

export function del(key: Bytes, options: { ifRevision?: number } = {}): Operation {
  const flags = options.ifRevision === undefined ? 0 : CONDITION_IF_REVISION;
  const expectedRevision = options.ifRevision ?? 0;
  return { code: OperationCode.Delete, key: bytes(key), flags, expectedRevision };
}

export function increment(key: Bytes, delta: number | bigint, ttl?: Ttl): Operation {
  return {
    code: OperationCode.Increment,
    key: bytes(key),
    value: deltaBytes(BigInt(delta)),
    flags: ttlFlags(ttl),
    ttlMs: ttlOf(ttl),
  };
}

export function touch(key: Bytes, ttl?: number): Operation {
  const flags = ttlFlags(ttl);
  return { code: OperationCode.Touch, key: bytes(key), flags, ttlMs: ttlOf(ttl) };
}

export function scan(
  prefix: Bytes,
  options: { limit?: number; cursor?: Bytes; keysOnly?: boolean } = {},
): Operation {
  return {
    code: OperationCode.Scan,
    key: bytes(prefix),
    value: bytes(options.cursor ?? ''),
    limit: options.limit ?? 100,
    flags: options.keysOnly === true ? FLAG_KEYS_ONLY : 0,
  };
}

export function deltaBytes(delta: bigint): Uint8Array {
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigInt64(0, delta, true);
  return value;
}

/** A copy in memory of its own. (`slice` of a Buffer would be a view of its pool.) */
export function copyOf(content: Uint8Array): ArrayBuffer {
  return Uint8Array.from(content).buffer;
}

function ttlFlags(ttl: Ttl): number {
  if (ttl === undefined) return 0;
  return ttl === 'keep' ? TTL_KEEP : TTL_SET;
}

function ttlOf(ttl: Ttl): number {
  return typeof ttl === 'number' ? ttl : 0;
}

const writer = new RequestWriter();

/** The request frame of these operations, in memory of its own. */
export function encodeRequest(operations: readonly Operation[]): ArrayBuffer {
  writer.begin(operations.length);
  let id = 0;
  for (const operation of operations) {
    const { code, flags, key, value, limit } = operation;
    id = operation.id ?? id + 1;
    writer.operation(id, code, flags ?? 0, key, value, limit ?? 0, 0, 0);
  }
  const frame = copyOf(writer.finish());
  const view = new DataView(frame);
  for (const [index, operation] of operations.entries()) {
    const at = HEADER_BYTES + index * OPERATION_BYTES;
    view.setBigUint64(at + OPERATION_TTL_MS, BigInt(operation.ttlMs ?? 0), true);
    const expected = BigInt(operation.expectedRevision ?? 0);
    view.setBigUint64(at + OPERATION_EXPECTED_REVISION, expected, true);
  }
  return frame;
}
