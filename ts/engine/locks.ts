// The lock table: holds, queues, and what fits beside what. It decides nothing about time, sessions or
// room and makes no records; `settling.ts` does.

import { compareBytes } from '../wire/bytes.js';
import { LOCK_EXCLUSIVE, LOCK_PERMIT, LOCK_SHARED } from '../wire/layout.js';
import { HOLD_OVERHEAD_BYTES } from '../wire/limits.js';
import { NOWHERE, type Timed } from './deadlines.js';
import { recordBytes } from './records.js';
import type { Session } from './sessions.js';

/** Bytes of a hold's key in records behind the lock's name: the token. */
export const HOLD_SUFFIX_BYTES = 8;
/** Modes are below this. */
export const HOLD_MODES = 3;

/** One grant. Its key in records is the name and the token. */
export class Hold implements Timed {
  isEnded = false;
  standsAt = 0;
  sequence = 0;
  place = NOWHERE;

  constructor(
    readonly lock: Lock,
    readonly token: number,
    /** A number: a hold may come from records without its session. */
    public session: number,
    /** Of the operation that asked for it. */
    public id: number,
    public mode: number,
    public depth: number,
    public grantedAt: number,
    /** When its lease runs out; 0: it has none. */
    public leaseAt: number,
  ) {}

  get dueAt(): number {
    return this.isEnded ? 0 : this.leaseAt;
  }

  /** Bytes of the record that ends it. */
  get endBytes(): number {
    return holdEndBytes(this.lock.bytes.length);
  }

  /** Whether one who has it needs no other hold for this mode. */
  covers(mode: number): boolean {
    return this.mode === mode || (this.mode === LOCK_EXCLUSIVE && mode === LOCK_SHARED);
  }
}

/** A request that waits. */
export class Wait implements Timed {
  isOver = false;
  standsAt = 0;
  sequence = 0;
  place = NOWHERE;
  /** Ascends along the queue; Infinity: it is not in one. */
  order = Infinity;
  /** Its neighbours in the queue. */
  before: Wait | undefined;
  after: Wait | undefined;

  constructor(
    readonly lock: Lock,
    readonly session: Session,
    /** Of the operation. */
    readonly id: number,
    readonly mode: number,
    /** In mode permit: how many there are. */
    readonly permits: number,
    /** Lease of the grant; 0: none of its own. */
    readonly ttlMs: number,
    readonly since: number,
    /** When it is given up; 0: never. */
    readonly deadline: number,
    /** The hold that it would turn into an exclusive one. */
    readonly upgradeOf: Hold | undefined,
  ) {}

  get dueAt(): number {
    return this.isOver ? 0 : this.deadline;
  }
}

export class Lock {
  /** In order of grant, which is that of tokens. */
  readonly holds: Hold[] = [];
  /** The queue: an upgrade, of which there is one at most, comes first. */
  first: Wait | undefined;
  last: Wait | undefined;
  waits = 0;
  isGone = false;
  /** The order that the last wait got; an upgrade has 0. */
  private order = 0;
  /** Whether the list of names has it. */
  isListed = false;
  private readonly heldInMode = new Array<number>(HOLD_MODES).fill(0);

  constructor(
    /** See `nameText`. */
    readonly name: string,
    readonly bytes: Uint8Array,
    readonly partition: number,
  ) {}

  /** The token of the newest hold; 0: there is none. */
  get newestToken(): number {
    return this.holds.at(-1)?.token ?? 0;
  }

  get upgrade(): Wait | undefined {
    return this.first?.upgradeOf === undefined ? undefined : this.first;
  }

  /** Whether a request fits beside all holds. */
  fits(mode: number, permits: number): boolean {
    const { length } = this.holds;
    if (mode === LOCK_EXCLUSIVE) return length === 0;
    if (this.heldInMode[mode] !== length) return false;
    return mode === LOCK_SHARED || length < permits;
  }

  /**
   * Whether it is the turn of the first wait. An upgrade fits where its own hold is the only one; where that
   * has ended, the wait has to go.
   */
  isTurnOf({ mode, permits, upgradeOf }: Wait): boolean {
    if (upgradeOf === undefined) return this.fits(mode, permits);
    return upgradeOf.isEnded || (this.holds.length === 1 && this.holds[0] === upgradeOf);
  }

  holdOf(token: number): Hold | undefined {
    const hold = this.holds[this.placeOf(token)];
    return hold?.token === token ? hold : undefined;
  }

  addHold(hold: Hold): void {
    this.holds.splice(this.placeOf(hold.token), 0, hold);
    this.countMode(hold.mode, 1);
  }

  removeHold(hold: Hold): void {
    this.holds.splice(this.placeOf(hold.token), 1);
    this.countMode(hold.mode, -1);
  }

  /** Removes all holds that have ended. */
  removeEnded(): void {
    const { holds } = this;
    let kept = 0;
    for (const hold of holds) {
      if (hold.isEnded) this.countMode(hold.mode, -1);
      else holds[kept++] = hold;
    }
    holds.length = kept;
  }

  /** A hold becomes one of another mode. */
  setMode(hold: Hold, mode: number): void {
    this.countMode(hold.mode, -1);
    hold.mode = mode;
    this.countMode(mode, 1);
  }

  /** Queues a wait behind all others; an upgrade before them. */
  enqueue(wait: Wait): void {
    this.waits++;
    wait.order = wait.upgradeOf === undefined ? ++this.order : 0;
    if (this.first === undefined || this.last === undefined) {
      this.first = this.last = wait;
    } else if (wait.upgradeOf !== undefined) {
      wait.after = this.first;
      this.first = this.first.before = wait;
    } else {
      wait.before = this.last;
      this.last = this.last.after = wait;
    }
  }

  dequeue(wait: Wait): void {
    const { before, after } = wait;
    this.waits--;
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.last = before;
    else after.before = before;
    wait.before = wait.after = undefined;
  }

  *queue(): Generator<Wait> {
    for (let wait = this.first; wait !== undefined; wait = wait.after) yield wait;
  }

  /** The place of the first hold whose token is not below the given one. */
  private placeOf(token: number): number {
    const { holds } = this;
    let low = 0;
    let high = holds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((holds[middle] as Hold).token < token) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private countMode(mode: number, change: number): void {
    this.heldInMode[mode] = (this.heldInMode[mode] as number) + change;
  }
}

export class Locks {
  /** Holds and waits of all locks. */
  holds = 0;
  waits = 0;
  private readonly locks = new Map<string, Lock>();
  /** Locks in the order of their names as of the last listing, and whether others have come since. */
  private listed: Lock[] = [];
  private isBehind = false;

  find(name: string): Lock | undefined {
    return this.locks.get(name);
  }

  /** The lock of a name; made where it is not there. `bytes` are copied. */
  take(name: string, bytes: Uint8Array, partition: number): Lock {
    let lock = this.locks.get(name);
    if (lock === undefined) {
      lock = new Lock(name, bytes.slice(), partition);
      this.locks.set(name, lock);
      this.isBehind = true;
    }
    return lock;
  }

  /** Forgets a lock that has neither holds nor waits. */
  drop(lock: Lock): void {
    lock.isGone = true;
    this.isBehind = true;
    this.locks.delete(lock.name);
  }

  /** All locks in the byte order of their names; to be read before the next change. */
  inOrder(): readonly Lock[] {
    if (this.isBehind) {
      // The list so far is in order, and sorting what is nearly so is quick.
      const present = this.listed.filter((lock) => !lock.isGone);
      for (const lock of this.locks.values()) {
        if (lock.isListed) continue;
        lock.isListed = true;
        present.push(lock);
      }
      this.listed = present.sort((left, right) => (left.name < right.name ? -1 : 1));
      this.isBehind = false;
    }
    return this.listed;
  }

  /** The key, as in records, of the hold that comes last in byte order; empty where there is none. */
  greatestHoldKey(): Uint8Array {
    let greatest = new Uint8Array(0);
    for (const { holds } of this.locks.values()) {
      const hold = holds.at(-1);
      if (hold === undefined) continue;
      const key = holdKey(hold);
      if (compareBytes(greatest, 0, greatest.length, key, 0, key.length) < 0) greatest = key;
    }
    return greatest;
  }
}

/** A name as a text of one character a byte: a key of maps that sorts as the bytes do. */
export function nameText(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

/** Logical bytes of a hold. */
export function holdBytes(nameLength: number): number {
  return nameLength + HOLD_OVERHEAD_BYTES;
}

/** Bytes of the record that ends a hold. */
export function holdEndBytes(nameLength: number): number {
  return recordBytes(nameLength + HOLD_SUFFIX_BYTES, 0);
}

/** The key of a hold in records: the name, then the token, big-endian, so that keys sort by it. */
export function holdKey({ lock, token }: Hold): Uint8Array<ArrayBuffer> {
  const { bytes } = lock;
  const key = new Uint8Array(bytes.length + HOLD_SUFFIX_BYTES);
  key.set(bytes);
  const view = new DataView(key.buffer);
  view.setUint32(bytes.length, Math.floor(token / 2 ** 32));
  view.setUint32(bytes.length + 4, token >>> 0);
  return key;
}

/** Whether requests of two modes can be granted side by side. */
export function isBeside(mode: number, other: number): boolean {
  return mode === other && (mode === LOCK_SHARED || mode === LOCK_PERMIT);
}
