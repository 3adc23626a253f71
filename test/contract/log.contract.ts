// What every Log does alike. Appends are made as an engine makes them; time is real.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Log, type LogBatch, LogError, type LogErrorCode } from '../../node/log/log.js';
import { RECORD_PUT, RECORD_TOUCH } from '../../ts/engine/records.js';
import { AppendMaker, PARTITIONS, Recorder, recordLike, SHAPES } from '../drive/log.js';

/** Opens an empty log for PARTITIONS. `faulty`: the first sync of a batch fails. */
export type LogFactory = (events: Recorder, how: 'sound' | 'faulty') => Promise<Log>;

const TIMEOUT_MS = 10_000;

export function logContract(name: string, factory: LogFactory): void {
  describe(`log ${name}`, () => {
    let events: Recorder;
    let maker: AppendMaker;
    let log: Log;

    beforeEach(async () => {
      events = new Recorder();
      maker = new AppendMaker();
      log = await factory(events, 'sound');
    });

    afterEach(() => log.close());

    function append(valueBytes = 16, partitions: readonly number[] = [0]): number {
      const records = maker.next(valueBytes, partitions);
      return log.append(log.epoch, records, records.length);
    }

    async function settle(valueBytes = 16, partitions: readonly number[] = [0]): Promise<number> {
      const number = append(valueBytes, partitions);
      log.flush();
      await log.settled(number, TIMEOUT_MS);
      return number;
    }

    it('opens with nothing in it', () => {
      expect(log).toMatchObject({ epoch: 1, appended: 0, durable: 0, pendingBytes: 0 });
      expect(log).toMatchObject({ newestBatch: 0, refusal: 'none' });
      expect(log.revisionOf(0)).toBe(0);
      expect(log.revisionOf(PARTITIONS)).toBe(0);
    });

    it('numbers appends from 1 and knows the newest revisions at once', () => {
      expect([append(16, [0, 1]), append(16, [1]), append(8, [3])]).toEqual([1, 2, 3]);
      expect(log.appended).toBe(3);
      expect([0, 1, 2, 3].map((partition) => log.revisionOf(partition))).toEqual([1, 2, 0, 1]);
    });

    it('makes appends durable in their order and publishes each time that durable grows', async () => {
      const seen: number[] = [];
      events.afterProgress = () => {
        seen.push(log.durable);
        expect(log.durable).toBeLessThanOrEqual(log.appended);
      };
      for (let round = 0; round < 20; round++) {
        append();
        append();
        log.flush();
        if (round % 3 === 0) await log.settled(log.appended, TIMEOUT_MS);
      }
      await log.settled(log.appended, TIMEOUT_MS);
      expect(log.durable).toBe(40);
      expect(seen.at(-1)).toBe(40);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    });

    it('counts the bytes that are not durable', async () => {
      const records = maker.next(100);
      log.append(log.epoch, records, records.length);
      const more = maker.next(200);
      log.append(log.epoch, more, more.length);
      expect(log.pendingBytes).toBe(records.length + more.length);
      log.flush();
      await log.settled(2, TIMEOUT_MS);
      expect(log.pendingBytes).toBe(0);
    });

    it('copies what it takes, and only the first bytes', async () => {
      const records = maker.next(64);
      const buffer = new Uint8Array(records.length + 100).fill(9);
      buffer.set(records);
      log.append(log.epoch, buffer, records.length);
      buffer.fill(1);
      log.flush();
      await log.settled(1, TIMEOUT_MS);
      expect((await all(log.read(0)))[0]?.records).toEqual(records);
    });

    it('takes records from the middle of a buffer', async () => {
      const records = maker.next(64);
      const buffer = new Uint8Array(records.length + 48);
      buffer.set(records, 24);
      log.append(log.epoch, buffer.subarray(24), records.length);
      log.flush();
      await log.settled(1, TIMEOUT_MS);
      expect((await all(log.read(0)))[0]?.records).toEqual(records);
    });

    it('refuses a stale epoch, whatever the records are', () => {
      const records = maker.next(16);
      expect(code(() => log.append(log.epoch - 1, records, records.length))).toBe('EPOCH_STALE');
      expect(log.append(log.epoch, records, records.length)).toBe(1);
    });

    it('refuses records that do not go on, whole, and takes nothing', async () => {
      await settle(16, [0, 1]);
      const ahead = new AppendMaker();
      ahead.revisions.set([1, 2, 0, 0]);
      const gap = ahead.next(16, [0, 1]);
      const again = new AppendMaker().next(16, [0]);
      for (const records of [gap, again]) {
        expect(code(() => log.append(log.epoch, records, records.length))).toBe(
          'REVISION_MISMATCH',
        );
      }
      expect(log).toMatchObject({ appended: 1, pendingBytes: 0 });
      expect([log.revisionOf(0), log.revisionOf(1)]).toEqual([1, 1]);
      expect(await settle(16, [0, 1])).toBe(2);
    });

    it('says which partition does not go on', () => {
      const ahead = new AppendMaker();
      ahead.revisions[2] = 5;
      const records = ahead.next(16, [2]);
      expect(() => log.append(log.epoch, records, records.length)).toThrow(
        /partition 2 has revision 6.*newest is 0/,
      );
    });

    it('takes records of every kind, and gives them back', async () => {
      const records = Buffer.concat(SHAPES.map((shape, index) => recordLike(shape, index + 1)));
      log.append(log.epoch, records, records.length);
      log.flush();
      await log.settled(1, TIMEOUT_MS);
      expect(Buffer.from((await all(log.read(0)))[0]?.records ?? []).equals(records)).toBe(true);
      expect(log.revisionOf(0)).toBe(SHAPES.length);
    });

    it.each(SHAPES.map((shape) => [shape.kind, shape] as const))(
      'refuses a record of kind %i that is not like one',
      (kind, shape) => {
        const isOfKey = kind <= RECORD_TOUCH;
        const others = [
          { ...shape, key: shape.suffix },
          { ...shape, key: shape.suffix + 1025 },
          { ...shape, flags: shape.flags ^ 2 },
          ...(kind === RECORD_PUT ? [] : [{ ...shape, value: shape.value + 1 }]),
          ...(kind === RECORD_PUT ? [] : [{ ...shape, flags: 1 }]),
          ...(shape.expires ? [] : [{ ...shape, expires: true }]),
          ...(shape.flags === 0 ? [] : [{ ...shape, expires: false }]),
          ...(isOfKey ? [] : [{ ...shape, back: 1 }]),
        ];
        for (const other of others) {
          const bytes = recordLike(other, 1);
          const refused = code(() => log.append(log.epoch, bytes, bytes.length));
          expect(refused, JSON.stringify(other)).toBe('RECORDS_MALFORMED');
        }
        const record = recordLike(shape, 1);
        expect(log.append(log.epoch, record, record.length)).toBe(1);
      },
    );

    it('refuses bytes that are not whole, valid records, and takes nothing', () => {
      const whole = maker.next(16, [0, 1]);
      const wrongKind = whole.slice();
      wrongKind[6] = 10;
      const dirtyPadding = whole.slice();
      dirtyPadding[whole.length / 2 - 1] = 1;
      const otherPartition = whole.slice();
      otherPartition[8] = PARTITIONS;
      const cases: [Uint8Array, number][] = [
        [whole, 0],
        [whole, whole.length - 8],
        [whole, whole.length - 1],
        [whole, whole.length + 8],
        [wrongKind, whole.length],
        [dirtyPadding, whole.length],
        [otherPartition, whole.length],
        [new Uint8Array(64), 64],
      ];
      for (const [bytes, length] of cases) {
        expect(code(() => log.append(log.epoch, bytes, length))).toBe('RECORDS_MALFORMED');
        expect(log).toMatchObject({ appended: 0, pendingBytes: 0 });
        expect([log.revisionOf(0), log.revisionOf(1)]).toEqual([0, 0]);
      }
      expect(log.append(log.epoch, whole, whole.length)).toBe(1);
    });

    it('takes an append of megabytes', async () => {
      await settle(3 * 1024 * 1024);
      await settle(16);
      const batches = (await all(log.read(0))).filter(({ records }) => records.length > 0);
      expect(batches.map(({ records }) => records.length > 1024 * 1024)).toEqual([true, false]);
    });

    it('flushes nothing without harm', async () => {
      log.flush();
      log.flush();
      expect(await settle()).toBe(1);
      log.flush();
      expect(log.durable).toBe(1);
    });

    it('settles at once what is durable, and gives up on what is not after a while', async () => {
      await settle();
      await log.settled(1, 0);
      await log.settled(0, 0);
      const error = await log.settled(2, 20).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'LOG_TIMEOUT', maybeApplied: true });
    });

    it('settles each waiter when its append is durable', async () => {
      const numbers = [append(), append(), append()];
      const settled = Promise.all(numbers.map((number) => log.settled(number, TIMEOUT_MS)));
      log.flush();
      await settled;
      expect(log.durable).toBe(3);
    });

    it('goes on by itself with what is appended and flushed while a batch is on its way', async () => {
      let left = 200;
      const done = new Promise<void>((resolve) => {
        events.afterProgress = () => {
          if (left === 0 && log.durable === log.appended) resolve();
          if (left === 0) return;
          left--;
          append(64, [0, 1]);
          log.flush();
        };
      });
      append();
      log.flush();
      await done;
      expect(log.durable).toBe(201);
    });

    it('reads durable batches, oldest first, whole appends in each', async () => {
      const made: Uint8Array[] = [];
      for (let round = 0; round < 5; round++) {
        for (let index = 0; index < 3; index++) {
          const records = maker.next(40, [index, 3]);
          made.push(records);
          log.append(log.epoch, records, records.length);
        }
        log.flush();
        await log.settled(log.appended, TIMEOUT_MS);
      }
      const batches = await all(log.read(0));
      expect(Buffer.concat(batches.map(({ records }) => records))).toEqual(Buffer.concat(made));
      const numbers = batches.map(({ number }) => number);
      expect(numbers).toEqual(Array.from(numbers, (_, index) => index + 1));
      expect(log.newestBatch).toBe(numbers.at(-1));
      const times = batches.filter(({ records }) => records.length > 0).map(({ time }) => time);
      expect(times.at(-1)).toBe(maker.time - 1);
      expect((await all(log.read(2))).map(({ number }) => number)).toEqual(numbers.slice(2));
      expect(await all(log.read(log.newestBatch))).toEqual([]);
    });

    it('reads nothing that is not durable', async () => {
      await settle();
      append();
      expect((await all(log.read(0))).flatMap(({ records }) => [...records])).toHaveLength(64);
    });

    it('lets go of batches up to one, or fewer, and never of later ones', async () => {
      for (let round = 0; round < 6; round++) await settle(20_000);
      const before = await all(log.read(0));
      const middle = before[3] as LogBatch;
      await log.trim(middle.number);
      const kept = await all(log.read(middle.number));
      expect(kept.map(({ number }) => number)).toEqual(before.slice(4).map(({ number }) => number));
      await log.trim(log.newestBatch);
      expect(await codeOf(all(log.read(0)))).toBe('LOG_TRIMMED');
      await settle();
      expect((await all(log.read(log.newestBatch - 1))).length).toBe(1);
    });

    it('refuses older epochs once it is sealed, and says where it stands when all is durable', async () => {
      append(16, [0, 1]);
      append(16, [1]);
      const revisions = await log.seal(log.epoch + 2);
      expect(log.durable).toBe(2);
      expect([...revisions]).toEqual([1, 2, 0, 0]);
      const records = maker.next(16);
      expect(code(() => log.append(log.epoch + 1, records, records.length))).toBe('EPOCH_STALE');
      expect(log.append(log.epoch + 2, records, records.length)).toBe(3);
      // An older seal takes nothing back.
      await log.seal(1);
      const more = maker.next(16);
      expect(code(() => log.append(log.epoch, more, more.length))).toBe('EPOCH_STALE');
    });

    it('makes durable at close what was accepted, and takes nothing after', async () => {
      for (let index = 0; index < 10; index++) append(1000);
      const late = log.settled(10, TIMEOUT_MS);
      const never = codeOf(log.settled(11, TIMEOUT_MS));
      const closed = log.close();
      const records = maker.next(16);
      expect(code(() => log.append(log.epoch, records, records.length))).toBe('LOG_CLOSED');
      await closed;
      await late;
      expect(log.durable).toBe(10);
      expect(await never).toBe('LOG_CLOSED');
      expect(await codeOf(log.settled(12, 10))).toBe('LOG_CLOSED');
      await log.settled(10, 0);
      await log.close();
      log.flush();
    });

    it('closes without ever an append', async () => {
      await log.close();
      expect(log.durable).toBe(0);
    });

    it('stops for good when it fails: once, without losing what is durable', async () => {
      await log.close();
      maker = new AppendMaker();
      events = new Recorder();
      log = await factory(events, 'faulty');
      const records = maker.next(16);
      log.append(log.epoch, records, records.length);
      const waiting = codeOf(log.settled(1, TIMEOUT_MS));
      log.flush();
      expect(await waiting).toBe('LOG_FAILED');
      expect(events.failures.map((error) => [error.code, error.maybeApplied])).toEqual([
        ['LOG_FAILED', true],
      ]);
      expect(log).toMatchObject({ refusal: 'failed', durable: 0, appended: 1 });
      const more = maker.next(16);
      expect(code(() => log.append(log.epoch, more, more.length))).toBe('LOG_FAILED');
      expect(await codeOf(log.settled(1, 10))).toBe('LOG_FAILED');
      log.flush();
      await log.close();
      expect(log.durable).toBe(0);
      expect(events.failures).toHaveLength(1);
    });
  });
}

/** Copies, because a batch is valid only until the next one is asked for. */
async function all(batches: AsyncIterable<LogBatch>): Promise<LogBatch[]> {
  const found: LogBatch[] = [];
  for await (const { number, time, records } of batches) {
    found.push({ number, time, records: records.slice() });
  }
  return found;
}

function code(action: () => unknown): LogErrorCode | 'none' {
  try {
    action();
  } catch (error) {
    if (error instanceof LogError) return error.code;
    throw error;
  }
  return 'none';
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof LogError ? error.code : error),
  );
}
