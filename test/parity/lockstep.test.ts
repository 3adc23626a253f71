// Random histories in lockstep, and the canaries that show that the comparison sees a fault.

import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../ts/engine/engine.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { STATUS_COUNT, Status } from '../../ts/wire/status.js';
import { enginePair, OPTIONS } from '../drive/engines.js';
import { CONFIGS, pairOf } from './configs.js';
import { AGENT_FAULTS, FAULTS, faultyEngine, WORKER_FAULTS } from './faulty.js';
import { expectLockstep, runLockstep, shrink } from './lockstep.js';
import { Random, seedOf } from './random.js';
import { randomSteps } from './steps.js';

const SEED = seedOf(20_260_727);
const OPERATIONS_PER_CONFIG = 6000;
const { left, right, note } = enginePair();

describe(`random histories, ${note}, RONDO_SEED=${SEED}`, { timeout: 120_000 }, () => {
  it.each(CONFIGS)('$name', ({ options, mix }) => {
    const steps = randomSteps(new Random(SEED), OPERATIONS_PER_CONFIG, mix);
    const operations = steps.reduce(
      (sum, step) => sum + (step.kind === 'frame' ? step.operations.length : 0),
      0,
    );
    expect(operations).toBeGreaterThanOrEqual(OPERATIONS_PER_CONFIG);
    expectLockstep(pairOf(left, right, options, mix), steps, options.partitions, SEED);
  });
});

/** Answers without which random agents would have gone blind. */
const MET: [OperationCode, Status][] = [
  ...[
    Status.Ok,
    Status.LockHeld,
    Status.LockTimeout,
    Status.LockCancelled,
    Status.Deadlock,
    Status.UpgradeConflict,
    Status.NotHolder,
    Status.SessionRequired,
    Status.SessionUnknown,
    Status.TtlOutOfRange,
    Status.InvalidArgument,
  ].map((status): [OperationCode, Status] => [OperationCode.Lock, status]),
  [OperationCode.Unlock, Status.Ok],
  [OperationCode.Unlock, Status.NotHolder],
  [OperationCode.Downgrade, Status.Ok],
  [OperationCode.Extend, Status.Ok],
  [OperationCode.CancelLock, Status.Ok],
  [OperationCode.CancelLock, Status.AlreadyExists],
  [OperationCode.EndSession, Status.Ok],
  [OperationCode.Renew, Status.Ok],
  [OperationCode.ListLocks, Status.Ok],
  [OperationCode.Put, Status.Fenced],
  [OperationCode.Put, Status.SessionUnknown],
];

describe('canaries', () => {
  const mix = { keys: 30, valueBytesMax: 64, operationsPerFrameMax: 10, durable: true };
  it.each(FAULTS)('sees %s', (fault) => {
    const steps = randomSteps(new Random(7), 6000, mix);
    const make = pairOf(createTsEngine, (options) => faultyEngine(options, fault), OPTIONS, mix);
    expect(runLockstep(make, steps, OPTIONS.partitions)).toBeDefined();
  });

  it.each(AGENT_FAULTS)('sees %s', (fault) => {
    const steps = randomSteps(new Random(7), 6000, { ...mix, agents: true, durable: false });
    const make = pairOf(createTsEngine, (options) => faultyEngine(options, fault), OPTIONS);
    expect(runLockstep(make, steps, OPTIONS.partitions)).toBeDefined();
  });

  it.each(WORKER_FAULTS)('sees %s', (fault) => {
    const workers = { ...mix, agents: true, durable: false, workers: 3 };
    const steps = randomSteps(new Random(7), 6000, workers);
    const faulty = (options: EngineOptions) => faultyEngine(options, fault);
    const make = pairOf(createTsEngine, faulty, OPTIONS, workers);
    expect(runLockstep(make, steps, OPTIONS.partitions)).toBeDefined();
  });

  it.each([false, true])('sees none in an engine beside itself, agents %s', (agents) => {
    const steps = randomSteps(new Random(7), 2000, { ...mix, agents });
    const make = pairOf(createTsEngine, createTsEngine, OPTIONS, mix);
    expect(runLockstep(make, steps, 64)).toBeUndefined();
  });

  it('cuts a history down to the steps that matter', () => {
    const steps = randomSteps(new Random(11), 3000, mix);
    const make = pairOf(
      createTsEngine,
      (options) => faultyEngine(options, 'an expiry one millisecond late'),
      OPTIONS,
    );
    const shrunk = shrink(make, steps, OPTIONS.partitions);
    expect(runLockstep(make, shrunk, OPTIONS.partitions)).toBeDefined();
    expect(shrunk.length).toBeLessThanOrEqual(4);
    expect(() => expectLockstep(make, steps, OPTIONS.partitions, 11)).toThrowError(
      /Run again with RONDO_SEED=11\. Cut down to \d steps/,
    );
  });

  it('has agents that meet every answer of sessions and locks', () => {
    let counters: Float64Array = new Float64Array();
    const make = pairOf(
      createTsEngine,
      (options) => {
        const engine = createTsEngine(options);
        ({ counters } = engine);
        return engine;
      },
      OPTIONS,
    );
    const steps = randomSteps(new Random(8), 8000, { ...mix, agents: true, durable: false });
    expect(runLockstep(make, steps, OPTIONS.partitions)).toBeUndefined();
    const met = (code: OperationCode, status: Status) => counters[code * STATUS_COUNT + status];
    const missing = MET.filter(([code, status]) => (met(code, status) ?? 0) === 0);
    expect(missing).toEqual([]);
  });

  it('makes the same history from the same seed', () => {
    const twice = [1, 2].map(() => randomSteps(new Random(99), 500, mix));
    expect(twice[1]).toEqual(twice[0]);
    expect(randomSteps(new Random(100), 500, mix)).not.toEqual(twice[0]);
    const agents = [1, 2].map(() => randomSteps(new Random(99), 500, { ...mix, agents: true }));
    expect(agents[1]).toEqual(agents[0]);
  });
});
