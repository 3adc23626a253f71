// The graph of waits that the search for deadlocks puts together, against one that looks at every wait in turn.

import { describe, expect, it } from 'vitest';
import { type Blocker, cycleText, DeadlockGraph } from '../../node/deadlock-graph.js';
import { DEADLOCK_WAITS_EXAMINED_MAX } from '../../ts/wire/limits.js';
import { Random, seedOf } from '../parity/random.js';

const SEED = seedOf(20_261_124);

describe('the graph', () => {
  const pair = (session: number, blocker: number, since: number): Blocker => ({
    worker: 0,
    session,
    blocker,
    since,
    id: since,
    lock: `lock-${blocker}`,
    isBehind: false,
  });

  it('refuses of cycles that share a wait the one that was closed first, and each on its own', () => {
    const graph = new DeadlockGraph();
    // 1-2 closed at 2; 1-2-3 over the same wait of 1, closed at 5; 7-8 apart.
    for (const [session, blocker, since] of [
      [1, 2, 1],
      [2, 1, 2],
      [2, 3, 4],
      [3, 1, 5],
      [8, 7, 9],
      [7, 8, 8],
    ] as const) {
      graph.add(pair(session, blocker, since));
    }
    const victims = graph.cycles().map(([victim]) => `${victim?.session} since ${victim?.since}`);
    expect(victims).toEqual(['2 since 2', '3 since 5', '8 since 9']);
  });

  it(`leaves no cycle, and refuses nothing outside of one, seed ${SEED}`, () => {
    const random = new Random(SEED);
    let found = 0;
    for (let round = 0; round < 500; round++) {
      const pairs = new Map<string, Blocker>();
      const sessions = random.between(2, 12);
      for (let at = random.between(1, 20); at > 0; at--) {
        const session = random.below(sessions) + 1;
        const blocker = random.below(sessions) + 1;
        const one = { ...pair(session, blocker, at), lock: `${random.below(6)}` };
        if (session !== blocker) pairs.set(`${at}`, one);
      }
      const all = Array.from(pairs.values());
      const graph = new DeadlockGraph();
      for (const one of all) graph.add(one);
      const reversed = new DeadlockGraph();
      for (const one of all.toReversed()) reversed.add(one);
      const victims = graph.cycles().map(([victim]) => victim!.since);
      expect(reversed.cycles().map(([victim]) => victim!.since)).toEqual(victims);
      expect(victims.toSorted((a, b) => a - b)).toEqual(naiveVictims(all));
      found += victims.length;
    }
    expect(found).toBeGreaterThan(300);
  });

  it('costs little where thousands wait one behind the other', () => {
    const graph = new DeadlockGraph();
    for (let at = 1; at <= 4000; at++) graph.add(pair(at, at + 1, 5000 - at));
    for (const [session, blocker] of [
      [5000, 5001],
      [5001, 5000],
    ] as const) {
      graph.add(pair(session, blocker, session));
    }
    const begun = performance.now();
    expect(graph.cycles().map(([victim]) => victim?.session)).toEqual([5001]);
    // Each wait that no cycle goes through would cost as much as the rest of the chain: seconds.
    expect(performance.now() - begun).toBeLessThan(500);
  });

  it('has bounds, and judges what it has seen', () => {
    const graph = new DeadlockGraph();
    graph.add(pair(1, 2, 1));
    graph.add(pair(2, 1, 2));
    for (let session = 10; !graph.isFull; session++) graph.add(pair(session, session + 1, session));
    expect(graph.add(pair(3, 4, 3))).toBe(false);
    const begun = performance.now();
    expect(graph.cycles()).toHaveLength(1);
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(DEADLOCK_WAITS_EXAMINED_MAX).toBeGreaterThan(2);
  });

  it('names sixteen steps of a cycle', () => {
    const cycle = Array.from({ length: 17 }, (_, at) => pair(at + 1, at + 2, at));
    const lines = cycleText(cycle).split('\n');
    expect(lines).toHaveLength(17);
    expect(lines[16]).toBe('...');
    expect(cycleText(cycle.slice(0, 16)).split('\n')).toHaveLength(16);
  });
});

/** Waits one by one, the oldest first: each that closes a cycle among those that are left is refused. */
function naiveVictims(pairs: readonly Blocker[]): number[] {
  const left: Blocker[] = [];
  const victims: number[] = [];
  for (const wait of pairs.toSorted((a, b) => a.since - b.since)) {
    const isClosed = left.some(
      ({ session, blocker, lock }) =>
        blocker === wait.session && lock !== wait.lock && isReached(session, wait, left),
    );
    if (isClosed) victims.push(wait.since);
    else left.push(wait);
  }
  return victims;
}

/** Whether a session is come to from a wait, without going through the wait's own session. */
function isReached(target: number, wait: Blocker, left: readonly Blocker[]): boolean {
  const reached = new Set([wait.blocker]);
  for (let size = -1; size !== reached.size; ) {
    size = reached.size;
    for (const { session, blocker } of left) {
      if (reached.has(session) && blocker !== wait.session) reached.add(blocker);
    }
  }
  return reached.has(target);
}
