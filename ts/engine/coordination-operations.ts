// The operations on sessions, locks and watches, and what other operations need of a frame's session. In
// which order each of them checks what is in `coordination.ts`.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_ONCE,
  FLAG_REENTRANT,
  FLAG_UPGRADE,
  LOCK_EXCLUSIVE,
  LOCK_MODE_MASK,
  LOCK_PERMIT,
  LOCK_SHARED,
  WAIT_FOREVER,
  WAIT_NONE,
} from '../wire/layout.js';
import { INTEGER_LIMIT, LOCK_DEPTH_MAX, SESSION_WAITS_MAX } from '../wire/limits.js';
import type { ReplyWriter } from '../wire/reply.js';
import { Status } from '../wire/status.js';
import { sessionText } from './coordination.js';
import { cycleText, findCycle } from './deadlock.js';
import type { Effects } from './effects.js';
import type { Holdings } from './holdings.js';
import { listLocks } from './lock-list.js';
import { type Hold, holdEndBytes, type Lock, nameText, Wait } from './locks.js';
import { type NoticeWriter, noticeBytes } from './notices.js';
import type { Operation } from './operation.js';
import { scanFits } from './scan.js';
import type { Session } from './sessions.js';
import type { Settling } from './settling.js';

/** No room: nothing was done, and the frame stops before the operation. */
export const NO_ROOM = -1;
/** Done, without a result in this reply. */
export const NO_RESULT = -2;

export class CoordinationOperations {
  private frame = new Uint8Array(0);
  /** The session whose frame it is, as the caller named it; 0: none. */
  private named = 0;
  private session: Session | undefined;

  constructor(
    private readonly effects: Effects,
    private readonly holdings: Holdings,
    private readonly settling: Settling,
    private readonly operation: Operation,
    private readonly reply: ReplyWriter,
    private readonly notices: NoticeWriter,
    private readonly valueBytesMax: number,
  ) {}

  /** Begins a frame, which is a sign of life of its session. What was due has been done. */
  begin(frame: Uint8Array<ArrayBuffer>, session: number): void {
    this.frame = frame;
    this.named = session;
    this.session = session === 0 ? undefined : this.holdings.sessions.find(session);
    if (this.session !== undefined) this.session.aliveAt = this.effects.now;
  }

  /** The frame's session; undefined where it is not there, or no more. */
  get present(): Session | undefined {
    const { session } = this;
    return session === undefined || session.isEnded || session.isEnding ? undefined : session;
  }

  /** Ok where the frame has a session that is there; else the answer of what needs one. */
  sessionStatus(): Status {
    if (this.present !== undefined) return Status.Ok;
    if (this.named === 0) return Status.SessionRequired;
    const key = Buffer.from(sessionText(this.named));
    this.see(this.holdings.keyspace.partitionOf(key, 0, key.length));
    return Status.SessionUnknown;
  }

  /**
   * Answers an operation with the flag `once` again, where the frame's session, which is there, has had it
   * answered. The status of the result, which is written; NO_ROOM or NO_RESULT.
   */
  answerAgain(): number {
    const { operation, reply } = this;
    const answer = this.session?.answers.find(operation.id);
    if (answer === undefined) return NO_RESULT;
    const { revision, ttlMs, count, value, append } = answer;
    if (reply.dataRoom < value.length) return NO_ROOM;
    this.effects.gate.seeAppend(append);
    reply.resultInFull(operation.id, Status.Ok, revision, ttlMs, count, value);
    return Status.Ok;
  }

  /**
   * Keeps the result that was just written as the answer to an operation with the flag `once`, where the
   * operation made a record of its own: one that does not succeed may have made others on the way, of an
   * expiry or a fence.
   */
  remember(madeRecords: boolean): void {
    const { status, ...answer } = this.reply.last();
    if (status !== Status.Ok || !madeRecords) return;
    const append = this.effects.gate.appends + 1;
    this.present?.answers.remember(this.operation.id, { ...answer, append });
  }

  /**
   * Executes the operation, whose code is above Scan and whose fields are checked. The status of its
   * result, which is written; NO_ROOM or NO_RESULT.
   */
  execute(operationAt: number): number {
    const { operation, settling } = this;
    switch (operation.code) {
      case OperationCode.ListLocks:
        return this.list();
      case OperationCode.Watch:
      case OperationCode.Unwatch:
        return this.request(operationAt);
      case OperationCode.Renew:
        break;
      case OperationCode.EndSession:
        if (!settling.hasRoomForEnd) return NO_ROOM;
        break;
      default:
        if (!settling.hasRoom) return NO_ROOM;
    }
    const status = this.sessionStatus();
    const session = this.present;
    return session === undefined ? this.end(status) : this.executeWith(session);
  }

  private executeWith(session: Session): number {
    const { operation, effects } = this;
    const { code, flags } = operation;
    if (code === OperationCode.Renew) {
      this.see(session.partition);
      return this.end(Status.Ok, 0, session.ttlMs);
    }
    if (code === OperationCode.Lock) return this.lock(session);
    if (code === OperationCode.CancelLock) return this.cancel(session);
    const isOnce = (flags & FLAG_ONCE) !== 0;
    const again = isOnce ? this.answerAgain() : NO_RESULT;
    if (again !== NO_RESULT) return again;
    if (effects.refusesWrites) return this.end(effects.writeRefusal);
    if (code === OperationCode.EndSession) {
      this.settling.endSession(session);
      return this.end(Status.Ok);
    }
    const { position } = effects.keyspace;
    const status = this.change(session);
    if (isOnce) this.remember(effects.keyspace.position > position);
    return status;
  }

  /** Leaves an operation to the node. */
  private request(operationAt: number): number {
    const { keyAt, valueEnd } = this.operation;
    if (this.notices.room < noticeBytes(valueEnd - keyAt)) return NO_ROOM;
    this.notices.request(this.frame, operationAt, keyAt, valueEnd);
    return NO_RESULT;
  }

  private list(): number {
    const { operation, reply, effects } = this;
    if (!scanFits(operation, reply, this.valueBytesMax)) return NO_ROOM;
    effects.gate.seeNewest();
    listLocks(this.holdings.locks, operation, this.frame, reply);
    return Status.Ok;
  }

  private lock(session: Session): number {
    const { operation, effects, settling, holdings } = this;
    const { id, flags, ttlMs, expectedRevision, limit: waitMs, keyAt, keyEnd } = operation;
    const name = nameText(this.frame, keyAt, keyEnd);
    const present = holdings.locks.find(name);
    const granted = holdOfRequest(session, present, id);
    if (granted !== undefined || waitOfRequest(session, present, id) !== undefined) {
      this.seeLock();
      return granted === undefined ? NO_RESULT : this.endGranted(granted);
    }
    if (effects.refusesWrites) return this.end(effects.writeRefusal);
    this.seeLock();

    const mode = flags & LOCK_MODE_MASK;
    const isUpgrade = (flags & FLAG_UPGRADE) !== 0;
    const covering =
      (flags & FLAG_REENTRANT) === 0 ? undefined : newestCovering(session, present, mode);
    if (covering !== undefined) return this.takeAgain(covering);
    const upgradeOf = isUpgrade ? present?.holdOf(expectedRevision) : undefined;
    const permits = mode === LOCK_PERMIT ? expectedRevision : 0;
    if (isUpgrade) {
      if (present === undefined || upgradeOf?.session !== session.id) {
        return this.endNotHolder(present);
      }
      if (upgradeOf.mode === LOCK_EXCLUSIVE) return this.endGranted(upgradeOf);
      if (upgradeOf.mode !== LOCK_SHARED) return this.endNotHolder(present);
      if (present.upgrade !== undefined) return this.end(Status.UpgradeConflict);
      if (present.holds.length === 1) {
        return this.endGranted(settling.upgrade(upgradeOf, { session, id, mode, ttlMs }));
      }
    } else if (present === undefined || (present.waits === 0 && present.fits(mode, permits))) {
      const status = settling.grantStatus(session, keyEnd - keyAt);
      if (status !== Status.Ok) return this.end(status);
      const partition = this.partitionOfLock();
      const lock = holdings.locks.take(name, this.frame.subarray(keyAt, keyEnd), partition);
      return this.endGranted(settling.grant(lock, { session, id, mode, ttlMs }));
    }

    const lock = present;
    if (waitMs === WAIT_NONE) return this.end(Status.LockHeld, lock.newestToken);
    const endBytes = upgradeOf === undefined ? holdEndBytes(keyEnd - keyAt) : 0;
    const status = settling.sessionStatus(session, endBytes);
    if (status !== Status.Ok) return this.end(status);
    if (session.waits.size >= SESSION_WAITS_MAX) return this.end(Status.ResourceExhausted);
    const { now } = effects;
    const deadline = waitMs === WAIT_FOREVER ? 0 : Math.min(now + waitMs, INTEGER_LIMIT - 1);
    const wait = new Wait(lock, session, id, mode, permits, ttlMs, now, deadline, upgradeOf);
    return this.wait(wait);
  }

  /** Queues a request, unless that would close a cycle. */
  private wait(wait: Wait): number {
    const { holdings, reply, operation } = this;
    const { session } = wait;
    if (session.holds.size > 0 || session.waits.size > 0) {
      const cycle = findCycle(wait, holdings.sessions);
      if (cycle !== undefined) {
        const text = cycleText(cycle);
        if (reply.dataRoom < text.length) return NO_ROOM;
        reply.resultInFull(operation.id, Status.Deadlock, 0, 0, 0, text);
        return Status.Deadlock;
      }
    }
    holdings.addWait(wait);
    return NO_RESULT;
  }

  private takeAgain(hold: Hold): number {
    if (hold.depth >= LOCK_DEPTH_MAX) return this.end(Status.ResourceExhausted);
    hold.depth++;
    this.settling.recordHold(hold);
    return this.endGranted(hold);
  }

  /** Unlock, Downgrade, Extend. */
  private change(session: Session): number {
    const { operation, settling, holdings } = this;
    this.seeLock();
    const lock = this.presentLock();
    const hold = lock?.holdOf(operation.expectedRevision);
    if (lock === undefined || hold === undefined || hold.session !== session.id) {
      return this.endNotHolder(lock);
    }
    switch (operation.code) {
      case OperationCode.Unlock: {
        if (hold.depth === 1) return this.end(Status.Ok, settling.release(hold));
        hold.depth--;
        return this.end(Status.Ok, settling.recordHold(hold), 0, hold.depth);
      }
      case OperationCode.Downgrade: {
        if (hold.mode === LOCK_PERMIT) return this.end(Status.InvalidArgument);
        if (hold.mode === LOCK_EXCLUSIVE) {
          lock.setMode(hold, LOCK_SHARED);
          settling.recordHold(hold);
          settling.settle(lock);
        }
        return this.endGranted(hold);
      }
      default: {
        hold.leaseAt = operation.ttlMs === 0 ? 0 : settling.leaseEnd(operation.ttlMs);
        holdings.holdDeadlines.set(hold);
        settling.recordHold(hold);
        return this.endGranted(hold);
      }
    }
  }

  private cancel(session: Session): number {
    const { expectedRevision: id } = this.operation;
    this.seeLock();
    const lock = this.presentLock();
    const wait = waitOfRequest(session, lock, id);
    if (wait !== undefined) {
      this.settling.giveUp(wait, Status.LockCancelled);
      return this.end(Status.Ok);
    }
    const hold = holdOfRequest(session, lock, id);
    if (hold !== undefined) return this.end(Status.AlreadyExists, hold.token);
    return this.end(Status.NotFound);
  }

  private endGranted(hold: Hold): number {
    return this.end(Status.Ok, hold.token, this.settling.leaseLeft(hold), hold.depth);
  }

  private endNotHolder(lock: Lock | undefined): number {
    return this.end(Status.NotHolder, lock?.newestToken ?? 0);
  }

  private end(status: Status, revision = 0, ttlMs = 0, count = 0): Status {
    this.reply.result(this.operation.id, status, revision, ttlMs, count);
    return status;
  }

  /** The operation's lock. */
  private presentLock(): Lock | undefined {
    const { keyAt, keyEnd } = this.operation;
    return this.holdings.locks.find(nameText(this.frame, keyAt, keyEnd));
  }

  private partitionOfLock(): number {
    const { keyAt, keyEnd } = this.operation;
    return this.holdings.keyspace.partitionOf(this.frame, keyAt, keyEnd);
  }

  /** The operation, where it has a lock, has seen the newest record of the lock's partition. */
  private seeLock(): void {
    if (this.effects.gate.watching && this.operation.keyLength > 0) {
      this.see(this.partitionOfLock());
    }
  }

  /** The operation has seen the newest record of a partition. */
  private see(partition: number): void {
    const { gate, keyspace } = this.effects;
    if (gate.watching) gate.see(partition, keyspace.revisions[partition] as number);
  }
}

/** The hold of this lock that a session was granted for an operation. */
function holdOfRequest(session: Session, lock: Lock | undefined, id: number): Hold | undefined {
  if (lock === undefined) return undefined;
  // Whichever are fewer: a lock may have many holds, and so may a session.
  const holds = session.holds.size < lock.holds.length ? session.holds : lock.holds;
  for (const hold of holds) {
    if (hold.id === id && hold.lock === lock && hold.session === session.id) return hold;
  }
  return undefined;
}

/** The wait for this lock that a session's operation began. */
function waitOfRequest(session: Session, lock: Lock | undefined, id: number): Wait | undefined {
  if (lock === undefined || lock.waits === 0) return undefined;
  const waits = session.waits.size < lock.waits ? session.waits : lock.queue();
  for (const wait of waits) {
    if (wait.id === id && wait.lock === lock && wait.session === session) return wait;
  }
  return undefined;
}

/** The newest hold of a lock by which a session has what it asks for. */
function newestCovering(session: Session, lock: Lock | undefined, mode: number): Hold | undefined {
  if (lock === undefined) return undefined;
  if (session.holds.size >= lock.holds.length) {
    return lock.holds.findLast((hold) => hold.session === session.id && hold.covers(mode));
  }
  let newest: Hold | undefined;
  for (const hold of session.holds) {
    if (hold.lock === lock && hold.covers(mode)) newest = hold;
  }
  return newest;
}
