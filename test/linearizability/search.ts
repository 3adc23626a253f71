// Is there an order of these operations, each between its call and its return, that the model allows?
//
// The search is that of J. M. Wing and C. Gong, "Testing and Verifying Concurrent Objects" (JPDC 17,
// 1993), with the memory of G. Lowe, "Testing for linearizability" (Concurrency and Computation 29,
// 2017): calls and returns stand in a doubly linked list by time; an operation whose call stands
// before the first return may be placed next and is lifted out of the list; where the first entry
// that is left is a return, its operation was not placed in time and the search goes back; a
// configuration met before is not searched again.
//
// Three additions. An operation that may have had no effect (`isOptional`) is left out for good when
// its return comes first: leaving it out changes no state, so there is never a reason to do it
// sooner. And an operation that fits and leaves the state as it is, a read in most cases, is placed
// at once without an alternative: in any order that has it later it can be moved here. And a model may
// name a level that never falls, with the highest level that each operation bears: a state above that
// of an operation not yet placed leads nowhere. With revisions that prunes nearly all wrong turns.

import { Configurations, PlacedSet } from './configurations.js';

export interface Model<State, Operation> {
  readonly initial: State;
  /** The state after the operation with its outcome, the same object where nothing changes;
   * undefined where the operation can't come next. */
  step(state: State, operation: Operation): State | undefined;
  /** Equal for equal states only. */
  identityOf(state: State): string;
  /** A number that no operation lowers. */
  levelOf(state: State): number;
  /** The highest level at which the operation can be placed; Infinity where any will do. */
  levelMaxOf(operation: Operation): number;
}

export interface Timed {
  readonly called: number;
  readonly returned: number;
}

/** How far the longest order came that the search tried. */
export interface Furthest<State> {
  /** Indices of the operations placed, in order. */
  readonly order: readonly number[];
  /** Indices of those left out: they had no effect. */
  readonly omitted: readonly number[];
  readonly state: State;
  /** Indices of the operations one of which would have to come next; none where all are placed. */
  readonly next: readonly number[];
}

export interface SearchResult<State> {
  readonly verdict: 'linearizable' | 'not-linearizable' | 'undecided';
  /** Operations placed and taken back all in all. */
  readonly steps: number;
  readonly furthest: Furthest<State>;
}

/** Steps for one key after which the search gives up. */
export const SEARCH_STEPS_MAX = 2_000_000;

interface Frame<State> {
  readonly index: number;
  readonly before: State;
  /** Left out, not placed. */
  readonly isOmitted: boolean;
  /** There is no alternative to try. */
  readonly isFinal: boolean;
}

const HEAD = 0;

export function search<State, Operation extends Timed>(
  model: Model<State, Operation>,
  operations: readonly Operation[],
  isOptional: (operation: Operation) => boolean,
  stepsMax = SEARCH_STEPS_MAX,
): SearchResult<State> {
  const list = new EventList(operations);
  const placed = new PlacedSet(operations.length);
  const seen = new Configurations();
  const levels = new Levels(operations.map((operation) => model.levelMaxOf(operation)));
  const stack: Frame<State>[] = [];
  let state = model.initial;
  let steps = 0;
  let furthest: Furthest<State> = { order: [], omitted: [], state, next: list.candidates() };
  let furthestDepth = 0;

  const place = (index: number, after: State, isOmitted: boolean, isFinal: boolean): boolean => {
    placed.flip(index);
    levels.place(index);
    const isDead = model.levelOf(after) > levels.least;
    if (isDead || !seen.add(placed, model.identityOf(after))) {
      placed.flip(index);
      levels.restore(index);
      return false;
    }
    stack.push({ index, before: state, isOmitted, isFinal });
    list.lift(index);
    state = after;
    steps++;
    return true;
  };

  const remember = (): void => {
    if (stack.length <= furthestDepth) return;
    furthestDepth = stack.length;
    furthest = {
      order: stack.filter((frame) => !frame.isOmitted).map(({ index }) => index),
      omitted: stack.filter((frame) => frame.isOmitted).map(({ index }) => index),
      state,
      next: list.candidates(),
    };
  };

  /** Takes back up to the last choice; gives the event to go on with, or undefined. */
  const back = (): number | undefined => {
    remember();
    for (let frame = stack.pop(); frame !== undefined; frame = stack.pop()) {
      placed.flip(frame.index);
      levels.restore(frame.index);
      list.restore(frame.index);
      state = frame.before;
      if (!frame.isFinal) return list.next(list.callOf(frame.index));
    }
    return undefined;
  };

  /** Places what fits and changes nothing, as long as there is such an operation. */
  const settle = (): void => {
    let event = list.next(HEAD);
    while (event !== HEAD && list.isCall(event)) {
      const index = list.operationOf(event);
      const operation = operations[index] as Operation;
      const fits = !isOptional(operation) && model.step(state, operation) === state;
      // What stood behind its return may stand before the first one now, so begin again.
      event = fits && place(index, state, false, true) ? list.next(HEAD) : list.next(event);
    }
  };

  settle();
  let event: number | undefined = list.next(HEAD);
  while (list.next(HEAD) !== HEAD) {
    if (steps > stepsMax) {
      remember();
      return { verdict: 'undecided', steps, furthest };
    }
    if (event === undefined) return { verdict: 'not-linearizable', steps, furthest };
    const index = list.operationOf(event);
    const operation = operations[index] as Operation;
    if (list.isCall(event)) {
      const after = model.step(state, operation);
      if (after !== undefined && place(index, after, false, false)) {
        settle();
        event = list.next(HEAD);
      } else {
        event = list.next(event);
      }
    } else if (isOptional(operation) && place(index, state, true, true)) {
      settle();
      event = list.next(HEAD);
    } else {
      event = back();
    }
  }
  remember();
  return { verdict: 'linearizable', steps, furthest };
}

/** The least of the highest levels of the operations that are not placed. */
class Levels {
  /** Operations by their highest level, and where each stands among them. */
  private readonly ascending: readonly number[];
  private readonly ranks: readonly number[];
  private readonly isPlaced: boolean[];
  /** All before it are placed. */
  private first = 0;

  constructor(private readonly highest: readonly number[]) {
    const indices = [...highest.keys()];
    this.ascending = indices.sort((a, b) => this.of(a) - this.of(b) || 0);
    const ranks: number[] = [];
    for (const [position, index] of this.ascending.entries()) ranks[index] = position;
    this.ranks = ranks;
    this.isPlaced = indices.map(() => false);
  }

  get least(): number {
    while (this.isPlaced[this.ascending[this.first] as number] === true) this.first++;
    const index = this.ascending[this.first];
    return index === undefined ? Number.POSITIVE_INFINITY : this.of(index);
  }

  place(index: number): void {
    this.isPlaced[index] = true;
  }

  restore(index: number): void {
    this.isPlaced[index] = false;
    this.first = Math.min(this.first, this.ranks[index] as number);
  }

  private of(index: number): number {
    return this.highest[index] as number;
  }
}

/** Calls and returns by time. Events are 1 to 2n; the list is a ring through HEAD. */
class EventList {
  private readonly nexts: Int32Array;
  private readonly previous: Int32Array;
  /** The operation of an event, as ~index for a return. */
  private readonly owners: Int32Array;
  private readonly calls: Int32Array;
  private readonly returns: Int32Array;

  constructor(operations: readonly Timed[]) {
    const events = operations.flatMap(({ called, returned }, index) => [
      { at: called, owner: index },
      { at: returned, owner: ~index },
    ]);
    // At one moment calls come first: such operations count as concurrent.
    events.sort((a, b) => (a.at === b.at ? rank(a.owner) - rank(b.owner) : a.at < b.at ? -1 : 1));
    const length = events.length + 1;
    this.nexts = Int32Array.from({ length }, (_, event) => (event + 1) % length);
    this.previous = Int32Array.from({ length }, (_, event) => (event + length - 1) % length);
    this.owners = Int32Array.from([0, ...events.map(({ owner }) => owner)]);
    this.calls = new Int32Array(operations.length);
    this.returns = new Int32Array(operations.length);
    for (const [at, { owner }] of events.entries()) {
      if (owner >= 0) this.calls[owner] = at + 1;
      else this.returns[~owner] = at + 1;
    }
  }

  next(event: number): number {
    return this.nexts[event] as number;
  }

  isCall(event: number): boolean {
    return (this.owners[event] as number) >= 0;
  }

  operationOf(event: number): number {
    const owner = this.owners[event] as number;
    return owner >= 0 ? owner : ~owner;
  }

  callOf(index: number): number {
    return this.calls[index] as number;
  }

  lift(index: number): void {
    this.unlink(this.calls[index] as number);
    this.unlink(this.returns[index] as number);
  }

  /** Undoes the newest `lift` that was not undone. */
  restore(index: number): void {
    this.relink(this.returns[index] as number);
    this.relink(this.calls[index] as number);
  }

  /** The operations that are called before the first return. */
  candidates(): number[] {
    const found: number[] = [];
    for (let event = this.next(HEAD); event !== HEAD && this.isCall(event); ) {
      found.push(this.operationOf(event));
      event = this.next(event);
    }
    return found;
  }

  private unlink(event: number): void {
    const before = this.previous[event] as number;
    const behind = this.nexts[event] as number;
    this.nexts[before] = behind;
    this.previous[behind] = before;
  }

  private relink(event: number): void {
    this.nexts[this.previous[event] as number] = event;
    this.previous[this.nexts[event] as number] = event;
  }
}

function rank(owner: number): number {
  return owner >= 0 ? owner : 2 ** 32 + ~owner;
}
