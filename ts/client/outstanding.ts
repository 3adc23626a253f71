// The operations that were sent and not yet answered, by id, over all connections of a client: a session knows
// them by their ids whichever connection they come over. A ring of slots indexed by the id's low bits. Ids only go up, so a lookup is one array read; an id whose slot is still taken by an older
// operation is passed over. (Measured against a Map: a third of the time an operation.)
//
// A session remembers answers by id. When ids have gone through all their numbers, those that the session
// may still remember are passed over as well: an operation under such an id would get an old answer.

import { FLAG_ONCE } from '../wire/layout.js';
import { ANSWERS_REMEMBERED_MAX } from '../wire/limits.js';
import type { Call, Carrier } from './call.js';

/** Ids are unsigned 32-bit; 0 is left out so that a forgotten id is never a valid one. */
const ID_MAX = 2 ** 32 - 1;
const SLOTS_MIN = 1024;
/** Ids that may be remembered: twice what a session does, since answers may come in another order. */
const RECENT_MAX = 2 * ANSWERS_REMEMBERED_MAX;

/** Operations with the flag `once`, as they were sent, from the oldest without an answer on. */
interface OnceRun {
  calls: Call[];
  head: number;
}

export class Outstanding {
  count = 0;
  /** Ids of holds of the session, which are remembered for as long as they are held. */
  readonly held = new Set<number>();
  /** Ids that were answered and may be remembered; the newest, in a ring. */
  private readonly recent = new Uint32Array(RECENT_MAX);
  private recentNext = 0;
  /** By worker, which each remember answers of their own. */
  private readonly onceRuns: OnceRun[] = [];
  /** What not to use after ids have begun anew. */
  private reserved: Set<number> | undefined;
  private slots: (Call | undefined)[] = new Array<Call | undefined>(SLOTS_MIN).fill(undefined);
  private mask = SLOTS_MIN - 1;

  constructor(private idNext = 1) {}

  /** The id that `add` will give next. Lower than the one before where ids begin anew. */
  next(): number {
    if (this.count * 2 >= this.slots.length) this.grow();
    let id = this.idNext;
    while (this.slots[id & this.mask] !== undefined || this.reserved?.has(id) === true) {
      id = this.following(id);
    }
    this.idNext = id;
    return id;
  }

  /** Takes the id that `next` has just returned. */
  add(call: Call): void {
    const id = this.idNext;
    call.id = id;
    this.slots[id & this.mask] = call;
    this.count++;
    if (call.carrier !== undefined) call.carrier.outstanding++;
    if ((call.flags & FLAG_ONCE) !== 0) this.onceRunOf(call.worker).calls.push(call);
    this.idNext = this.following(id);
  }

  get(id: number): Call | undefined {
    const call = this.slots[id & this.mask];
    return call !== undefined && call.id === id ? call : undefined;
  }

  remove(call: Call): void {
    this.slots[call.id & this.mask] = undefined;
    this.count--;
    if (call.carrier !== undefined) call.carrier.outstanding--;
  }

  /**
   * Operations with the flag `once` that were sent to this worker since the oldest one without an answer, which
   * counts: the session remembers the newest answers, also those that were given up here.
   */
  once(worker = 0): number {
    const run = this.onceRunOf(worker);
    const { length } = run.calls;
    let { head } = run;
    while (head < length && !this.has(run.calls[head] as Call)) head++;
    run.head = head;
    if (head > RECENT_MAX && head * 2 > length) {
      run.calls = run.calls.slice(head);
      run.head = 0;
    }
    return length - head;
  }

  private onceRunOf(worker: number): OnceRun {
    const run = this.onceRuns[worker];
    if (run !== undefined) return run;
    for (let next = this.onceRuns.length; next <= worker; next++) {
      this.onceRuns.push({ calls: [], head: 0 });
    }
    return this.onceRuns[worker] as OnceRun;
  }

  private has(call: Call): boolean {
    return call.id !== 0 && this.slots[call.id & this.mask] === call;
  }

  /** The session may remember the answer that this call has just had. */
  remember(call: Call): void {
    if ((call.flags & FLAG_ONCE) === 0) return;
    this.recent[this.recentNext] = call.id;
    this.recentNext = (this.recentNext + 1) % RECENT_MAX;
  }

  /** There is another session, which remembers nothing yet. */
  forgetRemembered(): void {
    this.recent.fill(0);
    this.reserved = undefined;
    this.held.clear();
  }

  /** All of a connection, oldest first. */
  inOrder(carrier?: Carrier): Call[] {
    const { idNext } = this;
    if (this.count === 0) return [];
    const calls = this.slots.filter((call) => call !== undefined && call.carrier === carrier);
    // Ids before a wrap are older than those after it: the distance to the next id tells.
    return (calls as Call[]).sort((a, b) =>
      (b.id - idNext) >>> 0 < (a.id - idNext) >>> 0 ? 1 : -1,
    );
  }

  forEach(carrier: Carrier | undefined, visit: (call: Call) => void): void {
    if (this.count === 0) return;
    for (const call of this.slots) if (call !== undefined && call.carrier === carrier) visit(call);
  }

  private following(id: number): number {
    if (id !== ID_MAX) return id + 1;
    const { recent, held, slots } = this;
    // What is answered later was asked before, too.
    const asked = slots.map((call) => call?.id ?? 0);
    this.reserved = new Set([...recent, ...held, ...asked]);
    return 1;
  }

  private grow(): void {
    const before = this.slots;
    this.mask = before.length * 2 - 1;
    this.slots = new Array<Call | undefined>(before.length * 2).fill(undefined);
    for (const call of before) {
      if (call !== undefined) this.slots[call.id & this.mask] = call;
    }
  }
}
