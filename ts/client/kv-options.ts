// What the key-value operations may be told.

import type { Fence } from './fence.js';
import type { CallOptions } from './options.js';

export interface WriteOptions extends CallOptions {
  /** Only if no newer holder of a lock is known; otherwise FENCED. `lock.put` and its like do this. */
  readonly fence?: Fence | undefined;
}

export interface PutOptions extends WriteOptions {
  /** Only if the key does not exist; otherwise ALREADY_EXISTS. */
  readonly ifAbsent?: boolean | undefined;
  /** Only if the key is at this revision (0: does not exist); otherwise REVISION_MISMATCH. */
  readonly ifRevision?: number | undefined;
  /** Milliseconds until the key expires. Without it and `keepTtl`, the key does not expire. */
  readonly ttlMs?: number | undefined;
  /** Leaves the key's expiry as it is. */
  readonly keepTtl?: boolean | undefined;
  /** The key lives as long as the session of this client; takes neither `ttlMs` nor `keepTtl`. */
  readonly ephemeral?: boolean | undefined;
}

export interface DeleteOptions extends WriteOptions {
  /** Only if the key is at this revision; otherwise REVISION_MISMATCH. */
  readonly ifRevision?: number | undefined;
}

export interface IncrementOptions extends WriteOptions {
  /** Milliseconds until the key expires. Without it, its expiry stays as it is. */
  readonly ttlMs?: number | undefined;
}

export interface TouchOptions extends WriteOptions {
  /** Milliseconds until the key expires. */
  readonly ttlMs?: number | undefined;
  /** The key no longer expires. */
  readonly persist?: boolean | undefined;
}

export interface PageOptions extends CallOptions {
  /** Entries at most, 1 to the node's `limits.scanEntriesMax`; a page may hold fewer. */
  readonly limit?: number | undefined;
  /** Of the page before. */
  readonly cursor?: Uint8Array | undefined;
  readonly keysOnly?: boolean | undefined;
}
