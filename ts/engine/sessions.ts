// The table of sessions: what each is and holds, and until when it lives. Ephemeral keys are the
// keyspace's, which knows them by the number of their session.

import { SESSION_SECRET_BYTES } from '../wire/limits.js';
import { Answers } from './answers.js';
import { SESSION_KEY_BYTES } from './coordination.js';
import { NOWHERE, type Timed } from './deadlines.js';
import type { Hold, Wait } from './locks.js';

/** Bytes of a session's value in records: u64 ttl, then what stands for its secret. */
export const SESSION_VALUE_BYTES = 8 + SESSION_SECRET_BYTES;

const NO_DIGEST = new Uint8Array(0);

export class Session implements Timed {
  /** Known without a record of its own (`workers.ts`): it is never due, and costs no memory. */
  isGuest = false;
  /** A guest whose end has begun and goes on in the next calls: for operations it is not there. */
  isEnding = false;
  /** In order of grant. */
  readonly holds = new Set<Hold>();
  /** In the order in which they began. */
  readonly waits = new Set<Wait>();
  /** Bytes of the records that end its holds. */
  holdEndBytes = 0;
  isEnded = false;
  /** The last sign of life. One that came from records has none until the next call, which sets it. */
  aliveAt = 0;
  standsAt = 0;
  sequence = 0;
  place = NOWHERE;
  private remembered: Answers | undefined;

  constructor(
    readonly id: number,
    /** Of its records. */
    readonly partition: number,
    public ttlMs: number,
    public digest: Uint8Array,
  ) {}

  get dueAt(): number {
    return this.isEnded || this.isGuest ? 0 : this.aliveAt + this.ttlMs;
  }

  /** Whether it has to be ended. */
  isDueAt(now: number): boolean {
    return !this.isGuest && this.dueAt <= now;
  }

  /** Becomes a guest, as which it has neither a secret nor remembered answers. */
  makeGuest(): void {
    this.isGuest = true;
    this.ttlMs = 0;
    this.digest = NO_DIGEST;
    this.remembered = undefined;
  }

  get answers(): Answers {
    this.remembered ??= new Answers();
    return this.remembered;
  }

  takeHold(hold: Hold): void {
    this.holds.add(hold);
    this.holdEndBytes += hold.endBytes;
  }

  dropHold(hold: Hold): void {
    if (this.holds.delete(hold)) this.holdEndBytes -= hold.endBytes;
  }
}

/** All that are known: those that have a record, and guests. */
export class Sessions {
  /** Those that came from records and have no sign of life yet. */
  newcomers: Session[] = [];
  private readonly sessions = new Map<number, Session>();
  private readonly guestIds = new Set<number>();

  /** Those that have a record. */
  get count(): number {
    return this.sessions.size - this.guestIds.size;
  }

  find(id: number): Session | undefined {
    return this.sessions.get(id);
  }

  add(session: Session): void {
    this.sessions.set(session.id, session);
  }

  /** Adds a guest, or turns one that is there into a guest. */
  addGuest(session: Session): void {
    session.makeGuest();
    this.sessions.set(session.id, session);
    this.guestIds.add(session.id);
    this.dropNewcomer(session);
  }

  /** A guest has got a record of its own. */
  makeOwn(guest: Session): void {
    guest.isGuest = false;
    this.guestIds.delete(guest.id);
  }

  remove(session: Session): void {
    session.isEnded = true;
    this.sessions.delete(session.id);
    this.guestIds.delete(session.id);
    this.dropNewcomer(session);
  }

  /** Ids of all guests, ascending. */
  guests(): number[] {
    return [...this.guestIds].sort((left, right) => left - right);
  }

  /** The id whose record's key comes last in byte order, which is the greatest; 0 where there is none. */
  greatest(): number {
    let greatest = 0;
    for (const { id, isGuest } of this.sessions.values()) {
      if (!isGuest) greatest = Math.max(greatest, id);
    }
    return greatest;
  }

  private dropNewcomer(session: Session): void {
    if (this.newcomers.length === 0) return;
    this.newcomers = this.newcomers.filter((newcomer) => newcomer !== session);
  }
}

const ZERO = 0x30;
const NINE = 0x39;
const LETTER_A = 0x61;
const LETTER_F = 0x66;

/** The id that the key `bytes[start, end)` of a session's record spells; 0 where it spells none. */
export function sessionOfKey(bytes: Uint8Array, start: number, end: number): number {
  if (end - start !== SESSION_KEY_BYTES) return 0;
  let id = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte >= ZERO && byte <= NINE) id = id * 16 + byte - ZERO;
    else if (byte >= LETTER_A && byte <= LETTER_F) id = id * 16 + byte - LETTER_A + 10;
    else return 0;
  }
  return id <= Number.MAX_SAFE_INTEGER ? id : 0;
}
