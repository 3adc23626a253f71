// The search for deadlocks, on tables that are built by hand.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { cycleText, findCycle } from '../../ts/engine/deadlock.js';
import { Holdings } from '../../ts/engine/holdings.js';
import { Keyspace } from '../../ts/engine/keyspace.js';
import { Hold, isBeside, type Lock, nameText, Wait } from '../../ts/engine/locks.js';
import { Session, type Sessions } from '../../ts/engine/sessions.js';
import { LOCK_EXCLUSIVE, LOCK_PERMIT, LOCK_SHARED } from '../../ts/wire/layout.js';
import { DEADLOCK_STEPS_SHOWN_MAX, DEADLOCK_WAITS_EXAMINED_MAX } from '../../ts/wire/limits.js';

class Table {
  readonly holdings = new Holdings(new Keyspace(1, 0));
  private token = 0;

  holds(session: number, name: string, mode = LOCK_EXCLUSIVE): Hold {
    this.session(session);
    const hold = new Hold(this.lock(name), ++this.token, session, 0, mode, 1, 0, 0);
    this.holdings.addHold(hold);
    return hold;
  }

  waits(session: number, name: string, mode = LOCK_EXCLUSIVE): void {
    this.holdings.addWait(this.request(session, name, mode));
  }

  /** The text of the cycle that a request would close; undefined: none is found. */
  cycle(session: number, name: string, mode = LOCK_EXCLUSIVE, of?: Hold): string[] | undefined {
    const cycle = findCycle(this.request(session, name, mode, of), this.holdings.sessions);
    return cycle === undefined ? undefined : Buffer.from(cycleText(cycle)).toString().split('\n');
  }

  request(session: number, name: string, mode: number, of?: Hold): Wait {
    return new Wait(this.lock(name), this.session(session), 0, mode, 1, 0, 0, 0, of);
  }

  private session(id: number): Session {
    const { sessions } = this.holdings;
    const session = sessions.find(id) ?? new Session(id, 0, 1000, new Uint8Array(16));
    if (sessions.find(id) === undefined) this.holdings.addSession(session);
    return session;
  }

  private lock(name: string): Lock {
    const bytes = Buffer.from(name);
    return this.holdings.locks.take(nameText(bytes, 0, bytes.length), bytes, 0);
  }
}

it('names the sessions of a cycle, the asker first', () => {
  const table = new Table();
  table.holds(1, 'a');
  table.holds(2, 'bä');
  table.waits(1, 'bä');
  expect(table.cycle(3, 'a')).toBeUndefined();
  expect(table.cycle(2, 'a')).toEqual([
    '00000000000002 waits for "a" held by 00000000000001',
    '00000000000001 waits for "bä" held by 00000000000002',
  ]);
});

it('goes through waits that stand before another', () => {
  const table = new Table();
  table.holds(1, 'a', LOCK_SHARED);
  table.waits(2, 'a');
  table.holds(3, 'b');
  table.waits(2, 'b');
  // A shared request would fit beside the hold, but not beside the wait before it.
  expect(table.cycle(3, 'a', LOCK_SHARED)).toEqual([
    '00000000000003 waits for "a" behind 00000000000002',
    '00000000000002 waits for "b" held by 00000000000003',
  ]);
});

it('does not make sessions wait for what they fit beside, or for themselves', () => {
  const table = new Table();
  table.holds(1, 'a', LOCK_SHARED);
  table.holds(2, 'b', LOCK_SHARED);
  table.waits(1, 'b', LOCK_SHARED);
  expect(table.cycle(2, 'a', LOCK_SHARED)).toBeUndefined();
  expect(table.cycle(1, 'a')).toBeUndefined();
});

it('makes an upgrade wait for the other holds and for no wait', () => {
  const table = new Table();
  const own = table.holds(1, 'a', LOCK_SHARED);
  table.holds(1, 'b');
  table.waits(2, 'b');
  table.waits(2, 'a');
  expect(table.cycle(1, 'a', LOCK_EXCLUSIVE, own)).toBeUndefined();
  table.holds(2, 'a', LOCK_SHARED);
  expect(table.cycle(1, 'a', LOCK_EXCLUSIVE, own)).toEqual([
    '00000000000001 waits for "a" held by 00000000000002',
    '00000000000002 waits for "b" held by 00000000000001',
  ]);
});

/** Session 1 holds `0`, and each one waits for what the next one holds, up to the last. */
function chain(length: number): Table {
  const table = new Table();
  for (let session = 1; session <= length; session++) {
    table.holds(session, `${session - 1}`);
    if (session < length) table.waits(session, `${session}`);
  }
  return table;
}

it('shows no more steps than its bound', () => {
  const shown = chain(DEADLOCK_STEPS_SHOWN_MAX).cycle(DEADLOCK_STEPS_SHOWN_MAX, '0');
  expect(shown).toHaveLength(DEADLOCK_STEPS_SHOWN_MAX);
  const cut = chain(DEADLOCK_STEPS_SHOWN_MAX + 1).cycle(DEADLOCK_STEPS_SHOWN_MAX + 1, '0');
  expect(cut).toHaveLength(DEADLOCK_STEPS_SHOWN_MAX + 1);
  expect(cut?.at(-1)).toBe('...');
});

it('gives up after its bound of waits', () => {
  const within = DEADLOCK_WAITS_EXAMINED_MAX + 1;
  expect(chain(within).cycle(within, '0')).toBeDefined();
  expect(chain(within + 1).cycle(within + 1, '0')).toBeUndefined();
});

it('finds in a long queue that there is none, in time that grows with its length', () => {
  const table = new Table();
  table.holds(1, 'a');
  for (let session = 2; session < DEADLOCK_WAITS_EXAMINED_MAX; session++) table.waits(session, 'a');
  const asker = DEADLOCK_WAITS_EXAMINED_MAX;
  table.holds(asker, 'b');
  const begun = performance.now();
  for (let round = 0; round < 20; round++) expect(table.cycle(asker, 'a')).toBeUndefined();
  // It takes half a second; one that looks at each pair of waits, more than a minute.
  expect(performance.now() - begun).toBeLessThan(15_000);
});

/** The search as the contract has it, without what spares a look at the same waits. */
function plainCycle(request: Wait, sessions: Sessions): boolean {
  const entered = new Set<number>();
  const isClosedBy = (wait: Wait): boolean => {
    const { lock, session, mode } = wait;
    const queue = [...lock.queue()];
    const before = wait.upgradeOf === undefined ? queue : [];
    if (queue.includes(wait)) before.splice(before.indexOf(wait));
    const blockers = [
      ...lock.holds.filter((hold) => !isBeside(mode, hold.mode)).map((hold) => hold.session),
      ...before.filter((other) => !isBeside(mode, other.mode)).map((other) => other.session.id),
    ].filter((blocker) => blocker !== session.id);
    return blockers.some((blocker) => {
      if (blocker === request.session.id) return lock !== request.lock;
      if (entered.has(blocker)) return false;
      entered.add(blocker);
      return [...(sessions.find(blocker)?.waits ?? [])].some(isClosedBy);
    });
  };
  return isClosedBy(request);
}

it('finds a cycle where the plain search does', () => {
  const session = fc.integer({ min: 1, max: 6 });
  const name = fc.constantFrom('a', 'b', 'c');
  const mode = fc.constantFrom(LOCK_EXCLUSIVE, LOCK_SHARED, LOCK_PERMIT);
  const item = fc.record({ session, name, mode, isHeld: fc.boolean() });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 16 }), item, (items, asked) => {
      const table = new Table();
      for (const { session, name, mode, isHeld } of items) {
        if (isHeld) table.holds(session, name, mode);
        else table.waits(session, name, mode);
      }
      const request = table.request(asked.session, asked.name, asked.mode);
      const found = findCycle(request, table.holdings.sessions);
      expect(found !== undefined).toBe(plainCycle(request, table.holdings.sessions));
    }),
    { numRuns: 2000 },
  );
});
