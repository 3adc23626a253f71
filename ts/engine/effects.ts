// What all operations share in making effects: the time of the call, the records, and the memory bound.

import { Status } from '../wire/status.js';
import type { Gate } from './gate.js';
import type { Keyspace } from './keyspace.js';
import { RECORD_FLAG_EPHEMERAL, type RecordWriter } from './records.js';

const NOTHING = new Uint8Array(0);

export class Effects {
  /** Time of the call. */
  now = 0;
  /** What every write is answered with; Ok: writes are taken. */
  writeRefusal: Status = Status.Ok;

  /** Whether the call has left something undone that was due, for want of room. */
  isLeft = false;

  constructor(
    readonly keyspace: Keyspace,
    readonly gate: Gate,
    readonly records: RecordWriter,
    /** 0: no bound. */
    private readonly memoryBytesMax: number,
  ) {}

  get refusesWrites(): boolean {
    return this.writeRefusal !== Status.Ok;
  }

  /** Whether so many more logical bytes may be held. */
  hasMemory(more: number): boolean {
    return this.memoryBytesMax === 0 || this.keyspace.memoryBytes + more <= this.memoryBytesMax;
  }

  /**
   * Makes the record of a key, whose revision is the next of its partition. With a `session` (0: none) the
   * key is ephemeral, without expiry. `before`: the revision of the key's record before; 0: there is none.
   */
  record(
    kind: number,
    partition: number,
    revision: number,
    expiresAt: number,
    session: number,
    before: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array = NOTHING,
    start = 0,
    end = 0,
  ): void {
    this.gate.made(partition, revision);
    this.records.append(
      kind,
      partition,
      revision,
      this.now,
      session === 0 ? expiresAt : session,
      key,
      keyStart,
      keyEnd,
      value,
      start,
      end,
      before === 0 ? 0 : revision - before,
      session === 0 ? 0 : RECORD_FLAG_EPHEMERAL,
    );
  }

  /** Makes the record of something else than a key, and returns its revision. */
  recordOther(
    kind: number,
    partition: number,
    key: Uint8Array,
    value: Uint8Array = NOTHING,
    expiresAt = 0,
  ): number {
    const { keyspace } = this;
    const revision = keyspace.nextRevision(partition);
    keyspace.setRevision(partition, revision);
    const { length } = value;
    this.record(kind, partition, revision, expiresAt, 0, 0, key, 0, key.length, value, 0, length);
    return revision;
  }

  /** Removes a key, makes the record and returns its revision. */
  removeKey(handle: number, kind: number): number {
    const { keyspace, gate } = this;
    const { entries } = keyspace;
    const partition = entries.partition(handle);
    const revision = keyspace.nextRevision(partition);
    const bytes = entries.bytes(handle);
    const [start, end] = [entries.keyStart(handle), entries.keyEnd(handle)];
    const before = entries.revision(handle);
    this.record(kind, partition, revision, 0, 0, before, bytes, start, end);
    gate.removed(keyspace, bytes, start, end);
    keyspace.remove(handle, revision);
    return revision;
  }
}
