// The check of a fenced write: whether the token that it shows is still, or newly, the highest of its lock.

import { FENCE_OVERHEAD_BYTES } from '../wire/limits.js';
import { Status } from '../wire/status.js';
import type { Effects } from './effects.js';
import { FENCE_SUFFIX_BYTES, fenceKey } from './fences.js';
import type { Holdings } from './holdings.js';
import { nameText } from './locks.js';
import type { Operation } from './operation.js';
import { FENCE_VALUE_BYTES, fenceValue } from './record-values.js';
import { RECORD_FENCE, recordBytes } from './records.js';
import type { Router } from './routing.js';

export class FencedWrites {
  /** What goes with the status of the last check. */
  revision = 0;

  constructor(
    private readonly effects: Effects,
    private readonly holdings: Holdings,
    private readonly operation: Operation,
    private readonly router: Router | undefined,
  ) {}

  /** Bytes of the record that the operation's fence may make. */
  get recordBytes(): number {
    const { fenceNameAt, fenceNameEnd } = this.operation;
    return recordBytes(fenceNameEnd - fenceNameAt + FENCE_SUFFIX_BYTES, FENCE_VALUE_BYTES);
  }

  /**
   * Ok, Fenced or ResourceExhausted. The operation's fence has been checked as far as it needs no state.
   * `present`: the revision of the key; 0: it is not there.
   */
  check(frame: Uint8Array, present: number): Status {
    const { holdings, operation } = this;
    const { keyspace, locks, fences } = holdings;
    const { keyAt, keyEnd, fenceNameAt, fenceNameEnd, fenceToken: token } = operation;
    const name = nameText(frame, fenceNameAt, fenceNameEnd);
    const partition = keyspace.partitionOf(frame, keyAt, keyEnd);
    const lockPartition = keyspace.partitionOf(frame, fenceNameAt, fenceNameEnd);
    if (partition === lockPartition) {
      const lock = locks.find(name);
      if (lock?.holdOf(token) !== undefined) return Status.Ok;
      return this.fenced(lock?.newestToken ?? 0);
    }
    const seen = fences.seen(partition, name);
    if (seen > token) return this.fenced(seen);
    if (token > this.newestRevision(lockPartition)) return this.fenced(0);
    this.revision = present;
    return seen === token ? Status.Ok : this.note(frame, partition, seen === 0);
  }

  private newestRevision(partition: number): number {
    const { router, holdings } = this;
    if (router !== undefined) return router.newestRevision(partition);
    return holdings.keyspace.revisions[partition] as number;
  }

  /** Notes a token that is higher than what was seen. */
  private note(frame: Uint8Array, partition: number, isNew: boolean): Status {
    const { effects, holdings, operation } = this;
    const { fenceNameAt, fenceNameEnd, fenceToken: token } = operation;
    const nameLength = fenceNameEnd - fenceNameAt;
    if (isNew && !effects.hasMemory(nameLength + FENCE_OVERHEAD_BYTES)) {
      return Status.ResourceExhausted;
    }
    const key = fenceKey(frame, fenceNameAt, fenceNameEnd, partition);
    holdings.noteFence(partition, key, nameLength, token);
    effects.recordOther(RECORD_FENCE, partition, key, fenceValue(token));
    return Status.Ok;
  }

  private fenced(revision: number): Status {
    this.effects.gate.seeNewest();
    this.revision = revision;
    return Status.Fenced;
  }
}
