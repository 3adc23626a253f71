// How holds come and go: grants, releases, the end of a session, and the settling of locks, with the
// records and answers of each. The order of all steps is in `coordination.ts`; both engines keep to it.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { LOCK_EXCLUSIVE } from '../wire/layout.js';
import { INTEGER_LIMIT, SESSION_END_BYTES_MAX } from '../wire/limits.js';
import { STATUS_COUNT, Status } from '../wire/status.js';
import {
  DUE_ROOM_BYTES,
  DUE_SESSION_ROOM_BYTES,
  SESSION_KEY_BYTES,
  sessionText,
} from './coordination.js';
import type { Effects } from './effects.js';
import type { Holdings } from './holdings.js';
import { Hold, holdBytes, holdEndBytes, holdKey, type Lock, type Wait } from './locks.js';
import type { NoticeWriter } from './notices.js';
import { holdValue } from './record-values.js';
import {
  RECORD_EXPIRE,
  RECORD_HOLD,
  RECORD_HOLD_END,
  RECORD_SESSION_END,
  recordBytes,
} from './records.js';
import type { Session } from './sessions.js';

/** What a grant is asked for with: a wait, or an operation that does not wait. */
export interface Request {
  readonly session: Session;
  readonly id: number;
  readonly mode: number;
  readonly ttlMs: number;
}

export class Settling {
  constructor(
    private readonly effects: Effects,
    private readonly holdings: Holdings,
    private readonly notices: NoticeWriter,
    private readonly counters: Float64Array,
  ) {}

  /** Whether records and notices have room for any one step but the end of a session. */
  get hasRoom(): boolean {
    return this.effects.records.room >= DUE_ROOM_BYTES && this.notices.room >= DUE_ROOM_BYTES;
  }

  /** Whether they have room for the end of a session. */
  get hasRoomForEnd(): boolean {
    const wanted =
      SESSION_END_BYTES_MAX + recordBytes(SESSION_KEY_BYTES, 0) + DUE_SESSION_ROOM_BYTES;
    return this.effects.records.room >= wanted && this.notices.room >= DUE_SESSION_ROOM_BYTES;
  }

  /** Whether a session may have so much more to end: SessionFull where not. */
  sessionStatus(session: Session, moreEndBytes: number): Status {
    const endBytes = this.holdings.endBytesOf(session) + moreEndBytes;
    return endBytes > SESSION_END_BYTES_MAX ? Status.SessionFull : Status.Ok;
  }

  /** The bounds on a grant: Ok, SessionFull or ResourceExhausted. */
  grantStatus(session: Session, nameLength: number): Status {
    const status = this.sessionStatus(session, holdEndBytes(nameLength));
    if (status !== Status.Ok) return status;
    return this.effects.hasMemory(holdBytes(nameLength)) ? Status.Ok : Status.ResourceExhausted;
  }

  /** Grants a request that fits. */
  grant(lock: Lock, request: Request): Hold {
    const { ttlMs } = request;
    return this.addHold(lock, request, request.mode, 1, ttlMs === 0 ? 0 : this.leaseEnd(ttlMs));
  }

  /** Turns the only hold of a lock into an exclusive one, under a new token. */
  upgrade(hold: Hold, request: Request): Hold {
    const { lock, depth, leaseAt } = hold;
    this.endHold(hold);
    return this.addHold(lock, request, LOCK_EXCLUSIVE, depth, leaseAt);
  }

  /** When a lease that is given now runs out. */
  leaseEnd(ttlMs: number): number {
    return Math.min(this.effects.now + ttlMs, INTEGER_LIMIT - 1);
  }

  /** Milliseconds left of a hold's lease; 0: it has none. */
  leaseLeft({ leaseAt }: Hold): number {
    // One that is over and not ended yet, for want of room or of space on the disk, has nothing left.
    return leaseAt === 0 ? 0 : Math.max(0, leaseAt - this.effects.now);
  }

  /** Makes the record of a hold that has changed, and returns its revision. */
  recordHold(hold: Hold): number {
    const { lock, leaseAt } = hold;
    return this.effects.recordOther(
      RECORD_HOLD,
      lock.partition,
      holdKey(hold),
      holdValue(hold),
      leaseAt,
    );
  }

  /** Ends a hold and settles its lock. The revision of the record. */
  release(hold: Hold): number {
    const { lock } = hold;
    const revision = this.endHold(hold);
    this.settle(lock);
    return revision;
  }

  /** Ends a wait with a deferred answer, whose value is `detail`, and settles its lock. */
  giveUp(wait: Wait, status: Status, detail?: Uint8Array): void {
    this.holdings.removeWait(wait);
    this.answer(wait, status, 0, 0, 0, detail);
    this.settle(wait.lock);
  }

  /** Ends a session, for which there is room, and settles the locks that it freed. */
  endSession(session: Session): void {
    this.settleAll(this.ceaseSession(session));
  }

  /** Takes the next step of an end that an earlier call has begun: the first of a call, so that it has room. */
  goOnEnding(): void {
    const { ending } = this.holdings;
    for (const session of ending) {
      this.endSession(session);
      break;
    }
    if (ending.size > 0) this.effects.isLeft = true;
  }

  /** Grants the waits of a lock as far as they fit, or notes that it is to be done later. */
  settle(lock: Lock): void {
    this.settleAll([lock]);
  }

  /** Settles the locks that earlier calls have left. */
  settleUnsettled(): void {
    const { unsettled } = this.holdings;
    if (unsettled.size === 0) return;
    const locks = [...unsettled];
    unsettled.clear();
    this.settleAll(locks);
  }

  /**
   * Settles locks one after another. A session that has to be ended on the way frees locks, which are
   * settled before this goes on: kept in a list, since a chain of such sessions may be a long one.
   */
  private settleAll(locks: Iterable<Lock>): void {
    const next = [...locks].reverse();
    for (let lock = next.at(-1); lock !== undefined; lock = next.at(-1)) {
      const due = this.grantWaits(lock);
      if (due === undefined) next.pop();
      else next.push(...[...this.ceaseSession(due)].reverse());
    }
  }

  /** Grants waits of a lock; a session that has to be ended first, or undefined. */
  private grantWaits(lock: Lock): Session | undefined {
    const { effects, holdings } = this;
    for (let wait = lock.first; wait !== undefined && lock.isTurnOf(wait); wait = lock.first) {
      const { session } = wait;
      if (effects.refusesWrites) {
        holdings.unsettled.add(lock);
        return undefined;
      }
      const isDue = session.isDueAt(effects.now);
      if (!this.hasRoom || (isDue && !this.hasRoomForEnd)) {
        holdings.unsettled.add(lock);
        effects.isLeft = true;
        return undefined;
      }
      if (isDue) return session;
      holdings.removeWait(wait);
      this.grantWait(wait);
    }
    holdings.dropLock(lock);
    return undefined;
  }

  /** Grants a wait that has left its queue, or answers why not. */
  private grantWait(wait: Wait): void {
    const { lock, session, upgradeOf } = wait;
    if (upgradeOf === undefined) {
      const status = this.grantStatus(session, lock.bytes.length);
      if (status === Status.Ok) this.answerGrant(wait, this.grant(lock, wait));
      else this.answer(wait, status);
    } else if (upgradeOf.isEnded) {
      this.answer(wait, Status.NotHolder, lock.newestToken);
    } else {
      this.answerGrant(wait, this.upgrade(upgradeOf, wait));
    }
  }

  private answerGrant(wait: Wait, hold: Hold): void {
    this.answer(wait, Status.Ok, hold.token, this.leaseLeft(hold), hold.depth);
  }

  private answer(
    { session, id }: Wait,
    status: Status,
    revision = 0,
    ttlMs = 0,
    count = 0,
    value?: Uint8Array,
  ): void {
    this.notices.answer(session.id, id, status, revision, ttlMs, count, value);
    this.effects.gate.seeNewest();
    const at = OperationCode.Lock * STATUS_COUNT + status;
    this.counters[at] = (this.counters[at] as number) + 1;
  }

  /** All of a step of the end of a session but the settling. The locks that it freed. */
  private ceaseSession(session: Session): Set<Lock> {
    const { effects, holdings, notices } = this;
    const { id, partition } = session;
    if (!session.isGuest) {
      effects.recordOther(RECORD_SESSION_END, partition, Buffer.from(sessionText(id)));
    }
    const { freed, isAll } = this.endBelongings(session);
    if (!session.isEnding) {
      for (const wait of session.waits) {
        holdings.removeWait(wait);
        freed.add(wait.lock);
      }
      notices.sessionEnded(id);
    }
    if (isAll) {
      holdings.removeSession(session);
    } else {
      holdings.leaveEnding(session);
      effects.isLeft = true;
    }
    return freed;
  }

  /** Ends keys and holds of a session, as many as one step may. The locks that this freed. */
  private endBelongings(session: Session): { freed: Set<Lock>; isAll: boolean } {
    const { effects, holdings } = this;
    const { entries, ephemerals } = holdings.keyspace;
    const freed = new Set<Lock>();
    const ended: Hold[] = [];
    let bytesLeft = SESSION_END_BYTES_MAX;
    for (const handle of ephemerals.handlesOf(session.id)) {
      bytesLeft -= recordBytes(entries.keyLength(handle), 0);
      if (bytesLeft < 0) break;
      effects.removeKey(handle, RECORD_EXPIRE);
    }
    for (const hold of session.holds) {
      bytesLeft -= hold.endBytes;
      if (bytesLeft < 0) break;
      effects.recordOther(RECORD_HOLD_END, hold.lock.partition, holdKey(hold));
      ended.push(hold);
      freed.add(hold.lock);
    }
    holdings.removeHoldsOf(session, ended, freed);
    return { freed, isAll: bytesLeft >= 0 };
  }

  private addHold(
    lock: Lock,
    { session, id }: Request,
    mode: number,
    depth: number,
    leaseAt: number,
  ): Hold {
    const { effects, holdings } = this;
    const token = holdings.keyspace.nextRevision(lock.partition);
    const hold = new Hold(lock, token, session.id, id, mode, depth, effects.now, leaseAt);
    holdings.addHold(hold);
    this.recordHold(hold);
    return hold;
  }

  private endHold(hold: Hold): number {
    this.holdings.removeHold(hold);
    return this.effects.recordOther(RECORD_HOLD_END, hold.lock.partition, holdKey(hold));
  }
}
