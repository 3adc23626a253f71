// Runs two engines side by side through the same steps and compares everything that can be seen of
// them: return values, reply, record and notice bytes, outcome, counters, order of scans, revisions. On a
// difference the steps are cut down to few that still show it.

import {
  type Engine,
  INPUT_DURABLE,
  INPUT_FORWARDED,
  INPUT_SESSION,
  INPUT_WRITE_REFUSAL,
  OUTCOME_APPEND,
  OUTCOME_COUNT,
  OUTCOME_FORWARD_BYTES,
  OUTCOME_NEXT,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
} from '../../ts/engine/engine.js';
import { WORKER_DOWN, WORKER_SERVING } from '../../ts/shared/layout.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_ENTRY } from '../../ts/wire/layout.js';
import { SCAN_ENTRIES_MAX } from '../../ts/wire/limits.js';
import { digestOf, fenced, listLocks } from '../drive/coordination.js';
import { decodeReply, type Result } from '../drive/drive.js';
import { decodeForwards } from '../drive/forwards.js';
import { decodeNotices, type Notice } from '../drive/notices.js';
import { copyOf, encodeRequest, type Operation, scan } from '../drive/operations.js';
import { setState } from '../drive/routing.js';
import { Learned } from './learned.js';
import { describeStep, type PlannedOperation, type Step } from './steps.js';
import { OWN_WORKER } from './worker-steps.js';

export interface Pair {
  readonly left: Engine;
  readonly right: Engine;
  /** Where they are of one of several workers. */
  readonly shared?: SharedState | undefined;
}

/** What engines of one of several workers share with others: the table, and each its own revisions. */
export interface SharedState {
  readonly table: Uint32Array;
  readonly revisions: readonly [BigUint64Array, BigUint64Array];
}

/** Sets both engines' `input` as one that has a durable log, of which nothing is durable yet. */
export function withLog({ left, right, shared }: Pair): Pair {
  for (const engine of [left, right]) engine.input[INPUT_DURABLE] = 0;
  return { left, right, shared };
}

/** Where two engines part. */
export interface Divergence {
  readonly step: number;
  readonly what: string;
}

/** Steps between two comparisons of the whole state. */
const STATE_EVERY = 50;
/** Lines of steps in the report of a difference: the last ones. */
const REPORT_LINES_MAX = 60;
const START = 1_700_000_000_000;

/** The first difference, or undefined. Closes both engines. */
export function runLockstep(
  make: () => Pair,
  steps: readonly Step[],
  partitions: number,
): Divergence | undefined {
  const { left, right, shared } = make();
  const lockstep = new Lockstep(left, right, partitions, START, shared);
  try {
    for (const [index, step] of steps.entries()) {
      const atEnd = index === steps.length - 1;
      const what =
        lockstep.step(step) ?? (index % STATE_EVERY === 0 || atEnd ? lockstep.state() : undefined);
      if (what !== undefined) return { step: index, what };
    }
    return undefined;
  } finally {
    left.close();
    right.close();
  }
}

/** Fewer steps that still make the engines part (Zeller's ddmin, one pass a granularity). */
export function shrink(make: () => Pair, steps: readonly Step[], partitions: number): Step[] {
  const first = runLockstep(make, steps, partitions);
  if (first === undefined) throw new Error('the steps to shrink show no difference');
  let kept = steps.slice(0, first.step + 1);
  const deadline = Date.now() + 10_000;
  const holds = (candidate: Step[]) =>
    Date.now() < deadline && runLockstep(make, candidate, partitions) !== undefined;
  for (let chunk = Math.ceil(kept.length / 2); chunk >= 1; chunk = Math.floor(chunk / 2)) {
    for (let at = kept.length - chunk; at > -chunk; at -= chunk) {
      const candidate = kept.toSpliced(Math.max(at, 0), chunk);
      if (candidate.length > 0 && holds(candidate)) kept = candidate;
    }
  }
  for (const [index, step] of kept.entries()) {
    if (step.kind !== 'frame') continue;
    let { operations } = step;
    for (let chunk = Math.ceil(operations.length / 2); chunk >= 1; chunk = Math.floor(chunk / 2)) {
      for (let at = operations.length - chunk; at > -chunk; at -= chunk) {
        const fewer = operations.toSpliced(Math.max(at, 0), chunk);
        if (fewer.length === 0) continue;
        const candidate = kept.with(index, { ...step, operations: fewer });
        if (!holds(candidate)) continue;
        kept = candidate;
        operations = fewer;
      }
    }
  }
  return kept;
}

/** Throws with seed, difference and the shrunk steps where the engines part. */
export function expectLockstep(
  make: () => Pair,
  steps: readonly Step[],
  partitions: number,
  seed: number,
): void {
  const divergence = runLockstep(make, steps, partitions);
  if (divergence === undefined) return;
  const shrunk = shrink(make, steps, partitions);
  const again = runLockstep(make, shrunk, partitions);
  throw new Error(
    [
      `The engines part at step ${divergence.step} of ${steps.length}: ${divergence.what}`,
      `Run again with RONDO_SEED=${seed}. Cut down to ${shrunk.length} steps: ${again?.what ?? divergence.what}`,
      ...shrunk.flatMap((step) => describeStep(step).split('\n')).slice(-REPORT_LINES_MAX),
    ].join('\n'),
  );
}

/** Two engines and what the run has learnt of them so far. */
export class Lockstep {
  /** What the left engine returned last: a length, or minus the status of a refusal. */
  returned = 0;
  /** Last seen revision by key, to make conditions that hold. */
  private readonly revisions = new Map<string, number>();
  private readonly cursors = new Map<string, Uint8Array>();
  private readonly learned = new Learned();
  /** How many more appends the left engine has made before this run. */
  private readonly appendsAhead: number;

  constructor(
    private readonly left: Engine,
    private readonly right: Engine,
    private readonly partitions: number,
    public now = START,
    private readonly shared?: SharedState,
  ) {
    this.appendsAhead = appendsOf(left) - appendsOf(right);
  }

  /** What differs after this step, or undefined. */
  step(step: Step): string | undefined {
    this.now += step.elapsed;
    const { left, right, now } = this;
    if (step.kind === 'advance') {
      const returned = [left.advance(now), right.advance(now)] as const;
      const what = this.compare('advance', returned, false) ?? this.compareRevisions();
      this.learned.hear(this.notices());
      return what;
    }
    if (step.kind === 'open' || step.kind === 'resume') {
      const returned = [sessionCall(left, step, now), sessionCall(right, step, now)] as const;
      const what = this.compare(step.kind, returned, false);
      this.learned.hear(this.notices());
      return what;
    }
    if (step.kind === 'log') {
      const durable = appendsOf(left) - step.unsettled;
      for (const { input } of [left, right]) {
        input[INPUT_DURABLE] = durable;
        input[INPUT_WRITE_REFUSAL] = step.writeRefusal;
      }
      return undefined;
    }
    if (step.kind === 'serving') {
      const state = step.isServing ? WORKER_SERVING : WORKER_DOWN;
      if (this.shared !== undefined) setState(this.shared.table, step.worker, state);
      return undefined;
    }
    if (step.kind === 'admit') {
      const { session } = step;
      return differAs(step.kind, left.admitSession(session), right.admitSession(session));
    }
    if (step.kind === 'guests') {
      const guests = differAt(left.guests(), right.guests());
      return guests === undefined ? undefined : `guests${guests}`;
    }
    if (step.kind === 'end-guest' || step.kind === 'refuse' || step.kind === 'blockers') {
      const call = this.workerCall(step);
      const what = this.compare(step.kind, [call(left), call(right)], false);
      this.learned.hear(this.notices());
      return what ?? this.compareRevisions();
    }
    if (step.kind === 'bytes') {
      return this.frame(copyOf(step.frame));
    }
    const { session = 0 } = step;
    const operations = step.operations.map((plan) => this.resolve(plan, session));
    return this.frame(encodeRequest(operations), operations, session, step.isForwarded);
  }

  /** What differs in the whole state: every live key in order, every lock, every revision. */
  state(): string | undefined {
    return this.pages(scan) ?? this.pages(listLocks) ?? this.compareRevisions();
  }

  private pages(page: typeof scan): string | undefined {
    let cursor: Uint8Array = new Uint8Array(0);
    for (;;) {
      const ttlMs = this.shared === undefined ? 0 : OWN_WORKER + 1;
      const frame = encodeRequest([{ ...page('', { limit: SCAN_ENTRIES_MAX, cursor }), ttlMs }]);
      const what = this.frame(frame);
      if (what !== undefined) return `in the whole state, ${what}`;
      const length = this.left.execute(frame, 0, this.now);
      this.right.execute(frame, 0, this.now); // Keeps the counters alike.
      const closing = decodeReply(this.left.reply.subarray(0, length)).at(-1);
      if (closing === undefined || closing.value.length === 0) return undefined;
      cursor = closing.value;
    }
  }

  /** Runs a frame to its end in both; what differs, or undefined. */
  frame(
    frame: ArrayBuffer,
    operations?: Operation[],
    session = 0,
    isForwarded = false,
  ): string | undefined {
    const { left, right, now } = this;
    for (const { input } of [left, right]) {
      input[INPUT_SESSION] = session;
      input[INPUT_FORWARDED] = isForwarded ? 1 : 0;
    }
    const results: Result[] = [];
    const notices: Notice[] = [];
    const elsewhere = new Set<number>();
    for (let first = 0; ; ) {
      // Each engine has a copy of its own that is spoiled after the call: nothing may be kept of it.
      const copies = [frame.slice(0), frame.slice(0)] as const;
      const returned = [
        left.execute(copies[0], first, now),
        right.execute(copies[1], first, now),
      ] as const;
      for (const copy of copies) new Uint8Array(copy).fill(0xa5);
      this.returned = returned[0];
      const what = this.compare(`execute from ${first}`, returned, true);
      if (what !== undefined) return what;
      if (returned[0] < 0) return undefined;
      results.push(...decodeReply(left.reply.subarray(0, returned[0])));
      notices.push(...this.notices());
      for (const id of this.forwarded()) elsewhere.add(id);
      const next = left.outcome[OUTCOME_NEXT] ?? 0;
      const count = left.outcome[OUTCOME_COUNT] ?? 0;
      if (next === count) break;
      const { [OUTCOME_RECORD_BYTES]: records = 0, [OUTCOME_NOTICE_BYTES]: told = 0 } =
        left.outcome;
      if (next < first || (next === first && records + told === 0)) {
        return `no progress at operation ${first}`;
      }
      first = next;
    }
    if (operations !== undefined) {
      this.learn(operations, results);
      const here = operations.filter(({ id = 0 }) => !elsewhere.has(id));
      this.learned.learn(session, here, results, notices);
    }
    return this.shared === undefined ? undefined : this.compareRevisions();
  }

  /** A call about a guest or waits, to either engine. */
  private workerCall(
    step: Extract<Step, { kind: 'end-guest' | 'refuse' | 'blockers' }>,
  ): (engine: Engine) => number {
    const { now } = this;
    if (step.kind === 'end-guest') return (engine) => engine.endGuest(step.session, now);
    if (step.kind === 'blockers') {
      const sessions = Float64Array.from(step.sessions);
      return (engine) => engine.listBlockers(sessions);
    }
    const { session, id } = this.learned.wait(0, step.pick) ?? { session: step.session, id: 1 };
    const detail = Buffer.from(`a cycle of ${step.pick}`);
    return (engine) => (engine.refuseWait(session, id, detail, now) ? 1 : 0);
  }

  /** Ids of the operations that the left engine's last call left to others. */
  private forwarded(): number[] {
    const { forwards, outcome } = this.left;
    const length = outcome[OUTCOME_FORWARD_BYTES] ?? 0;
    if (length === 0) return [];
    const entries = decodeForwards(forwards.slice(0, length));
    return entries.flatMap(({ operations }) => operations.map(({ id }) => id));
  }

  /** What the left engine's last call told. */
  private notices(): Notice[] {
    return decodeNotices(this.left.notices.slice(0, this.left.outcome[OUTCOME_NOTICE_BYTES]));
  }

  private compare(
    call: string,
    [left, right]: readonly [number, number],
    replies: boolean,
  ): string | undefined {
    if (left !== right) return `${call} returned ${left} and ${right}`;
    const reply = replies && left > 0 ? differ(this.left.reply, this.right.reply, left) : -1;
    if (reply >= 0) return `${call}: replies differ at byte ${reply} of ${left}`;
    const ours = this.left.outcome.slice();
    ours[OUTCOME_APPEND] = appendsOf(this.left) - this.appendsAhead;
    const outcome = differAt(ours, this.right.outcome);
    if (outcome !== undefined) return `${call}: outcome${outcome}`;
    const recordBytes = this.left.outcome[OUTCOME_RECORD_BYTES] ?? 0;
    const record = differ(this.left.records, this.right.records, recordBytes);
    if (record >= 0) return `${call}: records differ at byte ${record} of ${recordBytes}`;
    const noticeBytes = this.left.outcome[OUTCOME_NOTICE_BYTES] ?? 0;
    const notice = differ(this.left.notices, this.right.notices, noticeBytes);
    if (notice >= 0) return `${call}: notices differ at byte ${notice} of ${noticeBytes}`;
    const forwardBytes = this.left.outcome[OUTCOME_FORWARD_BYTES] ?? 0;
    const forward = differ(this.left.forwards, this.right.forwards, forwardBytes);
    if (forward >= 0) return `${call}: forwards differ at byte ${forward} of ${forwardBytes}`;
    const counters = differAt(this.left.counters, this.right.counters);
    return counters === undefined ? undefined : `${call}: counters${counters}`;
  }

  private compareRevisions(): string | undefined {
    for (let partition = 0; partition < Math.min(this.partitions, 256); partition++) {
      const [left, right] = [this.left.revisionOf(partition), this.right.revisionOf(partition)];
      if (left !== right) return `revision of partition ${partition} is ${left} and ${right}`;
    }
    const [ours, theirs] = this.shared?.revisions ?? [];
    const published = ours?.findIndex((revision, at) => revision !== theirs?.[at]) ?? -1;
    if (published >= 0) return `published revisions of partition ${published} differ`;
    for (const key of this.revisions.keys()) {
      const bytes = Buffer.from(key, 'latin1');
      const [left, right] = [this.left.partitionOf(bytes), this.right.partitionOf(bytes)];
      if (left !== right) return `partition of ${JSON.stringify(key)} is ${left} and ${right}`;
    }
    return undefined;
  }

  private resolve(plan: PlannedOperation, session: number): Operation {
    const { operation, near, goOn, hold, wait, granted, anybodys, fence } = plan;
    if (fence !== undefined) {
      const held = this.learned.hold(0, fence.pick);
      const { name, token } = held ?? fence;
      return fenced(name, fence.token === 1 ? token : fence.token, operation);
    }
    if (hold !== undefined) {
      const held = this.learned.hold(anybodys === true ? 0 : session, hold);
      if (held !== undefined) return { ...operation, key: held.name, expectedRevision: held.token };
    }
    if (wait !== undefined) {
      const { learned } = this;
      const waiting = granted ? learned.hold(session, wait) : learned.wait(session, wait);
      if (waiting !== undefined) {
        return { ...operation, key: waiting.name, expectedRevision: waiting.id };
      }
    }
    const key = Buffer.from(operation.key).toString('latin1');
    if (near !== undefined) {
      const expectedRevision = Math.max(0, (this.revisions.get(key) ?? 0) + near);
      return { ...operation, expectedRevision };
    }
    const cursor = goOn === true ? this.cursors.get(key) : undefined;
    return cursor === undefined ? operation : { ...operation, value: cursor };
  }

  private learn(operations: readonly Operation[], results: readonly Result[]): void {
    const byId = new Map(operations.map((operation) => [operation.id, operation]));
    for (const { id, status, flags, revision, value } of results) {
      const operation = byId.get(id);
      if (operation === undefined || status === 'UNKNOWN_OPERATION') continue;
      const key = Buffer.from(operation.key).toString('latin1');
      if (operation.code === OperationCode.Scan) {
        if ((flags & FLAG_ENTRY) === 0) this.cursors.set(key, value);
      } else {
        this.revisions.set(key, revision);
      }
    }
  }
}

function sessionCall(engine: Engine, step: Step, now: number): number {
  if (step.kind === 'open') {
    return engine.openSession(step.session, step.ttlMs, digestOf(step.session), now);
  }
  if (step.kind !== 'resume') throw new Error(`${step.kind} is about no session`);
  const digest = digestOf(step.isForged ? step.session + 1 : step.session);
  return engine.resumeSession(step.session, digest, now);
}

function differAs(call: string, left: number, right: number): string | undefined {
  return left === right ? undefined : `${call} returned ${left} and ${right}`;
}

function appendsOf(engine: Engine): number {
  return engine.outcome[OUTCOME_APPEND] ?? 0;
}

/** The first place where the first `length` bytes differ, or -1. */
function differ(left: Uint8Array, right: Uint8Array, length: number): number {
  const [ours, theirs] = [left.subarray(0, length), right.subarray(0, length)];
  if (Buffer.compare(ours, theirs) === 0) return -1;
  return ours.findIndex((byte, index) => byte !== theirs[index]);
}

/** `[3] is 1 and 2`: the first place where the numbers differ, or undefined. */
function differAt(left: Float64Array, right: Float64Array): string | undefined {
  if (left.length !== right.length) return `.length is ${left.length} and ${right.length}`;
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) return `[${index}] is ${left[index]} and ${right[index]}`;
  }
  return undefined;
}
