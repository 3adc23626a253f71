// The tables behind sessions and locks, as one thing that calls and folds change.

import { FENCE_OVERHEAD_BYTES, SESSION_OVERHEAD_BYTES } from '../wire/limits.js';
import { sessionText } from './coordination.js';
import { Deadlines, Sequence } from './deadlines.js';
import { Fences } from './fences.js';
import type { Keyspace } from './keyspace.js';
import { type Hold, holdBytes, type Lock, Locks, nameText, type Wait } from './locks.js';
import { Session, Sessions } from './sessions.js';

export class Holdings {
  readonly sessions = new Sessions();
  readonly locks = new Locks();
  readonly fences = new Fences();
  private readonly sequence = new Sequence();
  // Of what ends at a time, each kind by itself: waits end also while writes are refused.
  readonly sessionDeadlines = new Deadlines<Session>(this.sequence);
  readonly holdDeadlines = new Deadlines<Hold>(this.sequence);
  readonly waitDeadlines = new Deadlines<Wait>(this.sequence);
  /** Locks that could not be settled, in the order in which that was found. */
  readonly unsettled = new Set<Lock>();
  /** Sessions that have more to end than one step may, in the order in which their ends began. */
  readonly ending = new Set<Session>();

  constructor(readonly keyspace: Keyspace) {}

  addSession(session: Session): void {
    this.keyspace.memoryBytes += SESSION_OVERHEAD_BYTES;
    this.sessions.add(session);
  }

  /** It holds nothing any more. */
  removeSession(session: Session): void {
    if (!session.isGuest) this.keyspace.memoryBytes -= SESSION_OVERHEAD_BYTES;
    this.sessionDeadlines.remove(session);
    this.ending.delete(session);
    this.sessions.remove(session);
  }

  /** A session has ended, and what is left of it is a guest's until later steps have ended that. */
  leaveEnding(session: Session): void {
    if (!session.isGuest) this.makeGuest(session);
    session.isEnding = true;
    this.ending.add(session);
  }

  /** The session of this id; where it is not known it becomes a guest. */
  admit(id: number): Session {
    const present = this.sessions.find(id);
    if (present !== undefined) return present;
    const guest = new Session(id, this.partitionOfSession(id), 0, new Uint8Array(0));
    this.sessions.addGuest(guest);
    return guest;
  }

  /** A session has no record any more, and is a guest as long as it holds something. */
  makeGuest(session: Session): void {
    this.keyspace.memoryBytes -= SESSION_OVERHEAD_BYTES;
    this.sessionDeadlines.remove(session);
    this.sessions.addGuest(session);
  }

  /** A guest has got a record. */
  makeOwn(guest: Session): void {
    this.keyspace.memoryBytes += SESSION_OVERHEAD_BYTES;
    guest.isEnding = false;
    this.ending.delete(guest);
    this.sessions.makeOwn(guest);
  }

  /** Forgets a guest by whom there is nothing here. */
  forgetIdle(id: number): void {
    const session = this.sessions.find(id);
    if (session?.isGuest !== true || session.holds.size > 0 || session.waits.size > 0) return;
    if (!this.keyspace.ephemerals.hasKeys(id)) this.removeSession(session);
  }

  /** The partition of a session's record. */
  partitionOfSession(id: number): number {
    const key = Buffer.from(sessionText(id));
    return this.keyspace.partitionOf(key, 0, key.length);
  }

  addHold(hold: Hold): void {
    const { lock } = hold;
    lock.addHold(hold);
    this.locks.holds++;
    this.keyspace.memoryBytes += holdBytes(lock.bytes.length);
    this.sessions.find(hold.session)?.takeHold(hold);
    this.holdDeadlines.set(hold);
  }

  removeHold(hold: Hold): void {
    const { lock } = hold;
    hold.isEnded = true;
    lock.removeHold(hold);
    this.locks.holds--;
    this.keyspace.memoryBytes -= holdBytes(lock.bytes.length);
    this.sessions.find(hold.session)?.dropHold(hold);
    this.holdDeadlines.remove(hold);
  }

  /** Removes holds of a session, which are of these locks: at once, since a lock may have many others. */
  removeHoldsOf(session: Session, holds: Iterable<Hold>, locks: Iterable<Lock>): void {
    for (const hold of holds) {
      hold.isEnded = true;
      this.locks.holds--;
      this.keyspace.memoryBytes -= holdBytes(hold.lock.bytes.length);
      this.holdDeadlines.remove(hold);
      session.dropHold(hold);
    }
    for (const lock of locks) lock.removeEnded();
  }

  addWait(wait: Wait): void {
    wait.lock.enqueue(wait);
    this.locks.waits++;
    wait.session.waits.add(wait);
    this.waitDeadlines.set(wait);
  }

  removeWait(wait: Wait): void {
    wait.isOver = true;
    wait.lock.dequeue(wait);
    this.locks.waits--;
    wait.session.waits.delete(wait);
    this.waitDeadlines.remove(wait);
  }

  /** A lock whose holds have changed by records is settled by the next call. */
  noteUnsettled(lock: Lock): void {
    if (lock.waits > 0) this.unsettled.add(lock);
    else this.dropLock(lock);
  }

  /** Forgets a lock that has neither holds nor waits. */
  dropLock(lock: Lock): void {
    if (lock.isGone || lock.holds.length > 0 || lock.waits > 0) return;
    this.locks.drop(lock);
    this.unsettled.delete(lock);
  }

  /** `key`: name of the lock, u32 partition. */
  noteFence(partition: number, key: Uint8Array, nameLength: number, token: number): void {
    const isNew = this.fences.note(partition, nameText(key, 0, nameLength), key, token);
    if (isNew) this.keyspace.memoryBytes += nameLength + FENCE_OVERHEAD_BYTES;
  }

  /** Bytes of the records that the end of a session makes, but for the one of the session itself. */
  endBytesOf(session: Session): number {
    return session.holdEndBytes + this.keyspace.ephemerals.endBytesOf(session.id);
  }
}
