// Several engines that forward give the same answers to operations on single keys and locks as one engine
// that has all partitions, and make the same records, each in the partition's order.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  endSession,
  ephemeral,
  fenced,
  lock,
  once,
  unlock,
  withId,
} from '../../drive/coordination.js';
import { Drive, type Result } from '../../drive/drive.js';
import { effectsOf, effectText } from '../../drive/effects.js';
import { type CreateEngine, OPTIONS } from '../../drive/engines.js';
import { del, get, increment, type Operation, put, touch } from '../../drive/operations.js';
import { Workers } from '../../drive/workers.js';
import { seedOf } from '../../parity/random.js';

const SEED = seedOf(60_606);
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', '{t}g', '{t}h', 'é', '{u}i'];
const SESSIONS = 3;

type Command =
  | { readonly kind: 'frame'; readonly session: number; readonly operations: readonly Operation[] }
  /** A write that is fenced with a hold of a session. */
  | { readonly kind: 'fenced'; readonly hold: number; readonly off: number; readonly key: string }
  | { readonly kind: 'unlock'; readonly hold: number }
  | { readonly kind: 'end'; readonly session: number };

const key = fc.constantFrom(...KEYS);
const ttl = fc.option(fc.constantFrom<number | 'keep'>(20, 500, 'keep'), { nil: undefined });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  key.map((name) => get(name)),
  fc
    .tuple(key, fc.string({ maxLength: 9 }), ttl)
    .map(([name, value, lives]) => put(name, value, { ttl: lives })),
  fc.tuple(key, fc.nat(6)).map(([name, ifRevision]) => put(name, 'r', { ifRevision })),
  key.map((name) => put(name, 'new', { ifAbsent: true })),
  key.map((name) => del(name)),
  fc.tuple(key, fc.integer({ min: -9, max: 9 })).map(([name, by]) => increment(name, by)),
  fc.tuple(key, fc.constantFrom(undefined, 9, 300)).map(([name, ms]) => touch(name, ms)),
  key.map((name) => ephemeral(put(name, 'mine'))),
  fc.tuple(key, fc.boolean()).map(([name, shared]) => lock(`l${name}`, { shared })),
  key.map((name) => once(0, increment(name, 1))),
  fc.tuple(key, fc.nat(255)).map(([name, code]) => ({ ...get(name), code: 100 + (code % 100) })),
);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('frame' as const),
      session: fc.nat(SESSIONS),
      operations: fc.array(operation, { minLength: 1, maxLength: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fenced' as const),
      hold: fc.nat(20),
      off: fc.constantFrom(0, 0, 0, -1, 1, 40),
      key,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unlock' as const), hold: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      session: fc.integer({ min: 1, max: SESSIONS }),
    }),
  },
);
const history = fc.record({
  workers: fc.constantFrom(2, 3, 4),
  commands: fc.array(fc.tuple(command, fc.nat(3), fc.nat(40)), { minLength: 1, maxLength: 30 }),
});

/** A hold as its holder knows it. */
interface Held {
  readonly session: number;
  readonly name: Uint8Array;
  readonly token: number;
}

/** What is told of a result: all of it, in a form that compares. */
function plain(results: readonly Result[]): unknown[] {
  return results.map(({ key: name, value, ...rest }) => ({
    ...rest,
    key: Buffer.from(name).toString('hex'),
    value: Buffer.from(value).toString('hex'),
  }));
}

/** Records by partition, in brief. */
function byPartition(records: readonly Uint8Array[]): string[] {
  const effects = effectsOf(Buffer.concat(records));
  return effects
    .map((effect, at) => ({ text: `${effect.partition} ${effectText(effect)}`, effect, at }))
    .sort((left, right) => left.effect.partition - right.effect.partition || left.at - right.at)
    .map(({ text }) => text);
}

function compare(create: CreateEngine, workers: number, commands: [Command, number, number][]) {
  const one = new Drive(create(OPTIONS));
  const several = new Workers(create, workers);
  const sessions = Array.from({ length: SESSIONS }, (_, at) => several.session(at % workers, at));
  const held: Held[] = [];
  let id = 0;
  for (const session of sessions) {
    one.openSession(session, 3_600_000);
    several.open(session, 3_600_000);
  }
  try {
    for (const [next, at, elapsed] of commands) {
      one.now += elapsed;
      for (const d of several.drives) d.now = one.now;
      const { session, operations } = operationsOf(next, sessions, held);
      const asked = operations.map((each) => withId(++id, each));
      const alone = one.as(session, ...asked);
      const joined = several.run(at % workers, session, ...asked);
      expect(joined.refusal).toBe(alone.refusal);
      expect(plain(joined.results)).toEqual(plain(alone.results));
      expect(byPartition(joined.records)).toEqual(byPartition([alone.recordBytes]));
      for (const { id: granted, status, revision } of alone.results) {
        const named = asked.find((each) => each.id === granted);
        if (named?.code === lock('').code && status === 'OK') {
          held.push({ session, name: named.key, token: revision });
        }
      }
    }
  } finally {
    one.engine.close();
    several.close();
  }
}

function operationsOf(
  next: Command,
  sessions: readonly number[],
  held: readonly Held[],
): { session: number; operations: readonly Operation[] } {
  if (next.kind === 'frame') {
    return { session: sessions[next.session - 1] ?? 0, operations: next.operations };
  }
  if (next.kind === 'end') {
    return { session: sessions[next.session - 1] ?? 0, operations: [endSession()] };
  }
  const hold = held[next.hold % Math.max(held.length, 1)];
  if (hold === undefined) return { session: 0, operations: [get('none')] };
  const { session, name, token } = hold;
  if (next.kind === 'unlock') return { session, operations: [unlock(name, token)] };
  return { session, operations: [fenced(name, Math.max(1, token + next.off), put(next.key, 'f'))] };
}

export function workersModelContract(create: CreateEngine): void {
  describe(`engines that forward and one engine, RONDO_SEED=${SEED}`, () => {
    it('give the same answers and make the same records', { timeout: 60_000 }, () => {
      fc.assert(
        fc.property(history, ({ workers, commands }) => compare(create, workers, commands)),
        { seed: SEED, numRuns: 60 },
      );
    });
  });
}
