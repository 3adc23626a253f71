// The checker accepts what a register can do and refuses what it can't: histories by hand, histories
// made at random and then altered, and small ones compared with every possible order.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random, seedOf } from '../parity/random.js';
import { checkHistory, searchKey } from './check.js';
import { hasOrder } from './every-order.js';
import { generateHistory } from './generate.js';
import type { Action, Operation, Outcome } from './operation.js';

const SEED = seedOf(20260801);
const FOREVER = Number.POSITIVE_INFINITY;
const UNKNOWN: Outcome = { status: 'unknown' };

function op(called: number, returned: number, action: Action, outcome: Outcome): Operation {
  return { key: 'k', client: called, action, outcome, called, returned };
}
const put = (value: string): Action => ({ code: 'put', value });
const get: Action = { code: 'get' };
const add: Action = { code: 'increment', delta: 1n };
const remove: Action = { code: 'delete' };
const ok = (revision?: number, value?: string): Outcome => ({
  status: 'ok',
  revision,
  ...(value === undefined ? {} : { value }),
});
const absent: Outcome = { status: 'not-found' };

function verdict(...history: Operation[]): string {
  return searchKey(history.toSorted((a, b) => a.called - b.called)).verdict;
}

describe('histories that are linearizable', () => {
  it.each<[string, Operation[]]>([
    ['nothing', []],
    ['a read of what was put', [op(1, 2, put('a'), ok(1)), op(3, 4, get, ok(1, 'a'))]],
    [
      'reads beside a put, before and after it',
      [
        op(1, 2, put('a'), ok(1)),
        op(3, 9, put('b'), ok(2)),
        op(4, 5, get, ok(1, 'a')),
        op(6, 7, get, ok(2, 'b')),
      ],
    ],
    ['a lost put that took effect', [op(1, FOREVER, put('a'), UNKNOWN), op(5, 6, get, ok(3, 'a'))]],
    ['a lost put that did not', [op(1, FOREVER, put('a'), UNKNOWN), op(5, 6, get, absent)]],
    [
      'a lost put that took effect late',
      [
        op(1, FOREVER, put('a'), UNKNOWN),
        op(2, 3, get, absent),
        op(4, 5, put('b'), ok(1)),
        op(6, 7, get, ok(2, 'a')),
      ],
    ],
    [
      'a deletion without a revision, then a value under a higher one',
      [op(1, 2, put('a'), ok(4)), op(3, 4, remove, ok()), op(5, 6, put('b'), ok(6))],
    ],
    [
      'a condition that failed, and one that held',
      [
        op(1, 2, { code: 'put-if-absent', value: 'a' }, ok(7)),
        op(
          3,
          4,
          { code: 'put-if-absent', value: 'b' },
          { status: 'condition-failed', revision: 7 },
        ),
        op(5, 6, { code: 'put-if-revision', value: 'c', expected: 7 }, ok(9)),
        op(7, 8, { code: 'delete-if-revision', expected: 7 }, { status: 'condition-failed' }),
        op(9, 10, add, { status: 'not-a-number' }),
      ],
    ],
    [
      'increments of which one was lost',
      [
        op(1, 2, add, ok(undefined, '1')),
        op(3, 20, add, UNKNOWN),
        op(4, 5, add, ok(undefined, '2')),
        op(6, 7, add, ok(undefined, '4')),
      ],
    ],
  ])('%s', (_, history) => {
    expect(verdict(...history)).toBe('linearizable');
  });
});

describe('histories that are not', () => {
  it.each<[string, Operation[]]>([
    [
      'a stale read',
      [op(1, 2, put('a'), ok(1)), op(3, 4, put('b'), ok(2)), op(5, 6, get, ok(1, 'a'))],
    ],
    ['a lost update', [op(1, 2, put('a'), ok(1)), op(3, 4, get, absent)]],
    [
      'a value that was read and then vanished',
      [op(1, 9, put('a'), UNKNOWN), op(2, 3, get, ok(1, 'a')), op(10, 11, get, absent)],
    ],
    [
      'a deletion that was seen and then undone',
      [
        op(1, 2, put('a'), ok(1)),
        op(3, 9, remove, UNKNOWN),
        op(4, 5, get, absent),
        op(10, 11, get, ok(1, 'a')),
      ],
    ],
    ['an increment applied twice', [op(1, 2, add, ok(undefined, '1')), op(3, 4, get, ok(2, '2'))]],
    ['a lost increment applied twice', [op(1, FOREVER, add, UNKNOWN), op(3, 4, get, ok(2, '2'))]],
    [
      'a lost put that takes effect after the crash that ended it',
      [op(1, 3, put('a'), UNKNOWN), op(4, 5, get, absent), op(6, 7, get, ok(1, 'a'))],
    ],
    ['a revision used twice', [op(1, 2, put('a'), ok(5)), op(3, 4, put('b'), ok(5))]],
    ['a revision that falls', [op(1, 2, put('a'), ok(5)), op(3, 4, put('b'), ok(4))]],
    [
      'a revision that falls behind a deletion that told none',
      [op(1, 2, put('a'), ok(5)), op(3, 4, remove, ok()), op(5, 6, put('b'), ok(6))],
    ],
    [
      "a read under another revision than the value's",
      [op(1, 2, put('a'), ok(5)), op(3, 4, get, ok(6, 'a'))],
    ],
    [
      'two winners of one condition',
      [
        op(1, 2, put('a'), ok(5)),
        op(3, 8, { code: 'put-if-revision', value: 'b', expected: 5 }, ok(6)),
        op(4, 9, { code: 'put-if-revision', value: 'c', expected: 5 }, ok(7)),
      ],
    ],
    [
      'a condition refused for no reason',
      [op(1, 2, { code: 'put-if-absent', value: 'a' }, { status: 'condition-failed' })],
    ],
  ])('%s', (_, history) => {
    expect(verdict(...history)).toBe('not-linearizable');
  });
});

it('agrees with every order, on small histories of any kind', () => {
  const seen = { true: 0, false: 0 };
  const action = fc.oneof(
    fc.constantFrom<Action>(get, get, remove, add, put('a'), put('b'), put('1')),
    fc.constantFrom<Action>({ code: 'put-if-absent', value: 'c' }),
    fc.nat(3).map((expected): Action => ({ code: 'put-if-revision', value: 'd', expected })),
    fc.integer({ min: 1, max: 3 }).map(
      (expected): Action => ({
        code: 'delete-if-revision',
        expected,
      }),
    ),
  );
  const revision = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined, freq: 1 });
  const outcome = (of: Action): fc.Arbitrary<Outcome> =>
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc
          .tuple(revision, fc.constantFrom('a', 'b', '1', '2'))
          .map(([at, value]) =>
            ok(at, of.code === 'get' || of.code === 'increment' ? value : undefined),
          ),
      },
      { weight: 2, arbitrary: fc.constant(UNKNOWN) },
      { weight: 1, arbitrary: fc.constant(absent) },
      { weight: 1, arbitrary: fc.constant<Outcome>({ status: 'not-a-number' }) },
      {
        weight: 1,
        arbitrary: revision.map((at): Outcome => ({ status: 'condition-failed', revision: at })),
      },
    );
  const operation = fc.tuple(action, fc.nat(12), fc.nat(8)).chain(([of, called, length]) =>
    fc.tuple(outcome(of), fc.boolean()).map(([answer, isOpen]) => {
      const isEndless = isOpen && answer.status === 'unknown';
      return op(called, isEndless ? FOREVER : called + length, of, answer);
    }),
  );
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 6 }), (history) => {
      const expected = hasOrder(history);
      seen[`${expected}`]++;
      expect(verdict(...history)).toBe(expected ? 'linearizable' : 'not-linearizable');
    }),
    { seed: SEED, numRuns: 6_000 },
  );
  expect(seen.true).toBeGreaterThan(200);
  expect(seen.false).toBeGreaterThan(200);
});

describe(`random histories, RONDO_SEED=${SEED}`, () => {
  const shape = fc.record({
    operations: fc.integer({ min: 20, max: 120 }),
    keys: fc.integer({ min: 1, max: 4 }),
    clients: fc.integer({ min: 2, max: 6 }),
  });
  const losses = fc.record({
    unknownOneIn: fc.constantFrom(0, 5, 12),
    bareOneIn: fc.constantFrom(0, 2, 6),
  });

  it('are accepted, lost answers and revisions that were not told included', () => {
    fc.assert(
      fc.property(fc.nat(), shape, losses, (seed, of, lost) => {
        expect(checkHistory(generateHistory(seed, { ...of, ...lost })).failures).toEqual([]);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it.each(['value', 'revision', 'sum', 'rollback'] as const)(
    'with an altered %s are refused',
    (what) => {
      let altered = 0;
      fc.assert(
        fc.property(fc.nat(), shape, (seed, of) => {
          const history = alter(generateHistory(seed, of), what, new Random(seed));
          if (history === undefined) return;
          altered++;
          const { failures } = checkHistory(history);
          expect(failures).toHaveLength(1);
          expect(failures[0]).toMatchObject({ key: 'altered', verdict: 'not-linearizable' });
        }),
        { seed: SEED, numRuns: 200 },
      );
      expect(altered).toBeGreaterThan(100);
    },
  );
});

/** One answer altered so that no order explains it, under a key that then bears another name. */
function alter(
  history: Operation[],
  what: 'value' | 'revision' | 'sum' | 'rollback',
  random: Random,
): Operation[] | undefined {
  const found = history.flatMap(({ action, outcome }, index) => {
    const isRead = action.code === 'get' && outcome.status === 'ok';
    const isSum = action.code === 'increment' && outcome.status === 'ok';
    return (what === 'sum' ? isSum : isRead) ? [index] : [];
  });
  if (found.length === 0) return undefined;
  const index = random.pick(found);
  const { key, outcome } = history[index] as Operation;
  if (outcome.status !== 'ok') return undefined;
  let changed = history.with(index, {
    ...(history[index] as Operation),
    outcome: {
      ...outcome,
      // A value that nobody put, a sum that nothing gives, a revision between two others.
      ...(what === 'value' || what === 'sum' ? { value: '-77777' } : {}),
      ...(what === 'revision' ? { revision: (outcome.revision as number) + 0.5 } : {}),
    },
  });
  if (what === 'rollback') {
    // What was read was never overwritten, says a later reader; but a newer revision was seen.
    const of = history.filter((operation) => operation.key === key);
    const newest = Math.max(
      ...of.map((each) => ('revision' in each.outcome && each.outcome.revision) || 0),
    );
    if (newest === outcome.revision) return undefined;
    const end = 1 + Math.max(...history.map(({ returned }) => returned));
    const again = { ...(history[index] as Operation), called: end, returned: end + 1 };
    changed = [...history, again];
  }
  return changed.map((operation) =>
    operation.key === key ? { ...operation, key: 'altered' } : operation,
  );
}

describe('the search', () => {
  it('takes 10,000 operations of 16 clients over 50 keys in seconds', () => {
    const of = { operations: 10_000, keys: 50, clients: 16, unknownOneIn: 100, bareOneIn: 4 };
    const history = generateHistory(SEED, of);
    const begun = performance.now();
    const { failures, operations } = checkHistory(history);
    expect(failures).toEqual([]);
    expect(operations).toBeGreaterThan(9_900);
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  it('takes 5,000 operations on one key', () => {
    const of = { operations: 5_000, keys: 1, clients: 16, unknownOneIn: 200, bareOneIn: 4 };
    expect(checkHistory(generateHistory(SEED, of)).failures).toEqual([]);
  });

  it('says that it is undecided at its limit, which is no pass', () => {
    const lost = Array.from({ length: 24 }, (_, index) => op(index, FOREVER, add, UNKNOWN));
    const { failures } = checkHistory([...lost, op(50, 51, get, ok(undefined, '25'))], 1_000);
    expect(failures).toHaveLength(1);
    expect(failures[0]?.verdict).toBe('undecided');
    expect(failures[0]?.report).toMatch(/UNDECIDED after 1001 steps/);
  });

  it('reports the longest order and what can not follow it', () => {
    const { failures } = checkHistory([
      op(1, 2, put('a'), ok(1)),
      op(3, 4, put('b'), ok(2)),
      op(5, 6, get, ok(1, 'a')),
      op(7, 8, get, ok(2, 'b')),
    ]);
    expect(failures[0]?.report).toBe(
      [
        'key "k": not linearizable, 4 operations',
        'the longest order found has 2 of them:',
        '  #0 [     1,      2] client 1: put "a" -> ok @1    => "a", revision 1',
        '  #1 [     3,      4] client 3: put "b" -> ok @2    => "b", revision 2',
        'it leads to: "b", revision 2',
        'one of these would have to follow, and none can:',
        '  #2 [     5,      6] client 5: get -> ok "a" @1',
        'behind them come 1:',
        '  #3 [     7,      8] client 7: get -> ok "b" @2',
      ].join('\n'),
    );
  });
});
