// The operations on one key: Get, Put, Delete, Increment, Touch. Steps 5 to 7 of the contract in `engine.ts`,
// behind the checks that need no state.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { FLAG_EPHEMERAL, FLAG_FENCED, FLAG_ONCE, TTL_KEEP } from '../wire/layout.js';
import type { ReplyWriter } from '../wire/reply.js';
import { Status } from '../wire/status.js';
import { type CoordinationOperations, NO_RESULT, NO_ROOM } from './coordination-operations.js';
import type { Effects } from './effects.js';
import type { FencedWrites } from './fenced-writes.js';
import { entryBytes } from './keyspace.js';
import { addChecked, DECIMAL_BYTES_MAX, parseDecimal, writeDecimal } from './number.js';
import type { Operation } from './operation.js';
import { RECORD_DELETE, RECORD_EXPIRE, RECORD_PUT, RECORD_TOUCH, recordBytes } from './records.js';
import type { Session } from './sessions.js';
import type { Settling } from './settling.js';

export class KeyOperations {
  private frame: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  private view = new DataView(this.frame.buffer);
  private readonly decimal = new Uint8Array(DECIMAL_BYTES_MAX);

  constructor(
    private readonly effects: Effects,
    private readonly settling: Settling,
    private readonly coordination: CoordinationOperations,
    private readonly fencedWrites: FencedWrites,
    private readonly operation: Operation,
    private readonly reply: ReplyWriter,
  ) {}

  /** Begins a frame. */
  begin(frame: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>): void {
    this.frame = frame;
    this.view = view;
  }

  /**
   * Executes the operation, whose fields are checked and whose key has this hash. The status of its result,
   * which is written; NO_ROOM: nothing was done.
   */
  execute(hash: number): number {
    const { flags } = this.operation;
    if ((flags & (FLAG_ONCE | FLAG_EPHEMERAL)) === 0) return this.executeOnKey(hash);
    return this.executeWithSession(hash);
  }

  /** A write that needs the frame's session, and may have been answered before. */
  private executeWithSession(hash: number): number {
    const { operation, coordination } = this;
    const { keyspace } = this.effects;
    const status = coordination.sessionStatus();
    if (status !== Status.Ok) return this.end(status, 0, 0);
    const isOnce = (operation.flags & FLAG_ONCE) !== 0;
    const again = isOnce ? coordination.answerAgain() : NO_RESULT;
    if (again !== NO_RESULT) return again;
    const { position } = keyspace;
    const done = this.executeOnKey(hash);
    if (isOnce && done !== NO_ROOM) coordination.remember(keyspace.position > position);
    return done;
  }

  private executeOnKey(hash: number): number {
    const { operation, reply, effects } = this;
    const { keyLength, valueLength } = operation;
    const isFenced = (operation.flags & FLAG_FENCED) !== 0;
    if (effects.refusesWrites && operation.code !== OperationCode.Get) {
      return this.end(effects.writeRefusal, 0, 0);
    }

    // Room for an expire record and the operation's own, and for the number that an increment shows.
    const valueRoom = Math.max(valueLength, DECIMAL_BYTES_MAX);
    let recordsRoom = recordBytes(keyLength, 0) + recordBytes(keyLength, valueRoom);
    if (isFenced) recordsRoom += this.fencedWrites.recordBytes;
    if (effects.records.room < recordsRoom) return NO_ROOM;
    if (operation.code === OperationCode.Increment && reply.dataRoom < DECIMAL_BYTES_MAX) {
      return NO_ROOM;
    }

    const handle = this.findLive(hash);
    if (isFenced) {
      const status = this.fencedWrites.check(this.frame, this.revisionAt(handle));
      if (status !== Status.Ok) {
        if (effects.gate.watching) this.see(hash, handle);
        return this.end(status, this.fencedWrites.revision, 0);
      }
    }
    const done = this.executeOn(hash, handle);
    if (done !== NO_ROOM && effects.gate.watching) this.see(hash, handle);
    return done;
  }

  private executeOn(hash: number, handle: number): number {
    switch (this.operation.code) {
      case OperationCode.Get:
        return this.get(handle);
      case OperationCode.Put:
        return this.put(hash, handle);
      case OperationCode.Delete:
        return this.delete(handle);
      case OperationCode.Increment:
        return this.increment(hash, handle);
      default:
        return this.touch(handle);
    }
  }

  /** The operation's key; one that has expired is removed first, with its record. */
  private findLive(hash: number): number {
    const { effects, operation } = this;
    const { keyspace } = effects;
    const handle = keyspace.find(hash, this.frame, operation.keyAt, operation.keyEnd);
    if (handle === 0) return 0;
    const expiresAt = keyspace.expiry.expiresAt(handle);
    if (expiresAt === 0 || expiresAt > effects.now) return handle;
    if (!effects.refusesWrites) effects.removeKey(handle, RECORD_EXPIRE);
    else if (effects.gate.watching) this.seeEntry(handle);
    return 0;
  }

  /** What the operation has seen: the entry that it found, or that its key is gone. */
  private see(hash: number, handle: number): void {
    const { operation, frame } = this;
    const { gate } = this.effects;
    const { keyAt, keyEnd } = operation;
    if (handle !== 0) this.seeEntry(handle);
    else gate.seeAppend(gate.removals.appendOf(hash, frame, keyAt, keyEnd));
  }

  private seeEntry(handle: number): void {
    const { keyspace, gate } = this.effects;
    const { entries } = keyspace;
    gate.see(entries.partition(handle), entries.revision(handle));
  }

  private get(handle: number): number {
    const { operation, reply } = this;
    const { entries, expiry } = this.effects.keyspace;
    if (handle === 0) return this.end(Status.NotFound, 0, 0);
    const revision = entries.revision(handle);
    const ttlMs = this.msUntil(expiry.expiresAt(handle));
    if (operation.keysOnly) return this.end(Status.Ok, revision, ttlMs);
    const [start, end] = [entries.keyEnd(handle), entries.valueEnd(handle)];
    if (reply.dataRoom < end - start) return NO_ROOM;
    reply.resultRange(operation.id, entries.bytes(handle), start, end, revision, ttlMs);
    return Status.Ok;
  }

  private put(hash: number, handle: number): number {
    const { operation, frame } = this;
    const present = this.revisionAt(handle);
    const refusal = operation.conditionStatus(present);
    if (refusal !== Status.Ok) return this.end(refusal, present, 0);
    const session = this.sessionAfter(handle);
    if (session !== 0 && session !== this.sessionBefore(handle)) {
      const owner = this.coordination.present as Session;
      const status = this.settling.sessionStatus(owner, recordBytes(operation.keyLength, 0));
      if (status !== Status.Ok) return this.end(status, present, 0);
    }
    if (!this.memoryAllows(handle, operation.valueLength)) {
      return this.end(Status.ResourceExhausted, present, 0);
    }
    const expiresAt = this.expiryAfter(handle);
    const { valueAt, valueEnd } = operation;
    const revision = this.store(hash, handle, frame, valueAt, valueEnd, expiresAt, session);
    return this.end(Status.Ok, revision, this.msUntil(expiresAt));
  }

  private delete(handle: number): number {
    if (handle === 0) return this.end(Status.NotFound, 0, 0);
    const present = this.revisionAt(handle);
    const refusal = this.operation.conditionStatus(present);
    if (refusal !== Status.Ok) return this.end(refusal, present, 0);
    return this.end(Status.Ok, this.effects.removeKey(handle, RECORD_DELETE), 0);
  }

  private increment(hash: number, handle: number): number {
    const { operation, view, decimal, reply } = this;
    const { entries } = this.effects.keyspace;
    const present = this.revisionAt(handle);
    let number: bigint | undefined = 0n;
    if (handle !== 0) {
      const [start, end] = [entries.keyEnd(handle), entries.valueEnd(handle)];
      number = parseDecimal(entries.bytes(handle), start, end);
    }
    if (number === undefined) return this.end(Status.NotANumber, present, 0);
    const sum = addChecked(number, view.getBigInt64(operation.valueAt, true));
    if (sum === undefined) return this.end(Status.NumberOverflow, present, 0);
    const length = writeDecimal(decimal, sum);
    if (!this.memoryAllows(handle, length)) {
      return this.end(Status.ResourceExhausted, present, 0);
    }
    const expiresAt = this.expiryAfter(handle);
    const session = this.sessionAfter(handle);
    const revision = this.store(hash, handle, decimal, 0, length, expiresAt, session);
    reply.resultRange(operation.id, decimal, 0, length, revision, this.msUntil(expiresAt));
    return Status.Ok;
  }

  private touch(handle: number): number {
    const { operation, frame, effects } = this;
    const { keyspace } = effects;
    if (handle === 0) return this.end(Status.NotFound, 0, 0);
    const { keyAt, keyEnd } = operation;
    const expiresAt = this.expiryAfter(handle);
    const before = this.revisionAt(handle);
    const partition = keyspace.entries.partition(handle);
    const revision = keyspace.nextRevision(partition);
    keyspace.touch(handle, revision, expiresAt, 0);
    effects.record(RECORD_TOUCH, partition, revision, expiresAt, 0, before, frame, keyAt, keyEnd);
    return this.end(Status.Ok, revision, this.msUntil(expiresAt));
  }

  /** Sets the value of the operation's key, makes the record and returns its revision. */
  private store(
    hash: number,
    handle: number,
    value: Uint8Array,
    start: number,
    end: number,
    expiresAt: number,
    session: number,
  ): number {
    const { frame, effects } = this;
    const { keyspace } = effects;
    const { keyAt, keyEnd } = this.operation;
    const before = this.revisionAt(handle);
    const partition =
      handle === 0
        ? keyspace.partitionOf(frame, keyAt, keyEnd)
        : keyspace.entries.partition(handle);
    const revision = keyspace.nextRevision(partition);
    if (handle !== 0) {
      keyspace.replace(hash, handle, value, start, end, revision, expiresAt, session);
    } else {
      keyspace.insert(
        hash,
        partition,
        frame,
        keyAt,
        keyEnd,
        value,
        start,
        end,
        revision,
        expiresAt,
        session,
      );
    }
    effects.record(
      RECORD_PUT,
      partition,
      revision,
      expiresAt,
      session,
      before,
      frame,
      keyAt,
      keyEnd,
      value,
      start,
      end,
    );
    return revision;
  }

  private revisionAt(handle: number): number {
    return handle === 0 ? 0 : this.effects.keyspace.entries.revision(handle);
  }

  /** The expiry that the operation leaves on its key. */
  private expiryAfter(handle: number): number {
    const before = handle === 0 ? 0 : this.effects.keyspace.expiry.expiresAt(handle);
    return this.operation.expiryAfter(before, this.effects.now);
  }

  /** The session that the operation's key lives with; 0: none. */
  private sessionBefore(handle: number): number {
    return handle === 0 ? 0 : this.effects.keyspace.ephemerals.sessionOf(handle);
  }

  /** The session that the operation makes its key live with; 0: none. */
  private sessionAfter(handle: number): number {
    const { flags, ttl } = this.operation;
    if ((flags & FLAG_EPHEMERAL) !== 0) return this.coordination.present?.id ?? 0;
    return ttl === TTL_KEEP ? this.sessionBefore(handle) : 0;
  }

  /** Whether the operation's key may have a value of this length. */
  private memoryAllows(handle: number, valueLength: number): boolean {
    const { effects, operation } = this;
    const { entries } = effects.keyspace;
    const { keyLength } = operation;
    const after = entryBytes(keyLength, valueLength);
    const before = handle === 0 ? 0 : entryBytes(keyLength, entries.valueLength(handle));
    if (after <= before) return true;
    if (!entries.arena.hasRoom) return false;
    return effects.hasMemory(after - before);
  }

  /** Milliseconds from now to an expiry; 0 for none. */
  private msUntil(expiresAt: number): number {
    return expiresAt === 0 ? 0 : expiresAt - this.effects.now;
  }

  private end(status: Status, revision: number, ttlMs: number): Status {
    this.reply.result(this.operation.id, status, revision, ttlMs);
    return status;
  }
}
