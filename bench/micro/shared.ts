// `npm run bench:shared`: the structures of `ts/shared/` between two threads. Rings: messages of one size in
// batches of 64, read in place or copied out; round trips, spinning and woken by the doorbell; and what a look at
// the routing table costs. Medians of rounds; needs two cores that have nothing else to do.

import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { Doorbell } from '../../ts/shared/doorbell.js';
import { RING_BYTES_DEFAULT } from '../../ts/shared/layout.js';
import { makeSharedMemory } from '../../ts/shared/memory.js';
import { RingReader, RingWriter } from '../../ts/shared/ring.js';
import { RoutingReader, RoutingWriter } from '../../ts/shared/routing-table.js';
import { type Done, startThread, type Task } from './shared-thread.js';

const SIZES = [16, 64, 128, 256, 1024, 4096, 16384, 65536];
const MESSAGES_PER_BATCH = 64;
const ROUNDS = 7;
/** Of one round, of all sizes: less than a tenth of a second where two cores are free. */
const ROUND_BYTES = 128 * 1024 * 1024;
const ROUND_MESSAGES_MAX = 500_000;
const ROUND_TRIPS = 20_000;
const WAKE_UPS = 2_000;
const LOOKS = 20_000_000;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function makeRings() {
  return makeSharedMemory({
    workers: 2,
    partitions: 64,
    figures: 0,
    ringBytes: RING_BYTES_DEFAULT,
  });
}

async function medianOf(rounds: number, run: () => Promise<number>): Promise<number> {
  await run();
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) values.push(await run());
  return median(values);
}

function start(thread: Worker, task: Task): Promise<Done> {
  const done = once(thread, 'message').then(([answer]) => answer as Done);
  thread.postMessage(task);
  return done;
}

/** Messages a second. `offset` puts the source askew. */
async function throughput(thread: Worker, size: number, offset: number, isCopied: boolean) {
  const messages = Math.min(ROUND_MESSAGES_MAX, Math.floor(ROUND_BYTES / size));
  const ring = makeRings().rings[0]![1]!;
  const source = new Uint8Array(size + offset).fill(1);
  const done = start(thread, { kind: 'read', ring, messages, isCopied });
  const writer = new RingWriter(ring);
  const begun = performance.now();
  for (let sent = 0; sent < messages; sent++) {
    while (!writer.tryWrite(sent, 7, 0.5, source, offset, offset + size));
    if (sent % MESSAGES_PER_BATCH === MESSAGES_PER_BATCH - 1) writer.publish();
  }
  writer.publish();
  const { sum } = await done;
  const seconds = (performance.now() - begun) / 1000;
  if (sum !== messages * Math.ceil(size / 64)) throw new Error(`messages of ${size} came damaged`);
  return messages / seconds;
}

/** Median microseconds of a round trip, both sides spinning. */
async function roundTrip(thread: Worker): Promise<number> {
  const { rings } = makeRings();
  const task = { ring: rings[0]![1]!, back: rings[1]![0]! };
  const done = start(thread, { kind: 'echo', messages: ROUND_TRIPS, ...task });
  const writer = new RingWriter(task.ring);
  const reader = new RingReader(task.back);
  const source = new Uint8Array(64);
  const times: number[] = [];
  for (let trip = 0; trip < ROUND_TRIPS; trip++) {
    const begun = performance.now();
    writer.tryWrite(trip, 0, 0, source, 0, source.length);
    writer.publish();
    while (!reader.next());
    reader.release();
    times.push(performance.now() - begun);
  }
  await done;
  return median(times) * 1000;
}

/** Median microseconds of a round trip in which both threads are woken. */
async function wakeUps(thread: Worker): Promise<number> {
  const { rings, doorbells } = makeRings();
  const task = { ring: rings[0]![1]!, back: rings[1]![0]!, doorbells };
  const done = start(thread, { kind: 'wake', messages: WAKE_UPS, ...task });
  const writer = new RingWriter(task.ring);
  const reader = new RingReader(task.back);
  const others = new Doorbell(doorbells, 0);
  const mine = new Doorbell(doorbells, 1);
  const source = new Uint8Array(64);
  const times: number[] = [];
  const alive = setInterval(() => {}, 1000);
  for (let trip = 0; trip < WAKE_UPS; trip++) {
    const begun = performance.now();
    writer.tryWrite(trip, 0, 0, source, 0, source.length);
    writer.publish();
    others.ring();
    while (!reader.next()) {
      await new Promise<void>((resolve) => {
        if (!mine.park(() => reader.hasNext(), resolve)) resolve();
      });
    }
    reader.release();
    times.push(performance.now() - begun);
  }
  clearInterval(alive);
  await done;
  return median(times) * 1000;
}

/** Nanoseconds of a look at a routing table that has not changed. */
async function look(): Promise<number> {
  const { routing } = makeRings();
  new RoutingWriter(routing).init(new Uint16Array(64), 2);
  const reader = new RoutingReader(routing);
  let changes = 0;
  const begun = performance.now();
  for (let at = 0; at < LOOKS; at++) if (reader.refresh()) changes++;
  if (changes > 0) throw new Error('the table has changed');
  return ((performance.now() - begun) * 1e6) / LOOKS;
}

const thread = startThread();
console.log(
  `batches of ${MESSAGES_PER_BATCH}, ring of ${RING_BYTES_DEFAULT / 1024} KiB; median of ${ROUNDS}`,
);
console.log('bytes        in place              copied out            from an odd address');
for (const size of SIZES) {
  const cells: string[] = [];
  for (const [offset, isCopied] of [
    [0, false],
    [0, true],
    [1, false],
  ] as const) {
    const rate = await medianOf(ROUNDS, () => throughput(thread, size, offset, isCopied));
    cells.push(
      `${(rate / 1e6).toFixed(2).padStart(6)} M/s ${((rate * size) / 1e9).toFixed(2).padStart(6)} GB/s`,
    );
  }
  console.log(`${`${size}`.padStart(5)}  ${cells.join('    ')}`);
}
const spun = await medianOf(3, () => roundTrip(thread));
console.log(`round trip, 64 bytes, spinning: ${spun.toFixed(2)} µs`);
const woken = await medianOf(3, () => wakeUps(thread));
console.log(`round trip, 64 bytes, both woken: ${woken.toFixed(1)} µs`);
console.log(`look at the routing table: ${(await medianOf(3, look)).toFixed(1)} ns`);
await thread.terminate();
