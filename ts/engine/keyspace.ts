// The state of the keys: what the fold of all records gives. Every change comes through `insert`,
// `replace`, `touch` and `remove`, each the effect of one record, whether the engine has just made
// that record or reads it from a log. Handles are those of `Entries`; 0 stands for no entry.

import { ENTRY_OVERHEAD_BYTES } from '../wire/limits.js';
import { partitionOfKey } from '../wire/partition.js';
import { Entries } from './entries.js';
import { Ephemerals } from './ephemerals.js';
import { ExpiryHeap } from './expiry.js';
import { keyHash } from './key-hash.js';
import { OrderedIndex } from './ordered-index.js';
import { Table } from './table.js';

/**
 * Tables that share the keys by the top bits of their hash, so that a rehash moves one table's cells
 * and not all.
 */
const SHARDS = 64;
const SHARD_SHIFT = 32 - Math.log2(SHARDS);

export class Keyspace {
  readonly entries = new Entries();
  readonly order = new OrderedIndex(this.entries);
  readonly expiry = new ExpiryHeap(this.entries);
  readonly ephemerals = new Ephemerals(this.entries);
  /** The newest revision of each partition; changed by `setRevision` alone. */
  readonly revisions: Float64Array;
  /** The sum of all revisions. */
  position = 0;
  /** Logical bytes held, those of sessions, holds and fences included. */
  memoryBytes = 0;
  /** Where somebody has set it, it takes in the partitions whose revision moves. */
  moved: Set<number> | undefined;
  private readonly tables = Array.from({ length: SHARDS }, () => new Table());

  constructor(
    readonly partitions: number,
    private readonly hashSeed: number,
  ) {
    this.revisions = new Float64Array(partitions);
  }

  /** The hash is keyed with a secret seed, so that nobody can choose keys that collide. */
  hash(bytes: Uint8Array, start: number, end: number): number {
    return keyHash(bytes, start, end, this.hashSeed);
  }

  /** The partition of the key `bytes[start, end)`. */
  partitionOf(bytes: Uint8Array, start: number, end: number): number {
    return partitionOfKey(bytes, start, end, this.partitions);
  }

  /** The entry of the key `bytes[start, end)`. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const table = this.tables[hash >>> SHARD_SHIFT] as Table;
    let handle = table.find(hash, 0);
    while (handle !== 0 && !this.entries.keyEquals(handle, bytes, start, end)) {
      handle = table.find(hash, handle);
    }
    return handle;
  }

  /** The first entry under the hash: nearly always the one that `find` will name. */
  candidate(hash: number): number {
    return (this.tables[hash >>> SHARD_SHIFT] as Table).find(hash, 0);
  }

  nextRevision(partition: number): number {
    return (this.revisions[partition] as number) + 1;
  }

  setRevision(partition: number, revision: number): void {
    this.position += revision - (this.revisions[partition] as number);
    this.revisions[partition] = revision;
    if (this.moved !== undefined) this.moved.add(partition);
  }

  /** Adds a key that is not there yet. With a `session` (0: none) it is ephemeral, without expiry. */
  insert(
    hash: number,
    partition: number,
    bytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
    revision: number,
    expiresAt: number,
    session: number,
  ): void {
    const { entries } = this;
    this.memoryBytes += entryBytes(keyEnd - keyStart, valueEnd - valueStart);
    const handle = entries.add(bytes, keyStart, keyEnd, value, valueStart, valueEnd, partition);
    (this.tables[hash >>> SHARD_SHIFT] as Table).insert(hash, handle);
    this.order.insert(handle);
    this.touch(handle, revision, expiresAt, session);
  }

  /** Sets value, revision and expiry or session of a key that is there. */
  replace(
    hash: number,
    handle: number,
    value: Uint8Array,
    start: number,
    end: number,
    revision: number,
    expiresAt: number,
    session: number,
  ): void {
    const { entries } = this;
    this.memoryBytes += end - start - entries.valueLength(handle);
    if (entries.fits(handle, end - start)) {
      entries.overwrite(handle, value, start, end);
      this.touch(handle, revision, expiresAt, session);
      return;
    }
    const copied = entries.copy(handle, value, start, end);
    (this.tables[hash >>> SHARD_SHIFT] as Table).replace(hash, handle, copied);
    this.expiry.moved(copied);
    this.ephemerals.moved(copied);
    this.order.replace(handle, copied);
    this.touch(copied, revision, expiresAt, session);
  }

  /** Replaces the expiry or session of a key that is there. */
  touch(handle: number, revision: number, expiresAt: number, session: number): void {
    this.entries.setRevision(handle, revision);
    this.setRevision(this.entries.partition(handle), revision);
    if (session !== 0 || this.entries.isEphemeral(handle)) {
      this.expiry.remove(handle);
      this.ephemerals.set(handle, session);
    }
    if (expiresAt !== 0) this.expiry.set(handle, expiresAt);
    else this.expiry.remove(handle);
  }

  /** Removes a key that is there. */
  remove(handle: number, revision: number): void {
    const { entries } = this;
    const bytes = entries.bytes(handle);
    const hash = this.hash(bytes, entries.keyStart(handle), entries.keyEnd(handle));
    this.setRevision(entries.partition(handle), revision);
    this.memoryBytes -= entryBytes(entries.keyLength(handle), entries.valueLength(handle));
    (this.tables[hash >>> SHARD_SHIFT] as Table).remove(hash, handle);
    this.expiry.remove(handle);
    this.ephemerals.set(handle, 0);
    entries.count--;
    this.order.remove(handle);
  }
}

/** Logical bytes of a key with its value. */
export function entryBytes(keyLength: number, valueLength: number): number {
  return keyLength + valueLength + ENTRY_OVERHEAD_BYTES;
}
