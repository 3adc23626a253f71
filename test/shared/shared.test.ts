// The routing table, doorbells and figures under two threads, and what the memory that is shared consists of.

import { describe, expect, it } from 'vitest';
import { Doorbell } from '../../ts/shared/doorbell.js';
import { FigureLayout, FigureReader, rowOf } from '../../ts/shared/figures.js';
import {
  RING_BYTES_DEFAULT,
  RING_BYTES_MANY_WORKERS,
  ROUTING_SEQUENCE,
  WORKER_DOWN,
  WORKER_SERVING,
  WORKER_STARTING,
} from '../../ts/shared/layout.js';
import { makeSharedMemory } from '../../ts/shared/memory.js';
import { RING_CONTROL_BYTES } from '../../ts/shared/ring.js';
import { RoutingReader, RoutingWriter } from '../../ts/shared/routing-table.js';
import { Random, seedOf } from '../parity/random.js';
import { startThread } from './threads.js';

const SEED = seedOf(20_261_123);

function makeTable(owners: number[], workers: number): SharedArrayBuffer {
  const { routing } = makeSharedMemory({ workers, partitions: owners.length, figures: 0 });
  new RoutingWriter(routing).init(Uint16Array.from(owners), workers);
  return routing;
}

describe('the routing table', () => {
  it('is what the supervisor wrote, after a refresh', () => {
    const table = makeTable([0, 1, 2, 1], 3);
    const writer = new RoutingWriter(table);
    const reader = new RoutingReader(table);
    expect([reader.version, reader.workers, ...reader.owners]).toEqual([1, 3, 0, 1, 2, 1]);
    expect(reader.refresh()).toBe(false);
    writer.setWorker(2, { state: WORKER_SERVING, port: 65_535, epoch: 3, node: 2 ** 53 - 1 });
    expect([reader.version, reader.stateOf(2)]).toEqual([1, WORKER_STARTING]);
    expect(reader.refresh()).toBe(true);
    expect(reader.refresh()).toBe(false);
    expect([reader.version, reader.portOf(2), reader.epochOf(2)]).toEqual([2, 65_535, 3]);
    expect(reader.nodeOf(2)).toBe(2 ** 53 - 1);
    expect([0, 1, 2].map((worker) => reader.isServing(worker))).toEqual([false, false, true]);
    writer.setWorker(2, { state: WORKER_DOWN });
    reader.refresh();
    expect([reader.stateOf(2), reader.epochOf(2), reader.portOf(1)]).toEqual([WORKER_DOWN, 3, 0]);
  });

  it('refuses what is no table, and a worker that is none', () => {
    const { routing } = makeSharedMemory({ workers: 2, partitions: 4, figures: 0 });
    expect(() => new RoutingReader(routing)).toThrow(RangeError);
    const writer = new RoutingWriter(routing);
    expect(() => writer.init(Uint16Array.of(0, 2), 2)).toThrow(RangeError);
    expect(() => writer.init(Uint16Array.of(0), 65)).toThrow(RangeError);
    expect(() => writer.setWorker(0, { state: WORKER_SERVING })).toThrow(RangeError);
  });

  it('keeps the copy while a change is under way', () => {
    const table = makeTable([0], 1);
    const reader = new RoutingReader(table);
    Atomics.add(new Uint32Array(table), ROUTING_SEQUENCE, 1);
    expect(reader.refresh()).toBe(false);
    Atomics.add(new Uint32Array(table), ROUTING_SEQUENCE, 1);
    expect(reader.refresh()).toBe(true);
  });

  it('is whole in each version, under a writer that never stops', { timeout: 60_000 }, async () => {
    const table = makeTable(
      Array.from({ length: 64 }, (_, at) => at % 2),
      2,
    );
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const thread = await startThread({ kind: 'route', table, stop });
    await thread.begun;
    const reader = new RoutingReader(table);
    const faults: string[] = [];
    let taken = 0;
    let last = 0;
    const until = performance.now() + 2000;
    while (performance.now() < until || taken < 100) {
      if (!reader.refresh()) continue;
      taken++;
      const epoch = reader.epochOf(0);
      if (epoch === 0) continue; // Before the first change.
      const isWhole =
        reader.version === epoch &&
        reader.isServing(0) === (epoch % 2 === 0) &&
        reader.portOf(0) === epoch % 65_536 &&
        reader.nodeOf(0) === epoch * 2 ** 20 &&
        reader.owners.every((owner, at) => owner === at % 2);
      if (!isWhole || epoch <= last) faults.push(`version ${reader.version}, epoch ${epoch}`);
      last = epoch;
    }
    Atomics.store(stop, 0, 1);
    const final = await thread.result;
    expect(faults).toEqual([]);
    reader.refresh();
    expect(reader.epochOf(0)).toBe(final);
  });
});

describe('a doorbell', () => {
  const makeBells = () => makeSharedMemory({ workers: 2, partitions: 1, figures: 0 }).doorbells;

  it('wakes who is parked, once, and only its own worker', async () => {
    const buffer = makeBells();
    const bell = new Doorbell(buffer, 1);
    const ringer = new Doorbell(buffer, 1);
    let calls = 0;
    const woken = new Promise<void>((resolve) => {
      const isParked = bell.park(
        () => false,
        () => {
          calls++;
          resolve();
        },
      );
      expect(isParked).toBe(true);
    });
    new Doorbell(buffer, 0).ring();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(0);
    ringer.ring();
    ringer.ring();
    await woken;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(1);
    expect(() => new Doorbell(buffer, 2)).toThrow(RangeError);
  });

  it('does not park who has work, nor call who has cancelled, and wakes who parks again', async () => {
    const buffer = makeBells();
    const bell = new Doorbell(buffer, 0);
    const ringer = new Doorbell(buffer, 0);
    const calls: string[] = [];
    const isParked = bell.park(
      () => true,
      () => calls.push('had work'),
    );
    expect(isParked).toBe(false);
    const none = () => false;
    expect(bell.park(none, () => calls.push('cancelled'))).toBe(true);
    bell.cancel();
    ringer.ring();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toEqual([]);
    const woken = new Promise<void>((resolve) => void bell.park(none, resolve));
    ringer.ring();
    await woken;
  });

  it(`loses no wake-up in 100,000, seed ${SEED}`, { timeout: 180_000 }, async () => {
    const ROUNDS = 50_000; // Both sides park in each.
    const ROUND_MS_MAX = 20_000;
    const doorbells = makeBells();
    const balls = new Int32Array(new SharedArrayBuffer(8));
    const task = { kind: 'return', doorbells, balls, rounds: ROUNDS, seed: SEED } as const;
    const thread = await startThread(task);
    const mine = new Doorbell(doorbells, 1);
    const others = new Doorbell(doorbells, 0);
    const random = new Random(SEED ^ 1);
    let round = 0;
    let seen = 0;
    let onLost = (_: Error) => {};
    const lost = new Promise<never>((_, reject) => {
      onLost = reject;
    });
    const watch = setInterval(() => {
      if (round === seen) onLost(new Error(`round ${round} was never answered`));
      seen = round;
    }, ROUND_MS_MAX);
    const play = async () => {
      for (round = 1; round <= ROUNDS; round++) {
        const isBack = () => Atomics.load(balls, 1) === round;
        for (let spins = random.below(400); spins > 0; spins--) Atomics.load(balls, 0);
        Atomics.store(balls, 0, round);
        others.ring();
        // As workers do: at times awake in between.
        while (!isBack()) {
          await new Promise<void>((resolve) => {
            if (!mine.park(isBack, resolve)) resolve();
            else if (random.oneIn(8)) {
              mine.cancel();
              setImmediate(resolve);
            }
          });
        }
      }
      await thread.result;
    };
    try {
      await Promise.race([play(), lost]);
    } finally {
      clearInterval(watch);
      await thread.terminate();
    }
    expect(balls[1]).toBe(ROUNDS);
  });
});

describe('figures', () => {
  it('are summed while they are written, and never torn', { timeout: 60_000 }, async () => {
    const COUNT = 20_000_000;
    const layout = new FigureLayout();
    layout.row();
    const row = layout.row(3);
    const { figures } = makeSharedMemory({ workers: 2, partitions: 1, figures: layout.length });
    rowOf(figures[0]!, row)[1] = 1000;
    const thread = await startThread({ kind: 'count', block: figures[1]!, row, count: COUNT });
    const reader = new FigureReader(figures);
    let isDone = false;
    void thread.result.then(() => {
      isDone = true;
    });
    const faults: number[] = [];
    let between = 0;
    let last = 0;
    while (!isDone) {
      for (let look = 0; look < 1000; look++) {
        const value = reader.of(1, row.start);
        if (value !== 0 && value !== 2 ** 53 - 1) faults.push(value);
        const sum = reader.sumOf(row.start + 1);
        if (sum < last || sum > COUNT + 1000) faults.push(sum);
        if (sum > 1000 && sum < COUNT + 1000) between++;
        last = sum;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(faults).toEqual([]);
    expect(between).toBeGreaterThan(0);
    expect(Array.from(reader.sumsOf({ start: row.start + 1, count: 2 }))).toEqual([
      COUNT + 1000,
      COUNT,
    ]);
    expect(reader.sumOf(0)).toBe(0);
  });
});

describe('shared memory', () => {
  it('has a ring from each worker to each other one, smaller where they are many', () => {
    const lengths = (workers: number) =>
      makeSharedMemory({ workers, partitions: 64, figures: 4 }).rings.map((row) =>
        row.map((ring) => ring.byteLength),
      );
    const few = RING_CONTROL_BYTES + RING_BYTES_DEFAULT;
    expect(lengths(3)).toEqual([
      [0, few, few],
      [few, 0, few],
      [few, few, 0],
    ]);
    expect(lengths(9)[0]?.[1]).toBe(RING_CONTROL_BYTES + RING_BYTES_MANY_WORKERS);
  });

  it('is refused out of range', () => {
    const make = (workers: number, partitions: number) => () =>
      makeSharedMemory({ workers, partitions, figures: 1 });
    for (const workers of [0, 65, Number.NaN]) expect(make(workers, 64)).toThrow(RangeError);
    for (const partitions of [0, 65_537]) expect(make(2, partitions)).toThrow(RangeError);
  });
});
