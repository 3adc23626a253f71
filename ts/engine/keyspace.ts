// The state of the keys: what the fold of all records gives. Every change comes through `put`,
// `remove` and `touch`, each the effect of one record, whether the engine has just made that record
// or reads it from a log.

import { ENTRY_OVERHEAD_BYTES } from '../wire/limits.js';
import { ExpiryHeap, type Expiring } from './expiry.js';
import { OrderedIndex } from './ordered-index.js';

export interface Entry extends Expiring {
  /** Latin-1, one char a byte. */
  readonly key: string;
  value: Uint8Array;
  revision: number;
  readonly partition: number;
  /** Milliseconds since 1970; 0 = never. */
  expiresAt: number;
  /** Place in the expiry heap; -1 outside. */
  expiryAt: number;
}

export class Keyspace {
  readonly entries = new Map<string, Entry>();
  readonly order = new OrderedIndex();
  readonly expiry = new ExpiryHeap<Entry>();
  /** The newest revision of each partition. */
  readonly revisions: Float64Array;
  /** Logical bytes held. */
  memoryBytes = 0;

  constructor(partitions: number) {
    this.revisions = new Float64Array(partitions);
  }

  /** Sets value, revision and expiry of a key; `entry` is the present one. Copies the value. */
  put(
    entry: Entry | undefined,
    key: string,
    partition: number,
    value: Uint8Array,
    revision: number,
    expiresAt: number,
  ): void {
    this.revisions[partition] = revision;
    if (entry === undefined) {
      const created = { key, value: value.slice(), revision, partition, expiresAt, expiryAt: -1 };
      this.entries.set(key, created);
      this.order.insert(key);
      this.memoryBytes += entryBytes(key.length, value.length);
      if (expiresAt !== 0) this.expiry.set(created);
      return;
    }
    this.memoryBytes += value.length - entry.value.length;
    if (entry.value.length === value.length) entry.value.set(value);
    else entry.value = value.slice();
    this.renew(entry, revision, expiresAt);
  }

  /** Replaces the expiry of a key. */
  touch(entry: Entry, revision: number, expiresAt: number): void {
    this.revisions[entry.partition] = revision;
    this.renew(entry, revision, expiresAt);
  }

  /** Removes a key. */
  remove(entry: Entry, revision: number): void {
    this.revisions[entry.partition] = revision;
    this.entries.delete(entry.key);
    this.order.remove(entry.key);
    this.expiry.remove(entry);
    this.memoryBytes -= entryBytes(entry.key.length, entry.value.length);
  }

  private renew(entry: Entry, revision: number, expiresAt: number): void {
    entry.revision = revision;
    entry.expiresAt = expiresAt;
    if (expiresAt !== 0) this.expiry.set(entry);
    else this.expiry.remove(entry);
  }
}

/** Logical bytes of a key with its value. */
export function entryBytes(keyLength: number, valueLength: number): number {
  return keyLength + valueLength + ENTRY_OVERHEAD_BYTES;
}
