// The checker of lock histories accepts what one exclusive lock can do and refuses what it can't: by hand, made
// at random and then altered, and small ones compared with every possible order.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random, seedOf } from '../parity/random.js';
import {
  checkLocks,
  type LockAction,
  type LockOperation,
  type LockOutcome,
  type LockState,
  lockModel,
  searchLock,
} from './lock.js';

const SEED = seedOf(20_261_122);
const FOREVER = Number.POSITIVE_INFINITY;
const UNKNOWN: LockOutcome = { status: 'unknown' };
const acquire: LockAction = { code: 'acquire' };
const attempt: LockAction = { code: 'try' };
const release = (token: number): LockAction => ({ code: 'release', token });
const expire = (token: number): LockAction => ({ code: 'expire', token });
const ok = (token?: number): LockOutcome => ({
  status: 'ok',
  ...(token === undefined ? {} : { token }),
});

function op(
  called: number,
  returned: number,
  action: LockAction,
  outcome: LockOutcome,
): LockOperation {
  return { lock: 'l', client: called, action, outcome, called, returned };
}

function verdict(...history: LockOperation[]): string {
  return searchLock(history.toSorted((a, b) => a.called - b.called)).verdict;
}

describe('histories of a lock', () => {
  it.each<[string, LockOperation[]]>([
    ['nothing', []],
    [
      'one after another',
      [
        op(1, 2, acquire, ok(5)),
        op(3, 4, release(5), ok()),
        op(5, 6, attempt, ok(9)),
        op(7, 8, release(9), ok()),
      ],
    ],
    [
      'a wait that is granted by a release',
      [op(1, 2, acquire, ok(5)), op(3, 9, acquire, ok(7)), op(4, 8, release(5), ok())],
    ],
    [
      'a try that meets the holder, told or not',
      [
        op(1, 2, acquire, ok(5)),
        op(3, 4, attempt, { status: 'held', token: 5 }),
        op(5, 6, attempt, { status: 'held' }),
      ],
    ],
    [
      'a grant whose answer was lost',
      [op(1, FOREVER, acquire, UNKNOWN), op(5, 6, attempt, { status: 'held', token: 8 })],
    ],
    [
      'a wait that was lost and never granted',
      [op(1, FOREVER, acquire, UNKNOWN), op(5, 6, attempt, ok(8))],
    ],
    [
      'a lease that ran out before the next grant, and a late release',
      [
        op(1, 2, acquire, ok(5)),
        op(3, 20, expire(5), ok()),
        op(4, 10, acquire, ok(7)),
        op(11, 12, release(5), { status: 'not-holder' }),
        op(13, 14, release(7), ok()),
      ],
    ],
    [
      'a release whose answer was lost, done',
      [op(1, 2, acquire, ok(5)), op(3, 9, release(5), UNKNOWN), op(4, 5, attempt, ok(6))],
    ],
    [
      'a wait that gave up while it was held',
      [op(1, 2, acquire, ok(5)), op(3, 9, acquire, { status: 'given-up' })],
    ],
  ])('%s, is linearizable', (_, history) => {
    expect(verdict(...history)).toBe('linearizable');
  });

  it.each<[string, LockOperation[]]>([
    ['two holders', [op(1, 2, acquire, ok(5)), op(3, 4, attempt, ok(6))]],
    [
      'two holders, the second granted before the release was asked for',
      [op(1, 2, acquire, ok(5)), op(3, 4, acquire, ok(6)), op(5, 6, release(5), ok())],
    ],
    [
      'a token that falls',
      [op(1, 2, acquire, ok(5)), op(3, 4, release(5), ok()), op(5, 6, acquire, ok(4))],
    ],
    [
      'a token twice',
      [op(1, 2, acquire, ok(5)), op(3, 4, release(5), ok()), op(5, 6, acquire, ok(5))],
    ],
    ['a release of what was never held', [op(1, 2, release(5), ok())]],
    ['a try that finds a free lock held', [op(1, 2, attempt, { status: 'held' })]],
    [
      'a holder of whom nobody has heard',
      [op(1, 2, acquire, ok(5)), op(3, 4, attempt, { status: 'held', token: 4 })],
    ],
    [
      'a holder that is told that it is none',
      [op(1, 2, acquire, ok(5)), op(3, 4, release(5), { status: 'not-holder' })],
    ],
    [
      'a grant before the lease that it follows ran out',
      [op(1, 2, acquire, ok(5)), op(10, 20, expire(5), ok()), op(4, 9, acquire, ok(7))],
    ],
    [
      'a lock released twice',
      [op(1, 2, acquire, ok(5)), op(3, 4, release(5), ok()), op(5, 6, release(5), ok())],
    ],
  ])('%s, is not', (_, history) => {
    expect(verdict(...history)).toBe('not-linearizable');
  });

  it('says that it is undecided at its limit, which is no pass', () => {
    const lost = Array.from({ length: 20 }, (_, at) => op(at, FOREVER, acquire, UNKNOWN));
    const [failure] = checkLocks(
      [...lost, op(50, 51, release(3), ok()), op(52, 53, release(2), ok())],
      1,
    );
    expect(failure?.verdict).toBe('undecided');
  });

  it('reports what can not follow, lock by lock', () => {
    const good = op(1, 2, acquire, ok(3));
    const failures = checkLocks([
      { ...good, lock: 'fine' },
      op(1, 2, acquire, ok(5)),
      op(3, 4, attempt, ok(6)),
    ]);
    expect(failures.map(({ lock }) => lock)).toEqual(['l']);
    expect(failures[0]?.report).toContain('it leads to: held under 5, newest token 5');
    expect(failures[0]?.report).toContain('  #1 [3, 4] client 3: try -> ok 6');
  });
});

it(`agrees with every order, on small histories, RONDO_SEED=${SEED}`, () => {
  const seen = { true: 0, false: 0 };
  const token = fc.integer({ min: 1, max: 3 });
  const told = fc.option(token, { nil: undefined, freq: 3 });
  const asked = fc.oneof(
    fc.constantFrom(acquire, attempt),
    fc.constantFrom(acquire, attempt),
    token.map(release),
    token.map(expire),
  );
  const outcome = (action: LockAction): fc.Arbitrary<LockOutcome> =>
    fc.oneof(
      { weight: 6, arbitrary: 'token' in action ? fc.constant(ok()) : token.map(ok) },
      { weight: 2, arbitrary: fc.constant(UNKNOWN) },
      {
        weight: 2,
        arbitrary: told.map(
          (at): LockOutcome =>
            at === undefined ? { status: 'held' } : { status: 'held', token: at },
        ),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom<LockOutcome>({ status: 'not-holder' }, { status: 'given-up' }),
      },
    );
  const operation = fc
    .tuple(asked, fc.nat(12), fc.nat(8))
    .chain(([action, called, length]) =>
      outcome(action).map((answer) => op(called, called + length, action, answer)),
    );
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 6 }), (history) => {
      const expected = hasOrder(history, lockModel.initial);
      seen[`${expected}`]++;
      expect(verdict(...history)).toBe(expected ? 'linearizable' : 'not-linearizable');
    }),
    { seed: SEED, numRuns: 4_000 },
  );
  expect(seen.true).toBeGreaterThan(200);
  expect(seen.false).toBeGreaterThan(200);
});

/** Every order of every choice of lost operations, tried one by one. */
function hasOrder(left: readonly LockOperation[], state: LockState): boolean {
  if (left.length === 0) return true;
  const firstReturn = Math.min(...left.map(({ returned }) => returned));
  return left.some((operation, index) => {
    if (operation.called > firstReturn) return false;
    const rest = left.toSpliced(index, 1);
    if (operation.outcome.status === 'unknown' && hasOrder(rest, state)) return true;
    const after = lockModel.step(state, operation);
    return after !== undefined && hasOrder(rest, after);
  });
}

describe(`random histories of a lock, RONDO_SEED=${SEED}`, () => {
  it('are accepted, with lost answers and leases that run out', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 2, max: 8 }), (seed, clients) => {
        const history = generate(new Random(seed), 120, clients);
        expect(history.length).toBeGreaterThan(60);
        expect(checkLocks(history)).toEqual([]);
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  it.each(['falls', 'twice', 'two holders'] as const)(
    'with a violation (%s) are refused',
    (what) => {
      let altered = 0;
      fc.assert(
        fc.property(fc.nat(), (seed) => {
          const random = new Random(seed);
          const history = plant(generate(random, 100, 4), what, random);
          if (history === undefined) return;
          altered++;
          expect(checkLocks(history).map(({ verdict: found }) => found)).toEqual([
            'not-linearizable',
          ]);
        }),
        { seed: SEED, numRuns: 150 },
      );
      expect(altered).toBeGreaterThan(50);
    },
  );

  it('of 5,000 operations are checked in seconds', () => {
    const begun = performance.now();
    expect(checkLocks(generate(new Random(SEED), 5_000, 16))).toEqual([]);
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});

/** What clients see of a lock that works: each operation has its effect at one moment of its interval. */
function generate(random: Random, operations: number, clients: number): LockOperation[] {
  const history: LockOperation[] = [];
  let time = 0;
  let holder: { client: number; token: number; since: number } | undefined;
  let newest = 0;
  const tokens = new Map<number, number>();
  const ready = Array.from({ length: clients }, () => 0);
  const add = (client: number, action: LockAction, outcome: LockOutcome): void => {
    const called = Math.max(ready[client] ?? 0, time - random.below(30));
    const isLost = outcome.status === 'ok' && action.code !== 'expire' && random.oneIn(25);
    const returned = time + random.below(20);
    ready[client] = returned + 1;
    history.push({
      ...{ lock: 'l', client, action, called: Math.min(called, time) },
      outcome: isLost ? UNKNOWN : outcome,
      returned: isLost && random.oneIn(2) ? FOREVER : returned,
    });
  };
  while (history.length < operations) {
    time += random.between(1, 10);
    const client = random.below(clients);
    if ((ready[client] as number) > time) continue;
    if (holder === undefined) {
      newest += random.between(1, 5);
      holder = { client, token: newest, since: time };
      tokens.set(client, newest);
      add(client, random.pick([acquire, attempt]), ok(newest));
    } else if (holder.client === client) {
      add(client, release(holder.token), ok());
      holder = undefined;
    } else if (random.oneIn(6)) {
      // The node's own: from the grant to some time after.
      const { token, since } = holder;
      const returned = time + random.below(9);
      history.push({ ...op(since, returned, expire(token), ok()), client: -1 });
      holder = undefined;
    } else if (random.oneIn(3) && tokens.has(client)) {
      add(client, release(tokens.get(client) as number), { status: 'not-holder' });
    } else {
      const isTold = random.oneIn(2);
      const held: LockOutcome = isTold
        ? { status: 'held', token: holder.token }
        : { status: 'held' };
      if (random.oneIn(3)) add(client, acquire, { status: 'given-up' });
      else add(client, attempt, held);
    }
  }
  return history;
}

/** The history with one grant that cannot be, at its end. */
function plant(
  history: LockOperation[],
  what: 'falls' | 'twice' | 'two holders',
  random: Random,
): LockOperation[] | undefined {
  const granted = history.flatMap(({ outcome }) =>
    outcome.status === 'ok' && outcome.token !== undefined ? [outcome.token] : [],
  );
  const newest = Math.max(...granted);
  const times = history.flatMap(({ called, returned }) =>
    returned < FOREVER ? [returned] : [called],
  );
  const end = 1 + Math.max(...times);
  if (granted.length < 3) return undefined;
  if (what === 'two holders') {
    const two = [
      op(end, end + 1, acquire, ok(newest + 50)),
      op(end + 2, end + 3, acquire, ok(newest + 60)),
    ];
    return [...history, ...two];
  }
  const lower = granted.filter((token) => token < newest);
  const token = what === 'twice' ? newest : random.pick(lower);
  return [...history, op(end, end + 1, attempt, ok(token))];
}
