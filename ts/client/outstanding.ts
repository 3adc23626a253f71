// The operations that were sent and not yet answered, by id: a ring of slots indexed by the id's low
// bits. Ids only go up, so a lookup is one array read; an id whose slot is still taken by an older
// operation is passed over. (Measured against a Map: a third of the time an operation.)

import type { Call } from './call.js';

/** Ids are unsigned 32-bit; 0 is left out so that a forgotten id is never a valid one. */
const ID_MAX = 2 ** 32 - 1;
const SLOTS_MIN = 1024;

export class Outstanding {
  count = 0;
  private slots: (Call | undefined)[] = new Array<Call | undefined>(SLOTS_MIN).fill(undefined);
  private mask = SLOTS_MIN - 1;

  constructor(private idNext = 1) {}

  /** The id that `add` will give next. Lower than the one before where ids begin anew. */
  next(): number {
    if (this.count * 2 >= this.slots.length) this.grow();
    let id = this.idNext;
    while (this.slots[id & this.mask] !== undefined) id = id === ID_MAX ? 1 : id + 1;
    this.idNext = id;
    return id;
  }

  /** Takes the id that `next` has just returned. */
  add(call: Call): void {
    const id = this.idNext;
    call.id = id;
    this.slots[id & this.mask] = call;
    this.count++;
    this.idNext = id === ID_MAX ? 1 : id + 1;
  }

  get(id: number): Call | undefined {
    const call = this.slots[id & this.mask];
    return call !== undefined && call.id === id ? call : undefined;
  }

  remove(call: Call): void {
    this.slots[call.id & this.mask] = undefined;
    this.count--;
  }

  /** Removes and returns all, oldest first. */
  clear(): Call[] {
    const { idNext } = this;
    const calls = this.slots.filter((call) => call !== undefined);
    this.slots.fill(undefined);
    this.count = 0;
    // Ids before a wrap are older than those after it: the distance to the next id tells.
    return calls.sort((a, b) => ((b.id - idNext) >>> 0 < (a.id - idNext) >>> 0 ? 1 : -1));
  }

  forEach(visit: (call: Call) => void): void {
    if (this.count === 0) return;
    for (const call of this.slots) if (call !== undefined) visit(call);
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
