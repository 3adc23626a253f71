// After any history of sessions and locks, an engine that folds its records, in pieces of any size, answers as
// the one that made them and goes on as it does; so does one that takes a snapshot of them.

import { describe, expect, it } from 'vitest';
import {
  type Engine,
  type EngineOptions,
  OUTCOME_HOLDS,
  OUTCOME_POSITION,
  OUTCOME_RECORD_BYTES,
  OUTCOME_SESSIONS,
} from '../../../ts/engine/engine.js';
import { FLAG_ONCE } from '../../../ts/wire/layout.js';
import {
  cancelLock,
  endSession,
  ephemeral,
  fenced,
  lock,
  once,
  renew,
} from '../../drive/coordination.js';
import { Drive, effects, told } from '../../drive/drive.js';
import { splitRecords } from '../../drive/effects.js';
import { type CreateEngine, OPTIONS } from '../../drive/engines.js';
import { allLocks } from '../../drive/lock-view.js';
import { del, put, touch } from '../../drive/operations.js';
import { snapshotOf } from '../../drive/snapshot.js';
import { SESSIONS } from '../../parity/agent-steps.js';
import { Lockstep } from '../../parity/lockstep.js';
import { Random, seedOf } from '../../parity/random.js';
import { randomSteps, type Step } from '../../parity/steps.js';

const SEED = seedOf(30_303);
const MIX = { keys: 20, valueBytesMax: 40, operationsPerFrameMax: 4, durable: false, agents: true };
const FENCED_NAMES = ['l/a', 'l/b', 'l/{t}d', 'l'];

/** The engine, and all the records that its calls leave. */
function recorded(engine: Engine): { engine: Engine; log: Uint8Array[] } {
  const log: Uint8Array[] = [];
  const keep = <T>(returned: T): T => {
    log.push(engine.records.slice(0, engine.outcome[OUTCOME_RECORD_BYTES]));
    return returned;
  };
  const over: Partial<Engine> = {
    execute: (...call) => {
      const returned = engine.execute(...call);
      return returned < 0 ? returned : keep(returned);
    },
    advance: (now) => keep(engine.advance(now)),
    openSession: (...call) => keep(engine.openSession(...call)),
    resumeSession: (...call) => keep(engine.resumeSession(...call)),
  };
  const wrapped = new Proxy(engine, {
    get: (target, name) => {
      const value = Reflect.get(over, name) ?? Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { engine: wrapped, log };
}

/** The steps without the flag once: what it remembers is not folded. */
function withoutOnce(steps: readonly Step[]): Step[] {
  return steps.map((step) => {
    if (step.kind !== 'frame') return step;
    const operations = step.operations.map((plan) => {
      const flags = (plan.operation.flags ?? 0) & ~FLAG_ONCE;
      return { ...plan, operation: { ...plan.operation, flags } };
    });
    return { ...step, operations };
  });
}

/** Runs a random history to a state without waits, which are not folded. */
function history(make: CreateEngine, options: EngineOptions, seed: number) {
  const { engine, log } = recorded(make(options));
  const twin = make(options);
  const lockstep = new Lockstep(engine, twin, options.partitions);
  for (const step of randomSteps(new Random(seed), 700, MIX)) {
    const what = lockstep.step(step);
    if (what !== undefined) throw new Error(`RONDO_SEED=${seed}, an engine and its twin: ${what}`);
  }
  twin.close();
  const d = new Drive(engine);
  d.now = lockstep.now;
  // Some state that no chance decides.
  d.openSession(77);
  d.as(77, lock('l/a/kept', { id: 1 }), ephemeral(put('kept', 'v')), lock('l/b/kept', { id: 3 }));
  d.as(77, lock('l/a/kept', { id: 4, reentrant: true }));
  for (let awaited = 1; awaited > 0; ) {
    const waits = allLocks(d).flatMap(({ name, waitsShown }) =>
      waitsShown.map((wait) => ({ ...wait, name })),
    );
    for (const { session, name, id } of waits) d.as(session, cancelLock(name, id));
    awaited = waits.length;
  }
  return { d, log };
}

/** All that can be asked of a state without changing it much. */
function probe(d: Drive, partitions: number): unknown {
  const fences = FENCED_NAMES.flatMap((name) =>
    ['k', 'q', '{t}'].flatMap((key) =>
      [1, 3, 9, 27, 81, 2 ** 40].map((token) => d.brief(fenced(name, token, del(`none/${key}`)))),
    ),
  );
  const sessions: string[] = [];
  for (let id = 1; id <= SESSIONS; id++) {
    d.now += 1;
    sessions.push(d.resumeSession(id).status);
  }
  sessions.push(d.resumeSession(77).status);
  const figures = [OUTCOME_SESSIONS, OUTCOME_HOLDS, OUTCOME_POSITION].map((at) => d.figure(at));
  const revisions = Array.from({ length: partitions }, (_, at) => d.engine.revisionOf(at));
  return [fences, sessions, figures, revisions, allLocks(d), d.state(), d.keys, d.memoryBytes];
}

/** Throws where what `read` makes of the records of `write` differs. */
export function expectFolds(write: CreateEngine, read: CreateEngine, seed: number): void {
  const random = new Random(seed);
  const options = { ...OPTIONS, partitions: random.pick([1, 4, 64]) };
  const { partitions } = options;
  const { d: made, log } = history(write, options, seed);
  const pieces = log.flatMap(splitRecords);
  const all = Buffer.concat(pieces);

  const folded = new Drive(read(options));
  for (let at = 0; at < pieces.length; ) {
    const size = random.pick([1, 2, 7, 100]);
    folded.engine.fold(Buffer.concat(pieces.slice(at, at + size)));
    at += size;
  }
  const restored = new Drive(read(options));
  const snapshot = snapshotOf(all);
  for (let at = 0; at < snapshot.length; ) {
    const size = random.pick([1, 3, 50]);
    restored.engine.restore(Buffer.concat(snapshot.slice(at, at + size)));
    at += size;
  }
  const revisions = Float64Array.from({ length: partitions }, (_, at) =>
    made.engine.revisionOf(at),
  );
  restored.engine.restoreRevisions(revisions, made.now);

  for (const d of [folded, restored]) d.now = made.now;
  const expected = probe(made, partitions);
  expect(probe(folded, partitions), `fold, RONDO_SEED=${seed}`).toEqual(expected);
  expect(probe(restored, partitions), `restore, RONDO_SEED=${seed}`).toEqual(expected);

  // What follows: step by step in the folded one, for the restored one as the ends of all sessions.
  const more = withoutOnce(randomSteps(new Random(seed + 1), 150, MIX));
  for (const { engine } of [made, folded]) engine.counters.fill(0);
  const lockstep = new Lockstep(made.engine, folded.engine, partitions, made.now);
  for (const [index, step] of more.entries()) {
    const what = lockstep.step(step) ?? (index % 30 === 0 ? lockstep.state() : undefined);
    if (what !== undefined)
      throw new Error(`RONDO_SEED=${seed}, step ${index} after fold: ${what}`);
  }
  const ends = [1, 2, 3, 4, 5, 77].map((session) => restored.as(session, endSession()));
  const ended = ends.flatMap((left) => told(left));
  expect(ended).toContain('77 ended');
  expect(effects(ends.at(-1)!).sort()).toEqual([
    'expire kept',
    expect.stringMatching(/^hold-end l\/a\/kept@/),
    expect.stringMatching(/^hold-end l\/b\/kept@/),
    'session-end 77',
  ]);
  expect([allLocks(restored), restored.figure(OUTCOME_HOLDS)]).toEqual([[], 0]);
  for (const { engine } of [made, folded, restored]) engine.close();
}

export function coordinationFoldContract(create: CreateEngine): void {
  describe(`the fold of sessions and locks, RONDO_SEED=${SEED}`, () => {
    it.each(Array.from({ length: 4 }, (_, at) => SEED + at))('history %i', (seed) => {
      expectFolds(create, create, seed);
      expect.assertions(5);
    });
  });

  describe('records of sessions and locks', () => {
    const malformed = expect.objectContaining({ name: 'EngineError', code: 'RECORDS_MALFORMED' });
    const log = (d: Drive) => [
      d.openSession(0xab).recordBytes,
      d.as(0xab, lock('a', { id: 5 })).recordBytes,
      d.as(0xab, touch('none'), renew()).recordBytes,
    ];
    const patched = (record: Uint8Array, edit: (view: DataView) => void) => {
      const copy = Uint8Array.from(record);
      edit(new DataView(copy.buffer));
      return copy;
    };
    const bad: Record<string, (session: Uint8Array, hold: Uint8Array) => Uint8Array[]> = {
      'a session with upper-case digits': (session) => [
        patched(session, (view) => view.setUint8(40 + 12, 0x41)),
      ],
      'a session with a letter that is no digit': (session) => [
        patched(session, (view) => view.setUint8(40, 0x67)),
      ],
      'a session of id 0': (session) => [
        patched(session, (view) => view.setUint16(40 + 12, 0x3030)),
      ],
      'a session with an expiry': (session) => [patched(session, (view) => view.setUint8(32, 1))],
      'a session with flags': (session) => [patched(session, (view) => view.setUint8(7, 1))],
      'a session with a revision before': (session) => [
        patched(session, (view) => view.setUint8(12, 1)),
      ],
      'a session with a value cut': (session) => [patched(session, (view) => view.setUint8(0, 23))],
      'a hold with flags': (session, hold) => [
        session,
        patched(hold, (view) => view.setUint8(7, 1)),
      ],
      'a hold with a revision before': (session, hold) => [
        session,
        patched(hold, (view) => view.setUint8(12, 1)),
      ],
      'a hold under a revision twice': (session, hold) => [session, hold, hold],
    };
    it.each(Object.entries(bad))('are refused: %s', (_name, make) => {
      const options = { ...OPTIONS, partitions: 1 };
      const made = new Drive(create(options));
      const [session, hold] = log(made) as [Uint8Array, Uint8Array];
      const d = new Drive(create(options));
      expect(() => d.engine.fold(Buffer.concat(make(session, hold)))).toThrowError(malformed);
      d.engine.fold(Buffer.concat([session, hold]));
      expect(d.asks(0xab, renew(), once(6, del('k')))).toEqual(['OK 0', 'NOT_FOUND 0']);
      expect(d.figure(OUTCOME_HOLDS)).toBe(1);
      for (const { engine } of [made, d]) engine.close();
    });
  });
}
