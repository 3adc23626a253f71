// The pure-TypeScript engine: the contract of `engine.ts` in its plainest form, the specification that
// the Rust engine (`core-native/src/engine.rs`) is compared with byte for byte.
//
// A frame is executed in groups of operations. For each group the keys are hashed and their cells and
// entries read once, each step for the whole group before the next, so that the cache misses of a
// group overlap; then its operations run in order and find everything near.

import { Columns } from '../wire/columns.js';
import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { OPERATION_BYTES, OPERATION_LIMIT } from '../wire/layout.js';
import {
  EXPIRIES_PER_ADVANCE_MAX,
  frameBytesMaxFor,
  INTEGER_LIMIT,
  KEY_BYTES_MAX,
  NOTICES_BYTES,
  RESULTS_PER_REPLY_MAX,
} from '../wire/limits.js';
import { ReplyWriter } from '../wire/reply.js';
import { checkRequest } from '../wire/request.js';
import { STATUS_COUNT, Status } from '../wire/status.js';
import { wordAt } from './arena.js';
import {
  checkOptions,
  type Engine,
  type EngineOptions,
  INPUT_DURABLE,
  INPUT_WRITE_REFUSAL,
  initialInput,
  OPERATION_CODE_COUNT,
  OUTCOME_APPEND,
  OUTCOME_COUNT,
  OUTCOME_GATE,
  OUTCOME_KEYS,
  OUTCOME_LENGTH,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NEXT,
  OUTCOME_RECORD_BYTES,
  recordsMalformed,
} from './engine.js';
import { checkFold, checkRestore, fold, restore } from './fold.js';
import { Gate } from './gate.js';
import { entryBytes, Keyspace } from './keyspace.js';
import { addChecked, DECIMAL_BYTES_MAX, parseDecimal, writeDecimal } from './number.js';
import { Operation } from './operation.js';
import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_PUT,
  RECORD_TOUCH,
  RecordWriter,
  recordBytes,
} from './records.js';
import { scan, scanFits } from './scan.js';

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
  private readonly memoryBytesMax: number;
  private readonly frameBytesMax: number;
  private readonly keyspace: Keyspace;
  private readonly gate: Gate;
  private readonly replyWriter: ReplyWriter;
  private readonly recordWriter: RecordWriter;
  private readonly columns = new Columns();
  private readonly operation = new Operation();
  /** Of the group being executed. */
  private readonly hashes = new Uint32Array(GROUP);
  private readonly handles = new Uint32Array(GROUP);
  private readonly decimal = new Uint8Array(DECIMAL_BYTES_MAX);
  /** The frame being executed. */
  private frame = new Uint8Array(0);
  private view = new DataView(this.frame.buffer);
  private now = 0;
  /** What every write is answered with; Ok: writes are taken. */
  private writeRefusal: Status = Status.Ok;

  constructor(options: EngineOptions) {
    this.valueBytesMax = options.valueBytesMax;
    this.memoryBytesMax = options.memoryBytesMax;
    this.frameBytesMax = frameBytesMaxFor(options.valueBytesMax);
    this.keyspace = new Keyspace(options.partitions, options.hashSeed);
    this.gate = new Gate(options.partitions);
    this.reply = new Uint8Array(this.frameBytesMax);
    this.records = new Uint8Array(this.frameBytesMax);
    this.replyWriter = new ReplyWriter(this.reply);
    this.recordWriter = new RecordWriter(this.records);
  }

  execute(frame: ArrayBuffer, first: number, now: number): number {
    const { operation, columns, replyWriter, outcome } = this;
    this.begin();
    this.view = new DataView(frame);
    const refusal = checkRequest(this.view, this.frameBytesMax, columns);
    if (refusal !== Status.Ok) {
      outcome[OUTCOME_RECORD_BYTES] = 0;
      outcome[OUTCOME_GATE] = 0;
      return -refusal;
    }
    this.frame = new Uint8Array(frame);
    this.now = Math.max(this.now, now);

    const { count } = columns;
    let at = columns.elementsAt;
    let dataAt = columns.dataAt;
    for (let skipped = 0; skipped < first; skipped++, at += OPERATION_BYTES) {
      operation.decode(this.view, at, dataAt);
      dataAt = operation.valueEnd;
    }
    replyWriter.begin(this.resultsWanted(at, count - first));
    let next = first;
    for (; next < count; next++, at += OPERATION_BYTES) {
      const inGroup = (next - first) & (GROUP - 1);
      if (inGroup === 0) this.hashGroup(at, dataAt, Math.min(count - next, GROUP));
      operation.decode(this.view, at, dataAt);
      if (!this.executeOperation(this.hashes[inGroup] as number)) break;
      dataAt = operation.valueEnd;
    }

    outcome[OUTCOME_NEXT] = next;
    outcome[OUTCOME_COUNT] = count;
    this.finish();
    return replyWriter.finish();
  }

  advance(now: number): number {
    const { expiry } = this.keyspace;
    this.begin();
    this.now = Math.max(this.now, now);
    let expired = 0;
    while (this.writeRefusal === Status.Ok && expired < EXPIRIES_PER_ADVANCE_MAX) {
      const handle = expiry.firstDue(this.now);
      if (handle === 0) break;
      this.remove(handle, RECORD_EXPIRE);
      expired++;
    }
    this.finish();
    return expired;
  }

  openSession(): Status {
    return Status.Unavailable;
  }

  resumeSession(): Status {
    return Status.Unavailable;
  }

  fold(records: Uint8Array): void {
    checkFold(this.keyspace, records, this.valueBytesMax);
    this.restored(fold(this.keyspace, records));
  }

  restore(records: Uint8Array): void {
    if (this.keyspace.order.isBehind) this.keyspace.order.settle();
    checkRestore(this.keyspace, records, this.valueBytesMax);
    this.restored(restore(this.keyspace, records));
  }

  restoreRevisions(revisions: Float64Array, time: number): void {
    const { revisions: present } = this.keyspace;
    const goOn = revisions.every(
      (revision, partition) =>
        Number.isInteger(revision) &&
        revision >= (present[partition] as number) &&
        revision < INTEGER_LIMIT,
    );
    const isTime = time >= 0 && time < INTEGER_LIMIT;
    if (revisions.length !== present.length || !goOn || !isTime) throw recordsMalformed();
    present.set(revisions);
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
    const { input, keyspace } = this;
    if (keyspace.order.isBehind) keyspace.order.settle();
    this.recordWriter.clear();
    this.gate.begin(input[INPUT_DURABLE] as number);
    const refusal = input[INPUT_WRITE_REFUSAL] as number;
    const isStatus = Number.isInteger(refusal) && refusal > 0 && refusal < STATUS_COUNT;
    this.writeRefusal = isStatus ? refusal : Status.Ok;
  }

  /** Ends a call that took records of some time from elsewhere. */
  private restored(time: number): void {
    this.now = Math.max(this.now, time);
    this.recordWriter.clear();
    this.showState();
    this.outcome[OUTCOME_GATE] = 0;
  }

  /** Results to set room aside for: one an operation, and a scan's entries. */
  private resultsWanted(operationsAt: number, operations: number): number {
    let results = operations;
    let at = operationsAt;
    for (let index = 0; index < operations && results < RESULTS_PER_REPLY_MAX; index++) {
      results += this.view.getUint32(at + OPERATION_LIMIT, true);
      at += OPERATION_BYTES;
    }
    return Math.min(results, RESULTS_PER_REPLY_MAX);
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
  private executeOperation(hash: number): boolean {
    const { operation, frame, replyWriter } = this;
    if (replyWriter.resultRoom < 1) return false;
    const finding = operation.check(frame, this.valueBytesMax);
    if (finding !== Status.Ok) return this.end(finding, 0, 0);
    if (operation.code === OperationCode.Scan) {
      if (!scanFits(operation, replyWriter, this.valueBytesMax)) return false;
      scan(this.keyspace, this.gate, operation, frame, this.now, replyWriter);
      return this.count(Status.Ok);
    }
    if (this.writeRefusal !== Status.Ok && operation.code !== OperationCode.Get) {
      return this.end(this.writeRefusal, 0, 0);
    }

    // Room for an expire record and the operation's own, and for the number that an increment shows.
    const { keyLength, valueLength } = operation;
    const valueRoom = Math.max(valueLength, DECIMAL_BYTES_MAX);
    const recordsRoom = recordBytes(keyLength, 0) + recordBytes(keyLength, valueRoom);
    if (this.recordWriter.room < recordsRoom) return false;
    if (operation.code === OperationCode.Increment && replyWriter.dataRoom < DECIMAL_BYTES_MAX) {
      return false;
    }

    const handle = this.findLive(hash);
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
    if (expiresAt === 0 || expiresAt > this.now) return handle;
    if (this.writeRefusal === Status.Ok) this.remove(handle, RECORD_EXPIRE);
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
    if (!this.memoryAllows(handle, operation.valueLength)) {
      return this.end(Status.ResourceExhausted, present, 0);
    }
    const expiresAt = this.expiryAfter(handle);
    const { valueAt, valueEnd } = operation;
    const revision = this.store(hash, handle, frame, valueAt, valueEnd, expiresAt);
    return this.end(Status.Ok, revision, this.msUntil(expiresAt));
  }

  private delete(handle: number): boolean {
    if (handle === 0) return this.end(Status.NotFound, 0, 0);
    const present = this.revisionAt(handle);
    const refusal = this.operation.conditionStatus(present);
    if (refusal !== Status.Ok) return this.end(refusal, present, 0);
    return this.end(Status.Ok, this.remove(handle, RECORD_DELETE), 0);
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
    const revision = this.store(hash, handle, decimal, 0, length, expiresAt);
    const ttlMs = this.msUntil(expiresAt);
    replyWriter.resultRange(operation.id, decimal, 0, length, revision, ttlMs);
    return this.count(Status.Ok);
  }

  private touch(handle: number): boolean {
    const { operation, keyspace, frame } = this;
    if (handle === 0) return this.end(Status.NotFound, 0, 0);
    const { keyAt, keyEnd } = operation;
    const expiresAt = this.expiryAfter(handle);
    const partition = keyspace.entries.partition(handle);
    const revision = keyspace.nextRevision(partition);
    keyspace.touch(handle, revision, expiresAt);
    this.record(RECORD_TOUCH, partition, revision, expiresAt, frame, keyAt, keyEnd, frame, 0, 0);
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
  ): number {
    const { keyspace, frame } = this;
    const { keyAt, keyEnd } = this.operation;
    const partition =
      handle === 0
        ? keyspace.partitionOf(frame, keyAt, keyEnd)
        : keyspace.entries.partition(handle);
    const revision = keyspace.nextRevision(partition);
    if (handle !== 0) {
      keyspace.replace(hash, handle, value, start, end, revision, expiresAt);
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
      );
    }
    this.record(
      RECORD_PUT,
      partition,
      revision,
      expiresAt,
      frame,
      keyAt,
      keyEnd,
      value,
      start,
      end,
    );
    return revision;
  }

  /** Removes a key, makes the record and returns its revision. */
  private remove(handle: number, kind: number): number {
    const { keyspace } = this;
    const { entries } = keyspace;
    const partition = entries.partition(handle);
    const revision = keyspace.nextRevision(partition);
    const bytes = entries.bytes(handle);
    const [start, end] = [entries.keyStart(handle), entries.keyEnd(handle)];
    this.record(kind, partition, revision, 0, bytes, start, end, bytes, 0, 0);
    this.gate.removed(keyspace, bytes, start, end);
    keyspace.remove(handle, revision);
    return revision;
  }

  private record(
    kind: number,
    partition: number,
    revision: number,
    expiresAt: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    start: number,
    end: number,
  ): void {
    const { recordWriter, now } = this;
    this.gate.made(partition, revision);
    recordWriter.append(
      kind,
      partition,
      revision,
      now,
      expiresAt,
      key,
      keyStart,
      keyEnd,
      value,
      start,
      end,
    );
  }

  private revisionAt(handle: number): number {
    return handle === 0 ? 0 : this.keyspace.entries.revision(handle);
  }

  /** The expiry that the operation leaves on its key. */
  private expiryAfter(handle: number): number {
    const before = handle === 0 ? 0 : this.keyspace.expiry.expiresAt(handle);
    return this.operation.expiryAfter(before, this.now);
  }

  /** Whether the operation's key may have a value of this length. */
  private memoryAllows(handle: number, valueLength: number): boolean {
    const { entries, memoryBytes } = this.keyspace;
    const { keyLength } = this.operation;
    const after = entryBytes(keyLength, valueLength);
    const before = handle === 0 ? 0 : entryBytes(keyLength, entries.valueLength(handle));
    if (after <= before) return true;
    if (!entries.arena.hasRoom) return false;
    return this.memoryBytesMax === 0 || memoryBytes + after - before <= this.memoryBytesMax;
  }

  /** Milliseconds from now to an expiry; 0 for none. */
  private msUntil(expiresAt: number): number {
    return expiresAt === 0 ? 0 : expiresAt - this.now;
  }

  private end(status: Status, revision: number, ttlMs: number): true {
    this.replyWriter.result(this.operation.id, status, revision, ttlMs);
    return this.count(status);
  }

  private count(status: Status): true {
    const { code } = this.operation;
    const row = code <= OperationCode.Scan ? code : 0;
    const at = row * STATUS_COUNT + status;
    this.counters[at] = (this.counters[at] as number) + 1;
    return true;
  }

  /** Ends a call that may have made records. */
  private finish(): void {
    const { outcome, recordWriter, gate } = this;
    outcome[OUTCOME_GATE] = gate.end(recordWriter.length > 0);
    this.showState();
  }

  private showState(): void {
    const { outcome, keyspace } = this;
    outcome[OUTCOME_RECORD_BYTES] = this.recordWriter.length;
    outcome[OUTCOME_KEYS] = keyspace.entries.count;
    outcome[OUTCOME_MEMORY_BYTES] = keyspace.memoryBytes;
    outcome[OUTCOME_APPEND] = this.gate.appends;
  }
}
