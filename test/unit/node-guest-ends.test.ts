// With one worker too a log may hold what is left of sessions that are not there: the start ends it.

import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { realClock } from '../../node/clock.js';
import { defaultSettings } from '../../node/config/config.js';
import { chooseTransport } from '../../node/transport/load.js';
import { History, WATCH_HISTORY } from '../../node/watch/history.js';
import { Worker } from '../../node/worker.js';
import { type Engine, INPUT_WRITE_REFUSAL, OUTCOME_HOLDS } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { Status } from '../../ts/wire/status.js';
import { findNative, OPTIONS } from '../drive/engines.js';
import { heavyRecords, longNames } from '../drive/heavy-session.js';
import { until } from '../e2e/server-fixture.js';

const PARTITIONS = 4;
const workers: Worker[] = [];
const fatal: unknown[] = [];

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
  expect(fatal).toEqual([]);
});

const KINDS = ['reason' in findNative() ? 'ts' : 'native', 'ts'] as const;

/** A worker whose engine has read a log with what sessions 1 to `count` have left, each so many keys and locks. */
function workerOf(kind: (typeof KINDS)[number], count: number, things: number): Worker {
  const choice = chooseEngine(kind);
  const engine: Engine = choice.create({ ...OPTIONS, partitions: PARTITIONS });
  const revisions = new Float64Array(PARTITIONS);
  for (let session = 1; session <= count; session++) {
    const keys = longNames(`k${session}/`, things, 900);
    const locks = longNames(`l${session}/`, things, 900);
    engine.fold(heavyRecords({ session, keys, locks }, PARTITIONS, revisions));
  }
  const there = { session: 999, keys: [], locks: [], ttlMs: 60_000 };
  engine.fold(heavyRecords(there, PARTITIONS, revisions));
  const worker = new Worker({
    settings: defaultSettings({ port: 0, partitions: PARTITIONS }),
    engine: choice,
    transport: chooseTransport('ws'),
    tokens: undefined,
    clock: realClock,
    logger: pino({ level: 'silent' }),
    fabric: undefined,
    state: {
      engine,
      log: undefined,
      compactor: undefined,
      node: 100,
      history: new History(WATCH_HISTORY, (partition) => engine.revisionOf(partition)),
      isWaiting: false,
      close: async () => engine.close(),
    },
    onFatal: (error) => fatal.push(error),
  });
  workers.push(worker);
  return worker;
}

describe.each(KINDS)('one worker, engine %s', (kind) => {
  it('ends what sessions have left that are not there, many and much', async () => {
    // More than one turn ends, and each a few calls: 9 MB of records of one.
    for (const [count, things] of [
      [150, 1],
      [2, 4500],
    ] as const) {
      const worker = workerOf(kind, count, things);
      expect(worker.engine.guests()).toHaveLength(count);
      await worker.start();
      await until(() => worker.engine.guests().length === 0, 'the end of all guests');
      await until(() => worker.keys === 0, 'the end of all keys');
      expect(worker.outcomeOf(OUTCOME_HOLDS)).toBe(0);
      expect(worker.engine.resumeSession(999, new Uint8Array(16), Date.now())).toBe(
        Status.SessionForbidden,
      );
    }
  }, 60_000);

  it('ends it when writes are taken again', async () => {
    const worker = workerOf(kind, 3, 2);
    const { engine } = worker;
    const taking = engine.endGuest.bind(engine);
    let refused = 0;
    engine.endGuest = (id, now) => {
      if (refused >= 2) return taking(id, now);
      refused++;
      engine.input[INPUT_WRITE_REFUSAL] = Status.DiskFull;
      const status = taking(id, now);
      engine.input[INPUT_WRITE_REFUSAL] = 0;
      return status;
    };
    await worker.start();
    expect(engine.guests()).toHaveLength(3);
    await until(() => engine.guests().length === 0, 'the end of all guests');
    expect(refused).toBe(2);
  }, 20_000);
});
