// What the other thread of a test does; `startThread` in `threads.ts` starts it with one task.

import { parentPort, workerData } from 'node:worker_threads';
import { Doorbell } from '../../ts/shared/doorbell.js';
import { type FigureRow, rowOf } from '../../ts/shared/figures.js';
import { WORKER_SERVING, WORKER_STOPPING } from '../../ts/shared/layout.js';
import { RingReader, RingWriter } from '../../ts/shared/ring.js';
import { RoutingWriter } from '../../ts/shared/routing-table.js';
import { Random } from '../parity/random.js';
import { Messages, until } from './messages.js';

export type Task =
  /** Writes messages of a seed; 0: until it is terminated. */
  | {
      readonly kind: 'write';
      readonly ring: SharedArrayBuffer;
      readonly seed: number;
      readonly count: number;
      readonly bytesMax: number;
    }
  /** Reads and compares them; `isSlow`: with rests. */
  | {
      readonly kind: 'read';
      readonly ring: SharedArrayBuffer;
      readonly seed: number;
      readonly count: number;
      readonly bytesMax: number;
      readonly isSlow: boolean;
    }
  /** Changes both workers of a table over and over, until `stop` is not 0; see `routing.test.ts`. */
  | { readonly kind: 'route'; readonly table: SharedArrayBuffer; readonly stop: Int32Array }
  /** Answers each ring of its doorbell, 0, by adding 1 to `balls` and ringing the other one. */
  | {
      readonly kind: 'return';
      readonly doorbells: SharedArrayBuffer;
      readonly balls: Int32Array;
      readonly rounds: number;
      readonly seed: number;
    }
  /** Sets the row's first figure to two patterns in turn, and counts in the others. */
  | {
      readonly kind: 'count';
      readonly block: SharedArrayBuffer;
      readonly row: FigureRow;
      readonly count: number;
    };

function write({ ring, seed, count, bytesMax }: Task & { kind: 'write' }): void {
  const writer = new RingWriter(ring);
  const messages = new Messages(seed, bytesMax);
  const random = new Random(seed ^ 1);
  for (let sent = 0; count === 0 || sent < count; sent++) {
    messages.next();
    until(() => messages.isWritten(writer));
    if (random.oneIn(16)) writer.publish();
  }
  writer.publish();
}

function read({ ring, seed, count, bytesMax, isSlow }: Task & { kind: 'read' }): string {
  const reader = new RingReader(ring);
  const messages = new Messages(seed, bytesMax);
  for (let got = 0; got < count; got++) {
    until(() => reader.next());
    const fault = messages.next().faultOf(reader);
    if (fault !== undefined) return fault;
    if (isSlow && got % 512 === 0) {
      const begun = performance.now();
      until(() => performance.now() - begun > 0.5);
    }
    reader.release();
  }
  return reader.next() ? 'a message more than were sent' : '';
}

/** All that stands in one version follows from the epoch of worker 0. */
function route({ table, stop }: Task & { kind: 'route' }): number {
  const writer = new RoutingWriter(table);
  let epoch = 1;
  while (Atomics.load(stop, 0) === 0) {
    epoch++;
    writer.setWorker(0, {
      state: epoch % 2 === 0 ? WORKER_SERVING : WORKER_STOPPING,
      port: epoch % 65_536,
      epoch,
      node: epoch * 2 ** 20,
    });
  }
  return epoch;
}

async function returnBalls(task: Task & { kind: 'return' }): Promise<void> {
  const { doorbells, balls, rounds, seed } = task;
  const mine = new Doorbell(doorbells, 0);
  const others = new Doorbell(doorbells, 1);
  const random = new Random(seed);
  const alive = setInterval(() => {}, 1000);
  for (let round = 1; round <= rounds; round++) {
    const isHere = () => Atomics.load(balls, 0) === round;
    while (!isHere()) {
      await new Promise<void>((resolve) => {
        if (!mine.park(isHere, resolve)) resolve();
      });
    }
    for (let spins = random.below(400); spins > 0; spins--) Atomics.load(balls, 0);
    Atomics.store(balls, 1, round);
    others.ring();
  }
  clearInterval(alive);
}

function count({ block, row, count: times }: Task & { kind: 'count' }): void {
  const figures = rowOf(block, row);
  for (let at = 0; at < times; at++) {
    figures[0] = at % 2 === 0 ? 0 : 2 ** 53 - 1;
    for (let other = 1; other < row.count; other++) figures[other]!++;
  }
}

async function carryOut(task: Task): Promise<unknown> {
  if (task.kind === 'write') return write(task);
  if (task.kind === 'read') return read(task);
  if (task.kind === 'route') return route(task);
  if (task.kind === 'return') return returnBalls(task);
  return count(task);
}

parentPort?.postMessage({ begun: true });
void carryOut(workerData as Task).then((result) => parentPort?.postMessage({ result }));
