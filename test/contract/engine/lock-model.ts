// Random commands of several sessions on a few locks, beside a naive model: the same answers, records and
// notices, and after each step what must hold of locks whatever the model says.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LOCK_EXCLUSIVE, LOCK_PERMIT, LOCK_SHARED, WAIT_FOREVER } from '../../../ts/wire/layout.js';
import {
  cancelLock,
  digestOf,
  downgrade,
  endSession,
  extend,
  lock,
  renew,
  unlock,
} from '../../drive/coordination.js';
import { Drive, effects, type Left, told } from '../../drive/drive.js';
import { MODES } from '../../drive/effects.js';
import { type CreateEngine, OPTIONS } from '../../drive/engines.js';
import { allLocks, type LockView } from '../../drive/lock-view.js';
import { NaiveLocks, type Request } from '../../drive/naive-locks.js';
import type { Operation } from '../../drive/operations.js';
import { seedOf } from '../../parity/random.js';

const SEED = seedOf(20_261_121);
/** Histories of a test run; a soak asks for more. */
const RUNS = 80;
const SESSIONS = [1, 2, 3, 4];
const NAMES = ['a', 'b', 'c'];

/** What one step does. `pick` chooses among the holds or waits there are then. */
type Command =
  | { readonly do: 'open' | 'resume' | 'renew' | 'end'; readonly session: number }
  | { readonly do: 'lock'; readonly session: number; readonly request: Request }
  | {
      readonly do: 'unlock' | 'downgrade' | 'extend' | 'upgrade' | 'cancel' | 'repeat';
      readonly session: number;
      readonly pick: number;
      readonly ms: number;
    }
  | { readonly do: 'advance' };
type Step = Command & { readonly elapsed: number };

// Steps begin at multiples of 16 ms, and what has a deadline differs in the rest, so that no two fall
// together: then the order in which they are due is plain.
const TICK_MS = 16;
const ttlOf = (session: number) => 1008 + session;
const LEASES = [0, 0, 0, 325, 1302];
const WAITS = [0, 0, 200, 601, WAIT_FOREVER, WAIT_FOREVER, WAIT_FOREVER];

const session = fc.constantFrom(...SESSIONS);
const request = fc.record({
  name: fc.constantFrom(...NAMES),
  mode: fc.constantFrom(LOCK_EXCLUSIVE, LOCK_EXCLUSIVE, LOCK_SHARED, LOCK_SHARED, LOCK_PERMIT),
  waitMs: fc.constantFrom(...WAITS),
  leaseMs: fc.constantFrom(...LEASES),
  reentrant: fc.constantFrom(false, false, false, true),
  permits: fc.constantFrom(1, 2, 3),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('open' as const), session }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('resume' as const, 'renew', 'end'), session }),
  },
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constant('lock' as const),
      session,
      request: request.map((made) => ({
        ...made,
        id: 0,
        upgrade: 0,
        permits: made.mode === LOCK_PERMIT ? made.permits : 0,
      })),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom(
        ...([
          'unlock',
          'unlock',
          'downgrade',
          'extend',
          'upgrade',
          'upgrade',
          'cancel',
          'repeat',
        ] as const),
      ),
      session,
      pick: fc.nat(7),
      ms: fc.constantFrom(...WAITS),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'advance' as const }) },
);
const elapsed = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(1, 2, 3) },
  { weight: 1, arbitrary: fc.constantFrom(20, 50, 90) },
);
const steps = fc.array(
  fc.tuple(command, elapsed).map(([made, ticks]): Step => ({ ...made, elapsed: ticks * TICK_MS })),
  { minLength: 1, maxLength: 120, size: 'max' },
);

/** Answers that the contract gives no revision: the status is compared. */
const bare = (answer: string) => (/^[A-Z_]+ \d+$/.test(answer) ? answer : answer.split(' ')[0]);

class Run {
  readonly seen = new Map<string, number>();
  private readonly model = new NaiveLocks();
  private nextId = 1;
  private answers: string[] = [];
  /** Waits without an answer, as `session#id`. */
  private readonly waiting = new Set<string>();
  private readonly tokens = new Map<string, number>();
  private readonly known = new Set<number>();

  constructor(private readonly d: Drive) {
    d.now = 0;
    for (const id of SESSIONS.slice(0, 3)) this.step({ do: 'open', session: id, elapsed: TICK_MS });
  }

  step(step: Step): void {
    const { d, model } = this;
    d.now += step.elapsed;
    this.answers = [];
    const { expected, left } = this.call(step);
    const got = this.answers.map((line, index) =>
      expected[index]?.includes(' ') === false ? (line.split(' ')[0] as string) : line,
    );
    expect(got).toEqual(expected);
    expect(effects(left)).toEqual(model.effects);
    expect(told(left)).toEqual(model.told);
    for (const line of [...got, ...told(left)]) {
      const name = `${step.do} ${line.replace(/^\d+#\d+ /, 'later ').replace(/ \d+$/, '')}`;
      this.seen.set(name, (this.seen.get(name) ?? 0) + 1);
    }
    this.follow(left);
    const locks = allLocks(d);
    this.checkInvariants(locks);
    expect(locks.map(shape)).toEqual(this.modelled());
  }

  /** Runs a step in the engine and in the model. */
  private call(step: Step): { expected: string[]; left: Left } {
    const { d, model } = this;
    const { now } = d;
    if (step.do === 'advance') {
      model.begin(now);
      return { expected: [], left: d.advance(now) };
    }
    const { session: id } = step;
    if (step.do === 'open' || step.do === 'resume') {
      model.begin(now);
      const expected = step.do === 'open' ? model.open(id, ttlOf(id)) : model.resume(id);
      const left =
        step.do === 'open' ? d.openSession(id, ttlOf(id)) : d.resumeSession(id, digestOf(id));
      this.answers = [left.status];
      return { expected: [expected], left };
    }
    model.begin(now, id);
    if ('pick' in step) return this.onHeld(id, step.do, step.pick, step.ms);
    if ('request' in step) return this.lock(id, { ...step.request, id: this.nextId++ });
    const isThere = model.session(id) !== undefined;
    if (isThere && step.do === 'end') model.end(id);
    const operation = step.do === 'end' ? endSession() : renew();
    return this.ask(id, operation, isThere ? 'OK' : 'SESSION_UNKNOWN');
  }

  private onHeld(
    id: number,
    what: 'unlock' | 'downgrade' | 'extend' | 'upgrade' | 'cancel' | 'repeat',
    pick: number,
    ms: number,
  ): { expected: string[]; left: Left } {
    const { model } = this;
    // Mostly a hold of its own; now and then another's, or one that is gone.
    const own = model.holds.filter((hold) => hold.session === id);
    const among = pick === 7 || own.length === 0 ? model.holds : own;
    const { name, token } = among[pick % Math.max(among.length, 1)] ?? { name: 'a', token: 1 };
    if (what === 'cancel' || what === 'repeat') {
      const waits = model.waits.filter((wait) => wait.session === id);
      const found = [...waits, ...own][pick % Math.max(waits.length + own.length, 1)];
      const asked = found ?? { name: 'a', id: 999_999 };
      if (what === 'cancel') {
        const expected = model.cancel(id, asked.name, asked.id);
        return this.ask(id, { ...cancelLock(asked.name, asked.id), id: this.nextId++ }, expected);
      }
      const again = { mode: LOCK_EXCLUSIVE, permits: 0, reentrant: false, upgrade: 0, leaseMs: 0 };
      return this.lock(id, { ...again, waitMs: 0, name: asked.name, id: asked.id });
    }
    if (what === 'upgrade') {
      const leaseMs = ms === 200 ? 325 : 0;
      const mode = LOCK_EXCLUSIVE;
      return this.lock(id, {
        ...{ name, mode, leaseMs, permits: 0, reentrant: false },
        waitMs: ms,
        upgrade: token,
        id: this.nextId++,
      });
    }
    const leaseMs = ms === 200 ? 325 : ms === 601 ? 1302 : 0;
    const [operation, expected] =
      what === 'unlock'
        ? [unlock(name, token), model.unlock(id, name, token)]
        : what === 'downgrade'
          ? [downgrade(name, token), model.downgrade(id, name, token)]
          : [extend(name, token, leaseMs), model.extend(id, name, token, leaseMs)];
    return this.ask(id, { ...operation, id: this.nextId++ }, expected);
  }

  private lock(id: number, asked: Request): { expected: string[]; left: Left } {
    const expected = this.model.lock(id, asked);
    const { name, mode, permits, upgrade, waitMs, leaseMs, reentrant } = asked;
    const operation = lock(name, {
      id: asked.id,
      ...(mode === LOCK_SHARED ? { shared: true } : {}),
      ...(mode === LOCK_PERMIT ? { permits } : {}),
      ...(upgrade === 0 ? {} : { upgrade }),
      waitMs,
      leaseMs,
      reentrant,
    });
    if (expected === undefined) this.waiting.add(`${id}#${asked.id}`);
    return this.ask(id, operation, expected);
  }

  private ask(id: number, operation: Operation, expected: string | undefined) {
    const left = this.d.as(id, operation);
    this.answers = left.results.map(({ status, revision }) => `${status} ${revision}`);
    return { expected: expected === undefined ? [] : [bare(expected) as string], left };
  }

  /** Each wait is answered once, or its session has ended; tokens grow. */
  private follow({ notices }: Left): void {
    for (const notice of notices) {
      if (notice.kind === 'request') throw new Error('a request nobody made');
      if (notice.kind === 'ended') {
        for (const wait of this.waiting) {
          if (wait.startsWith(`${notice.session}#`)) this.waiting.delete(wait);
        }
        continue;
      }
      const wait = `${notice.session}#${notice.result.id}`;
      if (!this.waiting.delete(wait)) throw new Error(`${wait} is answered and did not wait`);
    }
  }

  private checkInvariants(locks: readonly LockView[]): void {
    const alive = new Set(this.model.sessions.map(({ id }) => id));
    const awaited = new Set<string>();
    for (const { name, holdsShown, waitsShown, holds, waits } of locks) {
      const modes = new Set(holdsShown.map(({ mode }) => mode));
      const isSound = modes.size <= 1 && (!modes.has('exclusive') || holds === 1);
      if (!isSound) throw new Error(`${name} is held ${[...modes].join(' and ')}`);
      if (holds === 0 && waits > 0) throw new Error(`${name} is free, and somebody waits`);
      for (const { session: id } of [...holdsShown, ...waitsShown]) {
        if (!alive.has(id)) throw new Error(`${name}: session ${id} is dead`);
      }
      for (const [index, { token }] of holdsShown.entries()) {
        const isNew = token > (this.tokens.get(name) ?? 0);
        if (isNew) this.tokens.set(name, token);
        // Below the highest are only those that were held before.
        if (!isNew && !this.known.has(token)) throw new Error(`${name}: token ${token} falls`);
        this.known.add(token);
        if (index > 0 && token <= holdsShown[index - 1]!.token) throw new Error(`${name}: order`);
      }
      for (const { session: id, id: operation } of waitsShown) awaited.add(`${id}#${operation}`);
    }
    expect(awaited).toEqual(this.waiting);
  }

  private modelled(): object[] {
    const { model } = this;
    const names = NAMES.filter(
      (name) => model.holdsOf(name).length + model.waitsOf(name).length > 0,
    );
    return names.map((name) => ({
      name,
      token: model.newest(name),
      holds: model
        .holdsOf(name)
        .map(({ token, session: id, mode, depth, lease, id: operation }) =>
          [token, id, operation, MODES[mode], depth, lease].join(' '),
        ),
      waits: model
        .waitsOf(name)
        .map(({ session: id, mode, deadline, upgrade, id: operation }) =>
          [id, operation, MODES[mode], deadline, upgrade !== 0].join(' '),
        ),
    }));
  }
}

function shape({ name, token, holdsShown, waitsShown }: LockView): object {
  return {
    name,
    token,
    holds: holdsShown.map((hold) =>
      [hold.token, hold.session, hold.id, hold.mode, hold.depth, hold.lease].join(' '),
    ),
    waits: waitsShown.map((wait) =>
      [wait.session, wait.id, wait.mode, wait.lease, wait.upgrade].join(' '),
    ),
  };
}

/** What a good run meets; without any of it the commands have gone blind. */
const MET = [
  'lock OK',
  'lock LOCK_HELD',
  'lock DEADLOCK',
  'lock SESSION_UNKNOWN',
  'upgrade OK',
  'unlock OK',
  'unlock NOT_HOLDER',
  'unlock later OK',
  'downgrade later OK',
  'cancel later LOCK_CANCELLED',
  'cancel ALREADY_EXISTS',
  'end later OK',
];

export function lockModelContract(create: CreateEngine, runs = RUNS, seed = SEED): void {
  describe(`locks beside a naive model, RONDO_SEED=${seed}`, () => {
    it(`agree in ${runs} histories`, { timeout: 60_000 + runs * 1000 }, () => {
      const seen = new Map<string, number>();
      fc.assert(
        fc.property(steps, (history) => {
          const engine = create({ ...OPTIONS, partitions: 1 });
          try {
            const run = new Run(new Drive(engine));
            for (const step of history) run.step(step);
            for (const [name, count] of run.seen) seen.set(name, (seen.get(name) ?? 0) + count);
          } finally {
            engine.close();
          }
        }),
        { seed, numRuns: runs },
      );
      expect(MET.filter((name) => !seen.has(name))).toEqual([]);
    });
  });
}
