// The pure-TypeScript engine: the contract of `engine.ts` in its plainest form, the specification that
// the Rust engine (`core-native/src/engine.rs`) is compared with byte for byte.
//
// A frame is executed in groups of operations. For each group the keys are hashed and their cells and
// entries read once, each step for the whole group before the next, so that the cache misses of a
// group overlap; then its operations run in order and find everything near.

import { Columns } from '../wire/columns.js';
import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_EPHEMERAL,
  FLAG_FENCED,
  FLAG_ONCE,
  OPERATION_BYTES,
  TTL_KEEP,
} from '../wire/layout.js';
import {
  EXPIRIES_PER_ADVANCE_MAX,
  frameBytesMaxFor,
  KEY_BYTES_MAX,
  NOTICES_BYTES,
} from '../wire/limits.js';
import { ReplyWriter } from '../wire/reply.js';
import { checkRequest } from '../wire/request.js';
import { STATUS_COUNT, Status } from '../wire/status.js';
import { wordAt } from './arena.js';
import { CoordinationOperations, NO_RESULT, NO_ROOM } from './coordination-operations.js';
import { Due } from './due.js';
import { Effects } from './effects.js';
import {
  checkOptions,
  type Engine,
  type EngineOptions,
  INPUT_DURABLE,
  INPUT_SESSION,
  INPUT_WRITE_REFUSAL,
  initialInput,
  OPERATION_CODE_COUNT,
  OUTCOME_COUNT,
  OUTCOME_GATE,
  OUTCOME_LENGTH,
  OUTCOME_MORE,
  OUTCOME_NEXT,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
} from './engine.js';
import { FencedWrites } from './fenced-writes.js';
import { checkFold, checkRestore, checkRevisions, fold, restore } from './fold.js';
import { Gate } from './gate.js';
import { Holdings } from './holdings.js';
import { entryBytes, Keyspace } from './keyspace.js';
import { NoticeWriter } from './notices.js';
import { addChecked, DECIMAL_BYTES_MAX, parseDecimal, writeDecimal } from './number.js';
import { isKnownCode, Operation, resultsWanted } from './operation.js';
import { showState } from './outcome.js';
import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_PUT,
  RECORD_TOUCH,
  RecordWriter,
  recordBytes,
} from './records.js';
import { scan, scanFits } from './scan.js';
import { openSession, resumeSession } from './session-calls.js';
import type { Session } from './sessions.js';
import { Settling } from './settling.js';

const NO_FRAME = new Uint8Array(0);

/** Operations whose lookups overlap; a power of two. */
const GROUP = 64;

export function createTsEngine(options: EngineOptions): Engine {
  checkOptions(options);
  return new TsEngine(options);
}

class TsEngine implements Engine {
  readonly kind = 'ts';
  readonly reply: Uint8Array<ArrayBuffer>;
  readonly records: Uint8Array<ArrayBuffer>;
  readonly notices = new Uint8Array(NOTICES_BYTES);
  readonly outcome = new Float64Array(OUTCOME_LENGTH);
  readonly input = initialInput();
  readonly counters = new Float64Array(OPERATION_CODE_COUNT * STATUS_COUNT);

  private readonly valueBytesMax: number;
  private readonly frameBytesMax: number;
  private readonly keyspace: Keyspace;
  private readonly gate: Gate;
  private readonly replyWriter: ReplyWriter;
  private readonly recordWriter: RecordWriter;
  private readonly noticeWriter = new NoticeWriter(this.notices);
  private readonly effects: Effects;
  private readonly holdings: Holdings;
  private readonly settling: Settling;
  private readonly due: Due;
  private readonly coordination: CoordinationOperations;
  private readonly fencedWrites: FencedWrites;
  private readonly columns = new Columns();
  private readonly operation = new Operation();
  /** Of the group being executed. */
  private readonly hashes = new Uint32Array(GROUP);
  private readonly handles = new Uint32Array(GROUP);
  private readonly decimal = new Uint8Array(DECIMAL_BYTES_MAX);
  /** The frame being executed. */
  private frame = new Uint8Array(0);
  private view = new DataView(this.frame.buffer);

  constructor(options: EngineOptions) {
    this.valueBytesMax = options.valueBytesMax;
    this.frameBytesMax = frameBytesMaxFor(options.valueBytesMax);
    this.keyspace = new Keyspace(options.partitions, options.hashSeed);
    this.gate = new Gate(options.partitions);
    this.reply = new Uint8Array(this.frameBytesMax);
    this.records = new Uint8Array(this.frameBytesMax);
    this.replyWriter = new ReplyWriter(this.reply);
    this.recordWriter = new RecordWriter(this.records);
    const { keyspace, gate, replyWriter, noticeWriter, operation } = this;
    this.effects = new Effects(keyspace, gate, this.recordWriter, options.memoryBytesMax);
    this.holdings = new Holdings(keyspace);
    const { effects, holdings } = this;
    this.settling = new Settling(effects, holdings, noticeWriter, this.counters);
    this.due = new Due(effects, holdings, this.settling);
    this.fencedWrites = new FencedWrites(effects, holdings, operation);
    this.coordination = new CoordinationOperations(
      effects,
      holdings,
      this.settling,
      operation,
      replyWriter,
      noticeWriter,
      options.valueBytesMax,
    );
  }

  execute(frame: ArrayBuffer, first: number, now: number): number {
    const { operation, columns, replyWriter, outcome } = this;
    this.begin();
    this.view = new DataView(frame);
    const refusal = checkRequest(this.view, this.frameBytesMax, columns);
    if (refusal !== Status.Ok) {
      outcome[OUTCOME_RECORD_BYTES] = 0;
      outcome[OUTCOME_NOTICE_BYTES] = 0;
      outcome[OUTCOME_GATE] = 0;
      return -refusal;
    }
    this.frame = new Uint8Array(frame);
    this.moveTime(now, this.frame, this.input[INPUT_SESSION] as number);

    const { count } = columns;
    let at = columns.elementsAt;
    let dataAt = columns.dataAt;
    for (let skipped = 0; skipped < first; skipped++, at += OPERATION_BYTES) {
      operation.decode(this.view, at, dataAt);
      dataAt = operation.valueEnd;
    }
    replyWriter.begin(resultsWanted(this.view, at, count - first));
    let next = first;
    for (; next < count; next++, at += OPERATION_BYTES) {
      const inGroup = (next - first) & (GROUP - 1);
      if (inGroup === 0) this.hashGroup(at, dataAt, Math.min(count - next, GROUP));
      operation.decode(this.view, at, dataAt);
      if (!this.executeOperation(at, this.hashes[inGroup] as number)) break;
      dataAt = operation.valueEnd;
    }

    outcome[OUTCOME_NEXT] = next;
    outcome[OUTCOME_COUNT] = count;
    this.finish();
    return replyWriter.finish();
  }

  advance(now: number): number {
    const { effects, recordWriter, keyspace } = this;
    this.begin();
    this.moveTime(now, NO_FRAME, 0);
    let expired = 0;
    while (!effects.refusesWrites && expired < EXPIRIES_PER_ADVANCE_MAX) {
      const handle = keyspace.expiry.firstDue(effects.now);
      if (handle === 0) break;
      if (recordWriter.room < recordBytes(keyspace.entries.keyLength(handle), 0)) {
        effects.isLeft = true;
        break;
      }
      effects.removeKey(handle, RECORD_EXPIRE);
      expired++;
    }
    this.finish();
    return expired;
  }

  openSession(id: number, ttlMs: number, digest: Uint8Array, now: number): Status {
    this.begin();
    this.moveTime(now, NO_FRAME, 0);
    const status = openSession(this.effects, this.holdings, id, ttlMs, digest);
    this.finish();
    return status;
  }

  resumeSession(id: number, digest: Uint8Array, now: number): Status {
    this.begin();
    this.moveTime(now, NO_FRAME, 0);
    const { status, ttlMs } = resumeSession(this.effects, this.holdings, id, digest);
    this.outcome[OUTCOME_COUNT] = ttlMs;
    this.finish();
    return status;
  }

  fold(records: Uint8Array): void {
    checkFold(this.keyspace, records, this.valueBytesMax);
    this.holdings.releaseOrphans();
    this.restored(fold(this.holdings, records));
  }

  restore(records: Uint8Array): void {
    if (this.keyspace.order.isBehind) this.keyspace.order.settle();
    checkRestore(this.holdings, records, this.valueBytesMax);
    this.restored(restore(this.holdings, records));
  }

  restoreRevisions(revisions: Float64Array, time: number): void {
    checkRevisions(this.keyspace, revisions, time);
    for (const [partition, revision] of revisions.entries()) {
      this.keyspace.setRevision(partition, revision);
    }
    this.restored(Math.floor(time));
  }

  revisionOf(partition: number): number {
    return this.keyspace.revisions[partition] ?? 0;
  }

  partitionOf(key: Uint8Array): number {
    return this.keyspace.partitionOf(key, 0, key.length);
  }

  close(): void {
    this.frame = new Uint8Array(0);
  }

  /** Begins a call that may make records. */
  private begin(): void {
    const { input, keyspace, holdings } = this;
    if (keyspace.order.isBehind) keyspace.order.settle();
    if (holdings.restoredOwners.size > 0) holdings.releaseOrphans();
    this.recordWriter.clear();
    this.noticeWriter.clear();
    this.effects.isLeft = false;
    this.gate.begin(input[INPUT_DURABLE] as number);
    const refusal = input[INPUT_WRITE_REFUSAL] as number;
    const isStatus = Number.isInteger(refusal) && refusal > 0 && refusal < STATUS_COUNT;
    this.effects.writeRefusal = isStatus ? refusal : Status.Ok;
  }

  /** Moves time to `now` and does what is due; a frame is a sign of life of its session. */
  private moveTime(now: number, frame: Uint8Array<ArrayBuffer>, session: number): void {
    const { effects, due, coordination } = this;
    if (now > effects.now) effects.now = now;
    if (due.isDue(effects.now)) due.run();
    coordination.begin(frame, session);
  }

  /** Ends a call that took records of some time from elsewhere. */
  private restored(time: number): void {
    this.effects.now = Math.max(this.effects.now, time);
    this.recordWriter.clear();
    this.noticeWriter.clear();
    this.showState();
    this.outcome[OUTCOME_GATE] = 0;
  }

  /** Hashes a group's keys and brings what their lookups will need into the cache. */
  private hashGroup(operationsAt: number, groupDataAt: number, count: number): void {
    const { operation, keyspace, hashes, handles } = this;
    const { arena } = keyspace.entries;
    let at = operationsAt;
    let dataAt = groupDataAt;
    for (let index = 0; index < count; index++, at += OPERATION_BYTES) {
      operation.decode(this.view, at, dataAt);
      dataAt = operation.valueEnd;
      if (operation.keyLength > KEY_BYTES_MAX) continue;
      hashes[index] = keyspace.hash(this.frame, operation.keyAt, operation.keyEnd);
    }
    for (let index = 0; index < count; index++) {
      handles[index] = keyspace.candidate(hashes[index] as number);
    }
    let touched = 0;
    for (let index = 0; index < count; index++) {
      const handle = handles[index] as number;
      if (handle !== 0) touched ^= arena.words(handle)[wordAt(handle)] as number;
    }
    // Stored, so that the reads are not optimised away.
    handles[0] = touched;
  }

  /** False, with nothing done, where the reply or the records have no room left for it. */
  private executeOperation(operationAt: number, hash: number): boolean {
    const { operation, frame, replyWriter, effects } = this;
    if (replyWriter.resultRoom < 1) return false;
    const finding = operation.check(frame, this.valueBytesMax);
    if (finding !== Status.Ok) return this.end(finding, 0, 0);
    const { code, flags } = operation;
    if (code === OperationCode.Scan) {
      if (!scanFits(operation, replyWriter, this.valueBytesMax)) return false;
      scan(this.keyspace, this.gate, operation, frame, effects.now, replyWriter);
      return this.count(Status.Ok);
    }
    if (code > OperationCode.Scan) {
      const status = this.coordination.execute(operationAt);
      return status === NO_RESULT || (status !== NO_ROOM && this.count(status));
    }
    if ((flags & (FLAG_ONCE | FLAG_EPHEMERAL)) !== 0) return this.executeWithSession(hash);
    return this.executeOnKey(hash);
  }

  /** A write that needs the frame's session, and may have been answered before. */
  private executeWithSession(hash: number): boolean {
    const { operation, coordination, keyspace } = this;
    const status = coordination.sessionStatus();
    if (status !== Status.Ok) return this.end(status, 0, 0);
    const isOnce = (operation.flags & FLAG_ONCE) !== 0;
    const again = isOnce ? coordination.answerAgain() : NO_RESULT;
    if (again === NO_ROOM) return false;
    if (again !== NO_RESULT) return this.count(again);
    const { position } = keyspace;
    if (!this.executeOnKey(hash)) return false;
    if (isOnce) coordination.remember(keyspace.position > position);
    return true;
  }

  /** Get, Put, Delete, Increment, Touch. */
  private executeOnKey(hash: number): boolean {
    const { operation, replyWriter, effects } = this;
    const { keyLength, valueLength } = operation;
    const isFenced = (operation.flags & FLAG_FENCED) !== 0;
    if (effects.refusesWrites && operation.code !== OperationCode.Get) {
      return this.end(effects.writeRefusal, 0, 0);
    }

    // Room for an expire record and the operation's own, and for the number that an increment shows.
    const valueRoom = Math.max(valueLength, DECIMAL_BYTES_MAX);
    let recordsRoom = recordBytes(keyLength, 0) + recordBytes(keyLength, valueRoom);
    if (isFenced) recordsRoom += this.fencedWrites.recordBytes;
    if (this.recordWriter.room < recordsRoom) return false;
    if (operation.code === OperationCode.Increment && replyWriter.dataRoom < DECIMAL_BYTES_MAX) {
      return false;
    }

    const handle = this.findLive(hash);
    if (isFenced) {
      const status = this.fencedWrites.check(this.frame, this.revisionAt(handle));
      if (status !== Status.Ok) {
        if (this.gate.watching) this.see(hash, handle);
        return this.end(status, this.fencedWrites.revision, 0);
      }
    }
    const done = this.executeOn(hash, handle);
    if (done && this.gate.watching) this.see(hash, handle);
    return done;
  }

  private executeOn(hash: number, handle: number): boolean {
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
    const { keyspace, operation } = this;
    const handle = keyspace.find(hash, this.frame, operation.keyAt, operation.keyEnd);
    if (handle === 0) return 0;
    const expiresAt = keyspace.expiry.expiresAt(handle);
    if (expiresAt === 0 || expiresAt > this.effects.now) return handle;
    if (!this.effects.refusesWrites) this.effects.removeKey(handle, RECORD_EXPIRE);
    else if (this.gate.watching) this.seeEntry(handle);
    return 0;
  }

  /** What the operation has seen: the entry that it found, or that its key is gone. */
  private see(hash: number, handle: number): void {
    const { gate, operation, frame } = this;
    const { keyAt, keyEnd } = operation;
    if (handle !== 0) this.seeEntry(handle);
    else gate.seeAppend(gate.removals.appendOf(hash, frame, keyAt, keyEnd));
  }

  private seeEntry(handle: number): void {
    const { entries } = this.keyspace;
    this.gate.see(entries.partition(handle), entries.revision(handle));
  }

  private get(handle: number): boolean {
    const { operation, replyWriter } = this;
    const { entries, expiry } = this.keyspace;
    if (handle === 0) return this.end(Status.NotFound, 0, 0);
    const revision = entries.revision(handle);
    const ttlMs = this.msUntil(expiry.expiresAt(handle));
    if (operation.keysOnly) return this.end(Status.Ok, revision, ttlMs);
    const [start, end] = [entries.keyEnd(handle), entries.valueEnd(handle)];
    if (replyWriter.dataRoom < end - start) return false;
    replyWriter.resultRange(operation.id, entries.bytes(handle), start, end, revision, ttlMs);
    return this.count(Status.Ok);
  }

  private put(hash: number, handle: number): boolean {
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

  private delete(handle: number): boolean {
    if (handle === 0) return this.end(Status.NotFound, 0, 0);
    const present = this.revisionAt(handle);
    const refusal = this.operation.conditionStatus(present);
    if (refusal !== Status.Ok) return this.end(refusal, present, 0);
    return this.end(Status.Ok, this.effects.removeKey(handle, RECORD_DELETE), 0);
  }

  private increment(hash: number, handle: number): boolean {
    const { operation, view, decimal, replyWriter } = this;
    const { entries } = this.keyspace;
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
    const ttlMs = this.msUntil(expiresAt);
    replyWriter.resultRange(operation.id, decimal, 0, length, revision, ttlMs);
    return this.count(Status.Ok);
  }

  private touch(handle: number): boolean {
    const { operation, keyspace, frame, effects } = this;
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
    const { keyspace, frame } = this;
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
    this.effects.record(
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
    return handle === 0 ? 0 : this.keyspace.entries.revision(handle);
  }

  /** The expiry that the operation leaves on its key. */
  private expiryAfter(handle: number): number {
    const before = handle === 0 ? 0 : this.keyspace.expiry.expiresAt(handle);
    return this.operation.expiryAfter(before, this.effects.now);
  }

  /** The session that the operation's key lives with; 0: none. */
  private sessionBefore(handle: number): number {
    return handle === 0 ? 0 : this.keyspace.ephemerals.sessionOf(handle);
  }

  /** The session that the operation makes its key live with; 0: none. */
  private sessionAfter(handle: number): number {
    const { flags, ttl } = this.operation;
    if ((flags & FLAG_EPHEMERAL) !== 0) return this.coordination.present?.id ?? 0;
    return ttl === TTL_KEEP ? this.sessionBefore(handle) : 0;
  }

  /** Whether the operation's key may have a value of this length. */
  private memoryAllows(handle: number, valueLength: number): boolean {
    const { entries } = this.keyspace;
    const { keyLength } = this.operation;
    const after = entryBytes(keyLength, valueLength);
    const before = handle === 0 ? 0 : entryBytes(keyLength, entries.valueLength(handle));
    if (after <= before) return true;
    if (!entries.arena.hasRoom) return false;
    return this.effects.hasMemory(after - before);
  }

  /** Milliseconds from now to an expiry; 0 for none. */
  private msUntil(expiresAt: number): number {
    return expiresAt === 0 ? 0 : expiresAt - this.effects.now;
  }

  private end(status: Status, revision: number, ttlMs: number): true {
    this.replyWriter.result(this.operation.id, status, revision, ttlMs);
    return this.count(status);
  }

  private count(status: Status): true {
    const { code } = this.operation;
    const row = isKnownCode(code) ? code : 0;
    const at = row * STATUS_COUNT + status;
    this.counters[at] = (this.counters[at] as number) + 1;
    return true;
  }

  /** Ends a call that may have made records. */
  private finish(): void {
    const { outcome, recordWriter, gate, effects } = this;
    outcome[OUTCOME_GATE] = gate.end(recordWriter.length > 0);
    outcome[OUTCOME_MORE] = effects.isLeft ? 1 : 0;
    this.showState();
  }

  private showState(): void {
    showState(this.outcome, this.effects, this.holdings, this.noticeWriter);
  }
}
