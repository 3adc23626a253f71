// The pure-TypeScript engine: the contract of `engine.ts` in its plainest form, the specification that
// the Rust engine (`core-native/src/engine.rs`) is compared with byte for byte.
//
// A frame is executed in groups of operations. For each group the keys are hashed and their cells and
// entries read once, each step for the whole group before the next, so that the cache misses of a
// group overlap; then its operations run in order and find everything near.

import { Columns } from '../wire/columns.js';
import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { OPERATION_BYTES } from '../wire/layout.js';
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
import { listBlockers } from './blockers.js';
import { CoordinationOperations, NO_RESULT, NO_ROOM } from './coordination-operations.js';
import { Due } from './due.js';
import { Effects } from './effects.js';
import {
  COUNTERS,
  checkOptions,
  type Engine,
  type EngineOptions,
  INPUT_DURABLE,
  INPUT_FORWARDED,
  INPUT_SESSION,
  INPUT_WRITE_REFUSAL,
  initialInput,
  OUTCOME_COUNT,
  OUTCOME_FORWARD_BYTES,
  OUTCOME_GATE,
  OUTCOME_LENGTH,
  OUTCOME_MORE,
  OUTCOME_NEXT,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
} from './engine.js';
import { FencedWrites } from './fenced-writes.js';
import { checkFold, checkRestore, checkRevisions, fold, restore } from './fold.js';
import { ForwardWriter, forwardBytesMax } from './forwards.js';
import { Gate } from './gate.js';
import { Holdings } from './holdings.js';
import { KeyOperations } from './key-operations.js';
import { Keyspace } from './keyspace.js';
import { NoticeWriter } from './notices.js';
import { isKnownCode, Operation, resultsWanted } from './operation.js';
import { showState } from './outcome.js';
import { RECORD_EXPIRE, RecordWriter, recordBytes } from './records.js';
import { FORWARDED, HERE, Router } from './routing.js';
import { scan, scanFits } from './scan.js';
import { admitSession, endGuest, openSession, refuseWait, resumeSession } from './session-calls.js';
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
  readonly forwards: Uint8Array<ArrayBuffer>;
  readonly outcome = new Float64Array(OUTCOME_LENGTH);
  readonly input = initialInput();
  readonly counters: Float64Array;

  private readonly valueBytesMax: number;
  private readonly frameBytesMax: number;
  private readonly keyspace: Keyspace;
  private readonly gate: Gate;
  private readonly replyWriter: ReplyWriter;
  private readonly recordWriter: RecordWriter;
  private readonly noticeWriter = new NoticeWriter(this.notices);
  private readonly forwardWriter: ForwardWriter;
  /** Undefined: all partitions are this engine's. */
  private readonly router: Router | undefined;
  private readonly effects: Effects;
  private readonly holdings: Holdings;
  private readonly settling: Settling;
  private readonly due: Due;
  private readonly coordination: CoordinationOperations;
  private readonly keyOperations: KeyOperations;
  private readonly columns = new Columns();
  private readonly operation = new Operation();
  /** Of the group being executed. */
  private readonly hashes = new Uint32Array(GROUP);
  private readonly handles = new Uint32Array(GROUP);
  /** The frame being executed. */
  private frame = new Uint8Array(0);
  private view = new DataView(this.frame.buffer);

  constructor(options: EngineOptions) {
    this.valueBytesMax = options.valueBytesMax;
    this.frameBytesMax = frameBytesMaxFor(options.valueBytesMax);
    this.counters = options.counters ?? new Float64Array(COUNTERS);
    this.keyspace = new Keyspace(options.partitions, options.hashSeed);
    const { routing } = options;
    this.router = routing === undefined ? undefined : new Router(routing, this.keyspace);
    const forwardBytes = routing === undefined ? 0 : forwardBytesMax(this.frameBytesMax);
    this.forwards = new Uint8Array(forwardBytes);
    this.forwardWriter = new ForwardWriter(this.forwards);
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
    this.coordination = new CoordinationOperations(
      effects,
      holdings,
      this.settling,
      operation,
      replyWriter,
      noticeWriter,
      options.valueBytesMax,
    );
    this.keyOperations = new KeyOperations(
      effects,
      this.settling,
      this.coordination,
      new FencedWrites(effects, holdings, operation, this.router),
      operation,
      replyWriter,
    );
  }

  execute(frame: ArrayBuffer, first: number, now: number): number {
    const { operation, columns, replyWriter, outcome, router, input } = this;
    this.begin();
    this.view = new DataView(frame);
    const refusal = checkRequest(this.view, this.frameBytesMax, columns);
    if (refusal !== Status.Ok) {
      outcome[OUTCOME_RECORD_BYTES] = 0;
      outcome[OUTCOME_NOTICE_BYTES] = 0;
      outcome[OUTCOME_FORWARD_BYTES] = 0;
      outcome[OUTCOME_GATE] = 0;
      return -refusal;
    }
    this.frame = new Uint8Array(frame);
    const session = input[INPUT_SESSION] as number;
    this.moveTime(now, this.frame, session);
    this.keyOperations.begin(this.frame, this.view);
    const isForwarded = input[INPUT_FORWARDED] === 1;
    router?.begin(this.frame, columns, first, session, isForwarded, this.forwardWriter);

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
      const place = router === undefined ? HERE : router.placeOf(next);
      if (place === HERE) {
        if (!this.executeOperation(at, this.hashes[inGroup] as number)) break;
      } else if (place !== FORWARDED && !this.answerUnavailable()) {
        break;
      }
      dataAt = operation.valueEnd;
    }

    // The same call comes again, and leaves them then.
    if (next === 0) this.forwardWriter.clear();
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
    const status = openSession(this.effects, this.holdings, this.router, id, ttlMs, digest);
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

  admitSession(id: number): Status {
    return admitSession(this.holdings, this.router, id);
  }

  endGuest(id: number, now: number): Status {
    this.begin();
    if (now > this.effects.now) this.effects.now = now;
    const status = endGuest(this.effects, this.holdings, this.settling, id);
    this.finish();
    return status;
  }

  guests(): Float64Array {
    return Float64Array.from(this.holdings.sessions.guests());
  }

  listBlockers(sessions: Float64Array): number {
    this.begin();
    const count = listBlockers(this.holdings.sessions, sessions, this.noticeWriter);
    this.finish();
    return count;
  }

  refuseWait(session: number, id: number, detail: Uint8Array, now: number): boolean {
    this.begin();
    if (now > this.effects.now) this.effects.now = now;
    const isRefused = refuseWait(this.holdings, this.settling, session, id, detail);
    this.finish();
    return isRefused;
  }

  fold(records: Uint8Array): void {
    checkFold(this.keyspace, records, this.valueBytesMax);
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
    const { input, keyspace } = this;
    if (keyspace.order.isBehind) keyspace.order.settle();
    this.recordWriter.clear();
    this.noticeWriter.clear();
    this.forwardWriter.clear();
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
    this.forwardWriter.clear();
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
    const finding = operation.check(frame, this.valueBytesMax, this.router?.workerCount ?? 1);
    if (finding !== Status.Ok) return this.end(finding);
    const { code } = operation;
    if (code === OperationCode.Scan) {
      if (!scanFits(operation, replyWriter, this.valueBytesMax)) return false;
      scan(this.keyspace, this.gate, operation, frame, effects.now, replyWriter);
      return this.count(Status.Ok);
    }
    const status =
      code > OperationCode.Scan
        ? this.coordination.execute(operationAt)
        : this.keyOperations.execute(hash);
    return status === NO_RESULT || (status !== NO_ROOM && this.count(status));
  }

  /** Answers an operation that was forwarded here and is another worker's. False where the reply has no room left. */
  private answerUnavailable(): boolean {
    return this.replyWriter.resultRoom >= 1 && this.end(Status.Unavailable);
  }

  private end(status: Status): true {
    this.replyWriter.result(this.operation.id, status, 0, 0);
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
    this.router?.publish();
    this.outcome[OUTCOME_FORWARD_BYTES] = this.forwardWriter.length;
    showState(this.outcome, this.effects, this.holdings, this.noticeWriter);
  }
}
