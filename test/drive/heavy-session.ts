// Records of a session that has more than its end may write in one step, as when the logs of several workers, at
// each of which it was full, are made one.

import { RECORD_FLAG_EPHEMERAL } from '../../ts/engine/records.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { digestOf } from './coordination.js';
import { EFFECT_KINDS, type Effect } from './effects.js';
import { bytes } from './operations.js';
import { type EffectRecord, encodeRecords } from './records.js';

export interface HeavySession {
  readonly session: number;
  /** In the order in which they came to be its. */
  readonly keys: readonly string[];
  /** Names, in order of grant. */
  readonly locks: readonly string[];
  /** Without one, the session has no record: what it has is a guest's. */
  readonly ttlMs?: number | undefined;
  /** LOCK_*; exclusive without one. */
  readonly mode?: number;
}

/** Names of `length` bytes and more, each another. */
export function longNames(prefix: string, count: number, length: number): string[] {
  return Array.from({ length: count }, (_, at) => `${prefix}${at}`.padEnd(length, '-'));
}

/** Folds into an engine that has nothing yet, or whose partitions have these revisions. */
export function heavyRecords(
  { session, keys, locks, ttlMs, mode = 0 }: HeavySession,
  partitions = 1,
  revisions = new Float64Array(partitions),
): Uint8Array {
  const records: EffectRecord[] = [];
  const add = (
    kind: Effect['kind'],
    name: Uint8Array,
    rest: Partial<EffectRecord> = {},
  ): EffectRecord => {
    const partition = partitionOfKey(name, 0, name.length, partitions);
    const revision = ++revisions[partition]!;
    const record: EffectRecord = {
      kind: EFFECT_KINDS.indexOf(kind),
      partition,
      revision,
      time: 1000,
      expiresAt: 0,
      key: name,
      value: new Uint8Array(0),
      ...rest,
    };
    records.push(record);
    return record;
  };
  if (ttlMs !== undefined) {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(BigInt(ttlMs));
    const name = bytes(session.toString(16).padStart(14, '0'));
    add('session', name, { value: Buffer.concat([value, digestOf(session)]) });
  }
  for (const key of keys) {
    add('put', bytes(key), { flags: RECORD_FLAG_EPHEMERAL, expiresAt: session });
  }
  for (const [at, name] of locks.entries()) {
    const value = Buffer.alloc(24);
    value.writeBigUInt64LE(BigInt(session), 0);
    value.writeBigUInt64LE(1000n, 8);
    value.writeUInt32LE(at + 1, 16);
    value.writeUInt16LE(1, 20);
    value.writeUInt8(mode, 22);
    const record = add('hold', bytes(name), { value });
    const token = Buffer.alloc(8);
    token.writeBigUInt64BE(BigInt(record.revision));
    record.key = Buffer.concat([record.key, token]);
  }
  return encodeRecords(records);
}
