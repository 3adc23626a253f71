// Who waits for whom, as the workers have told: the cycles in it, and which wait of each is to be refused. Pure: the
// same pairs give the same answer at every worker that has them, in whatever order they came.
//
// What closes no cycle is as in an engine (DEADLOCK in `ts/engine/coordination.ts`), with the youngest wait of the
// cycle in the asker's place: one that waits for its session at its own lock waits for another task of it.

import {
  NOTICE_BYTES_AT,
  NOTICE_DATA_AT,
  NOTICE_SESSION_AT,
  NOTICE_STRUCT_AT,
  sessionText,
} from '../ts/engine/coordination.js';
import {
  RESULT_FLAGS,
  RESULT_ID,
  RESULT_KEY_LENGTH,
  RESULT_REVISION,
  RESULT_TTL_MS,
  readU64,
} from '../ts/wire/layout.js';
import {
  DEADLOCK_BLOCKERS_EXAMINED_MAX,
  DEADLOCK_STEPS_SHOWN_MAX,
  DEADLOCK_WAITS_EXAMINED_MAX,
} from '../ts/wire/limits.js';

/** A wait, and a session that it waits for. */
export interface Blocker {
  /** Where it waits. */
  readonly worker: number;
  readonly session: number;
  /** Of its Lock operation. */
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly lock: string;
  readonly blocker: number;
  /** The blocker only waits before it. */
  readonly isBehind: boolean;
}

/** The steps of a cycle; the first is the wait to be refused. */
export type Cycle = readonly Blocker[];

interface Wait {
  readonly first: Blocker;
  readonly blockers: Blocker[];
  /** Place in order of age, the oldest first. */
  age: number;
  /** Pairs whose blocker waits too, as far as that is not set aside. */
  live: number;
}

/** Pairs that the searches for the cycles of a graph go along, together; beyond them they find no more. */
const STEPS_MAX = 64 * DEADLOCK_BLOCKERS_EXAMINED_MAX;

/** NOTICE_BLOCKER notices, as an engine lists them. */
export function readBlockers(worker: number, notices: Uint8Array): Blocker[] {
  const view = new DataView(notices.buffer, notices.byteOffset, notices.byteLength);
  const blockers: Blocker[] = [];
  for (let at = 0; at < notices.length; at += view.getUint32(at + NOTICE_BYTES_AT, true)) {
    const struct = at + NOTICE_STRUCT_AT;
    const data = at + NOTICE_DATA_AT;
    const length = view.getUint16(struct + RESULT_KEY_LENGTH, true);
    blockers.push({
      worker,
      session: readU64(view, at + NOTICE_SESSION_AT),
      id: view.getUint32(struct + RESULT_ID, true),
      since: readU64(view, struct + RESULT_TTL_MS),
      lock: Buffer.from(notices.buffer, notices.byteOffset + data, length).toString(),
      blocker: readU64(view, struct + RESULT_REVISION),
      isBehind: view.getUint8(struct + RESULT_FLAGS) === 1,
    });
  }
  return blockers;
}

export class DeadlockGraph {
  private readonly waits = new Map<string, Wait>();
  private readonly pairs = new Set<string>();

  /** How much of the room is taken, 0 to 1. */
  get fill(): number {
    return Math.max(
      this.waits.size / DEADLOCK_WAITS_EXAMINED_MAX,
      this.pairs.size / DEADLOCK_BLOCKERS_EXAMINED_MAX,
    );
  }

  /** More is not looked at. */
  get isFull(): boolean {
    return this.fill >= 1;
  }

  /** Takes the pair in; false where it is known, or the graph is full. */
  add(pair: Blocker): boolean {
    const key = stepKey(pair);
    if (this.isFull || this.pairs.has(key)) return false;
    this.pairs.add(key);
    const wait = this.waits.get(waitKey(pair));
    if (wait === undefined) {
      this.waits.set(waitKey(pair), { first: pair, blockers: [pair], age: 0, live: 0 });
    } else {
      wait.blockers.push(pair);
    }
    return true;
  }

  /**
   * A cycle for each wait that must be refused so that none is left: of several that share waits, the one that was
   * closed first, as an engine would have refused it.
   */
  cycles(): Cycle[] {
    const waits = this.entangled().sort(byAge);
    for (const [age, wait] of waits.entries()) wait.age = age;
    const bySession = groupBySession(waits);
    const refused = new Set<Wait>();
    const budget = { steps: STEPS_MAX };
    const cycles: Cycle[] = [];
    for (const wait of waits) {
      const cycle = closedBy(wait, bySession, refused, budget);
      if (cycle === undefined) continue;
      refused.add(wait);
      cycles.push(cycle);
    }
    return cycles;
  }

  /** Without the waits that no cycle can go through: for those who do not wait, or of those no one waits for. */
  private entangled(): Wait[] {
    const left = new Set(this.waits.values());
    const bySession = groupBySession(left);
    /** The waits for each session, and how many of both kinds are left. */
    const waitsFor = new Map<number, Wait[]>();
    const waiting = new Map<number, number>();
    const wanted = new Map<number, number>();
    for (const wait of left) {
      wait.live = wait.blockers.filter(({ blocker }) => bySession.has(blocker)).length;
      count(waiting, wait.first.session, 1);
      for (const { blocker } of wait.blockers) {
        count(wanted, blocker, 1);
        const others = waitsFor.get(blocker);
        if (others === undefined) waitsFor.set(blocker, [wait]);
        else others.push(wait);
      }
    }
    const loose = Array.from(left).filter(
      ({ first, live }) => live === 0 || !wanted.has(first.session),
    );
    for (let wait = loose.pop(); wait !== undefined; wait = loose.pop()) {
      if (!left.delete(wait)) continue;
      const { session } = wait.first;
      if (count(waiting, session, -1) === 0) {
        for (const other of waitsFor.get(session) ?? []) if (--other.live === 0) loose.push(other);
      }
      for (const { blocker } of wait.blockers) {
        if (count(wanted, blocker, -1) > 0) continue;
        for (const other of bySession.get(blocker) ?? []) loose.push(other);
      }
    }
    return Array.from(left);
  }
}

function count(counts: Map<number, number>, session: number, change: number): number {
  const next = (counts.get(session) ?? 0) + change;
  counts.set(session, next);
  return next;
}

/** As the answer to the wait that is refused: a line a step, as an engine writes it. */
export function cycleText(cycle: Cycle): string {
  const lines = cycle
    .slice(0, DEADLOCK_STEPS_SHOWN_MAX)
    .map(({ session, lock, isBehind, blocker }) => {
      const how = isBehind ? 'behind' : 'held by';
      return `${sessionText(session)} waits for "${lock}" ${how} ${sessionText(blocker)}`;
    });
  if (cycle.length > DEADLOCK_STEPS_SHOWN_MAX) lines.push('...');
  return lines.join('\n');
}

function waitKey({ session, id, since, lock }: Blocker): string {
  return `${session} ${id} ${since} ${lock}`;
}

/** The same for the same pair, whenever it was told. */
export function stepKey(pair: Blocker): string {
  return `${pair.blocker} ${waitKey(pair)}`;
}

function byAge({ first: a }: Wait, { first: b }: Wait): number {
  return a.since - b.since || a.session - b.session || a.id - b.id;
}

function groupBySession(waits: Iterable<Wait>): Map<number, Wait[]> {
  const groups = new Map<number, Wait[]>();
  for (const wait of waits) {
    const group = groups.get(wait.first.session);
    if (group === undefined) groups.set(wait.first.session, [wait]);
    else group.push(wait);
  }
  return groups;
}

/** The shortest cycle through a wait and older ones. */
function closedBy(
  wait: Wait,
  bySession: ReadonlyMap<number, readonly Wait[]>,
  refused: ReadonlySet<Wait>,
  budget: { steps: number },
): Cycle | undefined {
  const { session, lock } = wait.first;
  /** How each session was come to. */
  const steps = new Map<number, Blocker>();
  const queue: number[] = [];
  const enter = (step: Blocker): boolean => {
    budget.steps--;
    if (step.blocker === session) return step.lock !== lock;
    if (!steps.has(step.blocker)) {
      steps.set(step.blocker, step);
      queue.push(step.blocker);
    }
    return false;
  };
  for (const step of wait.blockers) enter(step);
  for (let at = 0; at < queue.length && budget.steps > 0; at++) {
    for (const older of bySession.get(queue[at]!) ?? []) {
      if (older.age >= wait.age || refused.has(older)) continue;
      const last = older.blockers.find(enter);
      if (last !== undefined) return trace(last, session, steps);
    }
  }
  return undefined;
}

function trace(last: Blocker, session: number, steps: ReadonlyMap<number, Blocker>): Cycle {
  const cycle = [last];
  while (cycle[0]!.session !== session) cycle.unshift(steps.get(cycle[0]!.session)!);
  return cycle;
}
