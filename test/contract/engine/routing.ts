// Whose an operation is, where three engines share the partitions.

import { describe, expect, it } from 'vitest';
import { INPUT_DURABLE, OUTCOME_GATE, OUTCOME_NEXT } from '../../../ts/engine/engine.js';
import { WORKER_DOWN, WORKER_STARTING, WORKER_STOPPING } from '../../../ts/shared/layout.js';
import { OperationCode } from '../../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_WATCH_PREFIX } from '../../../ts/wire/layout.js';
import { RESULTS_PER_REPLY_MAX } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import {
  cancelLock,
  downgrade,
  endSession,
  extend,
  listLocks,
  lock,
  renew,
  unlock,
  unwatch,
  watch,
  withId,
} from '../../drive/coordination.js';
import { decodeReply } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import {
  bytes,
  del,
  encodeRequest,
  get,
  increment,
  type Operation,
  put,
  scan,
  touch,
} from '../../drive/operations.js';
import { setState } from '../../drive/routing.js';
import type { Workers } from '../../drive/workers.js';
import { drives, nodes } from './drives.js';

/** Operations that go by their key. */
const KEYED: [string, (key: string) => Operation][] = [
  ['get', (key) => get(key)],
  ['put', (key) => put(key, 'v')],
  ['delete', (key) => del(key)],
  ['increment', (key) => increment(key, 1)],
  ['touch', (key) => touch(key, 50)],
  ['lock', (key) => lock(key)],
  ['unlock', (key) => unlock(key, 1)],
  ['downgrade', (key) => downgrade(key, 1)],
  ['extend', (key) => extend(key, 1, 0)],
  ['cancel', (key) => cancelLock(key, 1)],
  ['watch', (key) => watch(key)],
  ['code 0', (key) => ({ code: 0, key: bytes(key) })],
  ['code 7', (key) => ({ code: 7, key: bytes(key) })],
  ['code 26', (key) => ({ code: 26, key: bytes(key) })],
  ['code 255', (key) => ({ code: 255, key: bytes(key) })],
  ['a get that is not valid', (key) => ({ ...get(key), limit: 9 })],
  ['a key too long', (key) => get(key + 'x'.repeat(1100))],
];

/** Operations on a prefix, which name the worker that they ask. */
const PREFIXED: [string, (prefix: string) => Operation][] = [
  ['scan', (prefix) => scan(prefix)],
  ['list', (prefix) => listLocks(prefix)],
  ['watch of a prefix', (prefix) => watch(prefix, { flags: FLAG_WATCH_PREFIX })],
];

/** Where worker 0 sends the operation of this session; 0: nowhere, it is its own. */
function placeOf(node: Workers, operation: Operation, session = 0): number {
  const { results, notices, forwards } = node.at(0).as(session, withId(5, operation));
  if (forwards.length === 0) {
    expect(results.length + notices.length).toBeGreaterThan(0);
    return 0;
  }
  expect([results, notices]).toEqual([[], []]);
  expect(forwards).toMatchObject([{ operations: [{ id: 5, code: operation.code }] }]);
  return forwards[0]!.worker;
}

export function routingContract(create: CreateEngine): void {
  const node = nodes(create);
  const drive = drives(create);

  describe('whose an operation is', () => {
    it.each(KEYED)('%s: by the partition of its key', (_name, make) => {
      const n = node(3);
      for (let worker = 0; worker < 3; worker++) {
        for (const name of ['', 'a', 'b/é']) {
          expect(placeOf(n, make(n.key(worker, name)))).toBe(worker);
        }
      }
      for (const key of ['', 'a', 'b', 'c', 'd', '{', '{}', '}{x}']) {
        expect(placeOf(n, make(key)), key).toBe(n.ownerOf(make(key).key));
      }
    });

    it('a key that is no UTF-8 has a partition too', () => {
      const n = node(3);
      for (let byte = 0x80; byte < 0xa0; byte++) {
        const key = Uint8Array.of(0xff, byte);
        expect(placeOf(n, get(key))).toBe(n.ownerOf(key));
      }
    });

    it.each(PREFIXED)('%s: the worker that it names', (_name, make) => {
      const n = node(3);
      for (const prefix of ['', 'a', n.key(1, 'x'), n.key(2)]) {
        for (let worker = 0; worker < 3; worker++) {
          expect(placeOf(n, { ...make(prefix), ttlMs: worker + 1 })).toBe(worker);
        }
      }
    });

    it.each(PREFIXED)('%s: without a name the worker of the whole {tag}', (_name, make) => {
      const n = node(3);
      for (let worker = 0; worker < 3; worker++) {
        expect(placeOf(n, make(n.key(worker)))).toBe(worker);
        expect(placeOf(n, make(n.key(worker, 'more')))).toBe(worker);
        expect(placeOf(n, make(`front${n.key(worker)}`))).toBe(worker);
      }
    });

    it.each(PREFIXED)('%s: without either this one, which refuses it', (_name, make) => {
      const n = node(3);
      for (const prefix of ['', 'a', '{', '{}', '{0', 'a}b', '}{']) {
        const { results, forwards, notices } = n.at(0).run(make(prefix));
        expect([forwards, notices]).toEqual([[], []]);
        expect(results).toMatchObject([{ status: 'INVALID_ARGUMENT', revision: 0 }]);
      }
      const alone = node(1);
      const { results, notices } = alone.at(0).run(make('a'));
      expect(results[0]?.status ?? 'OK').toBe('OK');
      expect(results.length + notices.length).toBe(1);
    });

    it('an unwatch: the worker that it names, else this one', () => {
      const n = node(3);
      for (let worker = 0; worker < 3; worker++) {
        expect(placeOf(n, { ...unwatch(7), ttlMs: worker + 1 })).toBe(worker);
      }
      expect(placeOf(n, unwatch(7))).toBe(0);
    });

    it.each<[string, Operation]>([
      ['scan', scan('')],
      ['scan of a tag', scan('{a}')],
      ['list', listLocks('')],
      ['watch of a prefix', watch('', { flags: FLAG_WATCH_PREFIX })],
      ['unwatch', unwatch(7)],
    ])('%s with a name that no worker has is refused here', (_name, operation) => {
      const addresses = [
        4,
        64,
        65,
        256,
        2 ** 32,
        2 ** 32 + 1,
        2n ** 53n,
        2n ** 63n,
        2n ** 64n - 1n,
      ];
      for (const ttlMs of addresses) {
        const n = node(3);
        for (const d of n.drives) {
          const { results, forwards, notices } = d.run({ ...operation, ttlMs });
          expect([forwards, notices]).toEqual([[], []]);
          expect(results).toMatchObject([{ status: 'INVALID_ARGUMENT' }]);
          expect(d.counted(operation.code, Status.InvalidArgument)).toBe(1);
        }
      }
    });

    it('without routing there is worker 0 alone', () => {
      const d = drive();
      d.run(put('k', 'v'));
      expect(d.page({ ...scan(''), ttlMs: 1 }).keys).toEqual(['k']);
      expect(d.page({ ...listLocks(''), ttlMs: 1 }).keys).toEqual([]);
      expect(d.run({ ...unwatch(7), ttlMs: 1 }).notices).toHaveLength(1);
      const prefix = watch('', { flags: FLAG_WATCH_PREFIX, ttlMs: 1 });
      expect(d.run(prefix).notices).toMatchObject([{ operation: { ttlMs: 1 } }]);
      for (const ttlMs of [2, 65, 2n ** 53n]) {
        expect(d.status({ ...scan(''), ttlMs })).toBe('INVALID_ARGUMENT');
      }
      expect(d.engine.forwards).toHaveLength(0);
      expect(d.frame(encodeRequest([get('k')]), 0, true).results).toMatchObject([{ status: 'OK' }]);
    });

    it.each<[string, Operation]>([
      ['renew', renew()],
      ['end of session', endSession()],
    ])('%s: the worker of the session, without one this one', (_name, operation) => {
      const n = node(3);
      for (let worker = 0; worker < 3; worker++) {
        for (const others of [0, 1, 5]) {
          expect(placeOf(n, operation, n.session(worker, others))).toBe(worker);
        }
      }
      expect(n.at(1).asks(0, operation)).toEqual(['SESSION_REQUIRED 0']);
    });
  });

  describe('the state of a worker', () => {
    it.each([
      ['is starting', WORKER_STARTING],
      ['is stopping', WORKER_STOPPING],
      ['is down', WORKER_DOWN],
    ])('that %s is not looked at: what is its is left to it', (_name, state) => {
      const n = node(3);
      setState(n.table, 1, state);
      const d = n.at(0);
      d.engine.input[INPUT_DURABLE] = 0;
      const outcome = d.run(
        put(n.key(1), 'v'),
        put(n.key(2), 'v'),
        { ...scan(''), ttlMs: 2 },
        { code: 99, key: bytes(n.key(1)) },
      );
      expect(outcome.results).toEqual([]);
      expect(outcome.forwards).toMatchObject([
        { worker: 1, operations: [{ id: 1 }, { id: 3 }, { id: 4 }] },
        { worker: 2, operations: [{ id: 2 }] },
      ]);
      expect(d.figure(OUTCOME_GATE)).toBe(0);
      expect(d.engine.counters.reduce((sum, one) => sum + one)).toBe(0);
    });

    it('is not that of this one either', () => {
      const n = node(2);
      setState(n.table, 0, WORKER_STARTING);
      expect(n.at(0).status(put(n.key(0), 'v'))).toBe('OK');
    });

    it.each([true, false])(
      'may change between the calls for a frame, to serving %s: each operation has one place',
      (isServing) => {
        const n = node(2);
        const count = 6 * RESULTS_PER_REPLY_MAX;
        const operations = Array.from({ length: count }, (_, at) =>
          withId(at, get(n.key(at % 2, `${at % 7}`))),
        );
        const d = n.at(0);
        const frame = encodeRequest(operations);
        n.setServing(1, !isServing);
        const seen: number[] = [];
        for (let next = 0; next < count; ) {
          const length = d.engine.execute(frame, next, d.now);
          seen.push(...decodeReply(d.engine.reply.subarray(0, length)).map(({ id }) => id));
          const forwarded = d.forwards().flatMap((entry) => entry.operations.map(({ id }) => id));
          expect(forwarded).toHaveLength(next === 0 ? count / 2 : 0);
          seen.push(...forwarded);
          expect(d.figure(OUTCOME_NEXT)).toBeGreaterThan(next);
          next = d.figure(OUTCOME_NEXT);
          n.setServing(1, isServing);
          // Another frame comes in between, and with it a look at the table.
          d.run(get(n.key(1)));
        }
        expect(seen.sort((left, right) => left - right)).toEqual(operations.map((_, at) => at));
      },
    );
  });

  describe('a frame that was forwarded', () => {
    it('is not forwarded again', () => {
      const n = node(3);
      const keys = [0, 1, 2, 0].map((worker, at) => n.key(worker, `${at}`));
      const frame = encodeRequest(keys.map((key) => put(key, 'v')));
      const outcome = n.at(0).frame(frame, 0, true);
      expect(outcome.forwards).toEqual([]);
      expect(outcome.results.map(({ status, revision }) => `${status} ${revision}`)).toEqual([
        'OK 1',
        'UNAVAILABLE 0',
        'UNAVAILABLE 0',
        expect.stringMatching(/^OK/),
      ]);
      expect(n.at(0).counted(OperationCode.Put, Status.Unavailable)).toBe(2);
      expect(n.at(0).status(get(keys[3]!))).toBe('OK');
    });

    it('of another worker is unavailable before anything else about it', () => {
      const n = node(2);
      const bad: Operation[] = [
        { code: 99, key: bytes(n.key(1)) },
        { ...get(n.key(1)), flags: 255 },
        get(n.key(1) + 'x'.repeat(2000)),
        { ...scan(''), ttlMs: 2, limit: 0 },
        { ...unwatch((2n ** 60n) as unknown as number), ttlMs: 2 },
      ];
      const { results } = n.at(0).frame(encodeRequest(bad), 0, true);
      expect(results.map(({ status }) => status)).toEqual(bad.map(() => 'UNAVAILABLE'));
    });
  });
}
