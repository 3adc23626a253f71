// The pure-TypeScript engine: the contract of `engine.ts` in the plainest form, the specification
// that the Rust engine is compared with byte for byte.

import { Columns } from '../wire/columns.js';
import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { FLAG_ENTRY, FLAG_MORE, OPERATION_BYTES, OPERATION_LIMIT } from '../wire/layout.js';
import {
  EXPIRIES_PER_ADVANCE_MAX,
  frameBytesMaxFor,
  KEY_BYTES_MAX,
  RESULTS_PER_REPLY_MAX,
  SCAN_BYTES_MAX,
} from '../wire/limits.js';
import { partitionOfKey } from '../wire/partition.js';
import { ReplyWriter } from '../wire/reply.js';
import { checkRequest } from '../wire/request.js';
import { STATUS_COUNT, Status } from '../wire/status.js';
import {
  checkOptions,
  type Engine,
  type EngineOptions,
  OPERATION_CODE_COUNT,
  OUTCOME_COUNT,
  OUTCOME_KEYS,
  OUTCOME_LENGTH,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NEXT,
  OUTCOME_RECORD_BYTES,
  recordsMalformed,
} from './engine.js';
import { type Entry, entryBytes, Keyspace } from './keyspace.js';
import { bytesOf, latin1 } from './latin1.js';
import { addChecked, DECIMAL_BYTES_MAX, parseDecimal } from './number.js';
import { Operation } from './operation.js';
import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_PUT,
  RECORD_TOUCH,
  RecordReader,
  RecordWriter,
  recordBytes,
} from './records.js';

const NO_BYTES = new Uint8Array(0);

export function createTsEngine(options: EngineOptions): Engine {
  checkOptions(options);
  return new TsEngine(options);
}

class TsEngine implements Engine {
  readonly kind = 'ts';
  readonly reply: Uint8Array<ArrayBuffer>;
  readonly records: Uint8Array<ArrayBuffer>;
  readonly outcome = new Float64Array(OUTCOME_LENGTH);
  readonly counters = new Float64Array(OPERATION_CODE_COUNT * STATUS_COUNT);

  private readonly partitions: number;
  private readonly valueBytesMax: number;
  private readonly memoryBytesMax: number;
  private readonly frameBytesMax: number;
  private readonly keyspace: Keyspace;
  private readonly replyWriter: ReplyWriter;
  private readonly recordWriter: RecordWriter;
  private readonly columns = new Columns();
  private readonly operation = new Operation();
  /** The frame being executed. */
  private frame = Buffer.alloc(0);
  private view = new DataView(this.frame.buffer);
  private now = 0;

  constructor(options: EngineOptions) {
    this.partitions = options.partitions;
    this.valueBytesMax = options.valueBytesMax;
    this.memoryBytesMax = options.memoryBytesMax;
    this.frameBytesMax = frameBytesMaxFor(options.valueBytesMax);
    this.keyspace = new Keyspace(options.partitions);
    this.reply = new Uint8Array(this.frameBytesMax);
    this.records = new Uint8Array(this.frameBytesMax);
    this.replyWriter = new ReplyWriter(this.reply);
    this.recordWriter = new RecordWriter(this.records);
  }

  execute(frame: ArrayBuffer, first: number, now: number): number {
    const { operation, columns, replyWriter, outcome } = this;
    this.recordWriter.clear();
    this.view = new DataView(frame);
    const refusal = checkRequest(this.view, this.frameBytesMax, columns);
    if (refusal !== Status.Ok) {
      outcome[OUTCOME_RECORD_BYTES] = 0;
      return -refusal;
    }
    this.frame = Buffer.from(frame);
    this.now = Math.max(this.now, now);

    let at = columns.elementsAt;
    let dataAt = columns.dataAt;
    for (let skipped = 0; skipped < first; skipped++, at += OPERATION_BYTES) {
      operation.decode(this.view, at, dataAt);
      dataAt = operation.valueAt + operation.valueLength;
    }
    replyWriter.begin(this.resultsWanted(at, columns.count - first));
    let next = first;
    for (; next < columns.count; next++, at += OPERATION_BYTES) {
      operation.decode(this.view, at, dataAt);
      if (!this.executeOperation()) break;
      dataAt = operation.valueAt + operation.valueLength;
    }

    outcome[OUTCOME_NEXT] = next;
    outcome[OUTCOME_COUNT] = columns.count;
    this.settle();
    return replyWriter.finish();
  }

  advance(now: number): number {
    const { expiry } = this.keyspace;
    this.recordWriter.clear();
    this.now = Math.max(this.now, now);
    let expired = 0;
    while (expired < EXPIRIES_PER_ADVANCE_MAX) {
      const entry = expiry.first;
      if (entry === undefined || entry.expiresAt > this.now) break;
      this.expire(entry);
      expired++;
    }
    this.settle();
    return expired;
  }

  fold(records: Uint8Array): void {
    this.checkRecords(records);
    const { keyspace } = this;
    const reader = new RecordReader(records);
    while (reader.next()) {
      this.now = Math.max(this.now, reader.time);
      const key = latin1(reader.key, 0, reader.key.length);
      const entry = keyspace.entries.get(key);
      const { kind, partition, revision, expiresAt } = reader;
      if (kind === RECORD_PUT) {
        keyspace.put(entry, key, partition, reader.value, revision, expiresAt);
      } else if (entry === undefined) {
        keyspace.revisions[partition] = revision;
      } else if (kind === RECORD_TOUCH) {
        keyspace.touch(entry, revision, expiresAt);
      } else {
        keyspace.remove(entry, revision);
      }
    }
    this.recordWriter.clear();
    this.settle();
  }

  revisionOf(partition: number): number {
    return this.keyspace.revisions[partition] ?? 0;
  }

  partitionOf(key: Uint8Array): number {
    return partitionOfKey(key, 0, key.length, this.partitions);
  }

  close(): void {
    this.keyspace.entries.clear();
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

  /** False, with nothing done, where the reply or the records have no room left for it. */
  private executeOperation(): boolean {
    const { operation, frame, replyWriter } = this;
    if (replyWriter.resultRoom < 1) return false;
    const finding = operation.check(frame, this.valueBytesMax);
    if (finding !== Status.Ok) return this.end(finding, 0, 0);
    if (operation.code === OperationCode.Scan) return this.scan();

    // Room for an expire record and the operation's own, and for the number that an increment shows.
    const { keyAt, keyLength, valueAt, valueLength } = operation;
    const valueRoom = Math.max(valueLength, DECIMAL_BYTES_MAX);
    const recordsRoom = recordBytes(keyLength, 0) + recordBytes(keyLength, valueRoom);
    if (this.recordWriter.room < recordsRoom) return false;
    if (operation.code === OperationCode.Increment && replyWriter.dataRoom < DECIMAL_BYTES_MAX) {
      return false;
    }

    const key = latin1(frame, keyAt, keyAt + keyLength);
    let entry = this.keyspace.entries.get(key);
    if (entry !== undefined && entry.expiresAt !== 0 && entry.expiresAt <= this.now) {
      this.expire(entry);
      entry = undefined;
    }
    switch (operation.code) {
      case OperationCode.Get:
        return this.get(entry);
      case OperationCode.Put:
        return this.put(entry, key, frame.subarray(valueAt, valueAt + valueLength));
      case OperationCode.Delete:
        return this.delete(entry);
      case OperationCode.Increment:
        return this.increment(entry, key);
      default:
        return this.touch(entry);
    }
  }

  private get(entry: Entry | undefined): boolean {
    const { operation, replyWriter } = this;
    if (entry === undefined) return this.end(Status.NotFound, 0, 0);
    if (operation.keysOnly)
      return this.end(Status.Ok, entry.revision, this.msUntil(entry.expiresAt));
    if (replyWriter.dataRoom < entry.value.length) return false;
    return this.endWithValue(entry.value, entry.revision, this.msUntil(entry.expiresAt));
  }

  private put(entry: Entry | undefined, key: string, value: Uint8Array): boolean {
    const { operation } = this;
    const present = entry === undefined ? 0 : entry.revision;
    const refusal = operation.conditionStatus(present);
    if (refusal !== Status.Ok) return this.end(refusal, present, 0);
    if (!this.memoryAllows(entry, key, value))
      return this.end(Status.ResourceExhausted, present, 0);
    const expiresAt = operation.expiryAfter(entry === undefined ? 0 : entry.expiresAt, this.now);
    return this.end(Status.Ok, this.store(entry, key, value, expiresAt), this.msUntil(expiresAt));
  }

  private delete(entry: Entry | undefined): boolean {
    const { operation } = this;
    if (entry === undefined) return this.end(Status.NotFound, 0, 0);
    const refusal = operation.conditionStatus(entry.revision);
    if (refusal !== Status.Ok) return this.end(refusal, entry.revision, 0);
    return this.end(Status.Ok, this.remove(entry, RECORD_DELETE), 0);
  }

  private increment(entry: Entry | undefined, key: string): boolean {
    const { operation, view } = this;
    const present = entry === undefined ? 0 : entry.revision;
    const number = entry === undefined ? 0n : parseDecimal(entry.value);
    if (number === undefined) return this.end(Status.NotANumber, present, 0);
    const sum = addChecked(number, view.getBigInt64(operation.valueAt, true));
    if (sum === undefined) return this.end(Status.NumberOverflow, present, 0);
    const value = bytesOf(sum.toString());
    if (!this.memoryAllows(entry, key, value))
      return this.end(Status.ResourceExhausted, present, 0);
    const expiresAt = operation.expiryAfter(entry === undefined ? 0 : entry.expiresAt, this.now);
    const revision = this.store(entry, key, value, expiresAt);
    return this.endWithValue(value, revision, this.msUntil(expiresAt));
  }

  private touch(entry: Entry | undefined): boolean {
    const { operation, keyspace } = this;
    if (entry === undefined) return this.end(Status.NotFound, 0, 0);
    const expiresAt = operation.expiryAfter(entry.expiresAt, this.now);
    const revision = this.nextRevision(entry.partition);
    keyspace.touch(entry, revision, expiresAt);
    this.record(RECORD_TOUCH, entry.partition, revision, expiresAt, bytesOf(entry.key), NO_BYTES);
    return this.end(Status.Ok, revision, this.msUntil(expiresAt));
  }

  private scan(): boolean {
    const { operation, frame, replyWriter, keyspace } = this;
    const { keyAt, keyLength, valueAt, valueLength, keysOnly, limit } = operation;
    const dataRoom = SCAN_BYTES_MAX + this.valueBytesMax + 2 * KEY_BYTES_MAX;
    if (replyWriter.resultRoom < limit + 1) return false;
    if (!replyWriter.isEmpty && replyWriter.dataRoom < dataRoom) return false;

    const prefix = latin1(frame, keyAt, keyAt + keyLength);
    const cursor = latin1(frame, valueAt, valueAt + valueLength);
    let count = 0;
    let bytes = 0;
    let last = '';
    let more = false;
    for (const key of keyspace.order.from(cursor > prefix ? cursor : prefix)) {
      if (!key.startsWith(prefix)) break;
      const entry = keyspace.entries.get(key) as Entry;
      if (valueLength > 0 && key === cursor) continue;
      if (entry.expiresAt !== 0 && entry.expiresAt <= this.now) continue;
      const value = keysOnly ? NO_BYTES : entry.value;
      bytes += key.length + value.length;
      if (count === limit || (count > 0 && bytes > SCAN_BYTES_MAX)) {
        more = true;
        break;
      }
      const ttlMs = this.msUntil(entry.expiresAt);
      replyWriter.entry(operation.id, FLAG_ENTRY, bytesOf(key), value, entry.revision, ttlMs);
      count++;
      last = key;
    }
    replyWriter.closing(operation.id, more ? FLAG_MORE : 0, more ? bytesOf(last) : NO_BYTES, count);
    this.count(Status.Ok);
    return true;
  }

  /** Sets the value of the operation's key, makes the record and returns its revision. */
  private store(
    entry: Entry | undefined,
    key: string,
    value: Uint8Array,
    expiresAt: number,
  ): number {
    const { operation, frame, keyspace } = this;
    const { keyAt, keyLength } = operation;
    const keyEnd = keyAt + keyLength;
    const partition =
      entry === undefined ? partitionOfKey(frame, keyAt, keyEnd, this.partitions) : entry.partition;
    const revision = this.nextRevision(partition);
    keyspace.put(entry, key, partition, value, revision, expiresAt);
    this.record(RECORD_PUT, partition, revision, expiresAt, frame.subarray(keyAt, keyEnd), value);
    return revision;
  }

  private expire(entry: Entry): void {
    this.remove(entry, RECORD_EXPIRE);
  }

  private remove(entry: Entry, kind: number): number {
    const revision = this.nextRevision(entry.partition);
    this.keyspace.remove(entry, revision);
    this.record(kind, entry.partition, revision, 0, bytesOf(entry.key), NO_BYTES);
    return revision;
  }

  private record(
    kind: number,
    partition: number,
    revision: number,
    expiresAt: number,
    key: Uint8Array,
    value: Uint8Array,
  ): void {
    this.recordWriter.append(kind, partition, revision, this.now, expiresAt, key, value);
  }

  private nextRevision(partition: number): number {
    return (this.keyspace.revisions[partition] as number) + 1;
  }

  private memoryAllows(entry: Entry | undefined, key: string, value: Uint8Array): boolean {
    if (this.memoryBytesMax === 0) return true;
    const before = entry === undefined ? 0 : entryBytes(key.length, entry.value.length);
    const growth = entryBytes(key.length, value.length) - before;
    return growth <= 0 || this.keyspace.memoryBytes + growth <= this.memoryBytesMax;
  }

  /** Milliseconds from now to an expiry; 0 for none. */
  private msUntil(expiresAt: number): number {
    return expiresAt === 0 ? 0 : expiresAt - this.now;
  }

  private end(status: Status, revision: number, ttlMs: number): true {
    this.replyWriter.result(this.operation.id, status, revision, ttlMs);
    return this.count(status);
  }

  private endWithValue(value: Uint8Array, revision: number, ttlMs: number): true {
    this.replyWriter.resultWithValue(this.operation.id, value, revision, ttlMs);
    return this.count(Status.Ok);
  }

  private count(status: Status): true {
    const { code } = this.operation;
    const row = code <= OperationCode.Scan ? code : 0;
    const at = row * STATUS_COUNT + status;
    this.counters[at] = (this.counters[at] as number) + 1;
    return true;
  }

  private settle(): void {
    this.outcome[OUTCOME_RECORD_BYTES] = this.recordWriter.length;
    this.outcome[OUTCOME_KEYS] = this.keyspace.entries.size;
    this.outcome[OUTCOME_MEMORY_BYTES] = this.keyspace.memoryBytes;
  }

  /** Throws where `records` cannot be folded onto this state; changes nothing. */
  private checkRecords(records: Uint8Array): void {
    const valueBytesMax = Math.max(this.valueBytesMax, DECIMAL_BYTES_MAX);
    const reader = new RecordReader(records);
    const newest = new Map<number, number>();
    while (!reader.done) {
      const whole = reader.next();
      const { partition, revision, key, value } = reader;
      const before = newest.get(partition) ?? this.revisionOf(partition);
      const follows = whole && this.partitionOf(key) === partition && revision === before + 1;
      if (!follows || value.length > valueBytesMax) {
        throw recordsMalformed();
      }
      newest.set(partition, revision);
    }
  }
}
