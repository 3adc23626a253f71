// The other thread of the benchmark of shared memory: carries out what it is told, one task at a time.

import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { Doorbell } from '../../ts/shared/doorbell.js';
import { RingReader, RingWriter } from '../../ts/shared/ring.js';

export type Task =
  /** Reads so many messages as fast as they come; `isCopied`: out of the ring, as an engine wants them. */
  | {
      readonly kind: 'read';
      readonly ring: SharedArrayBuffer;
      readonly messages: number;
      readonly isCopied: boolean;
    }
  /** Sends each message of one ring back over another, spinning for it. */
  | {
      readonly kind: 'echo';
      readonly ring: SharedArrayBuffer;
      readonly back: SharedArrayBuffer;
      readonly messages: number;
    }
  /** The same, but parked until the doorbell rings. */
  | {
      readonly kind: 'wake';
      readonly ring: SharedArrayBuffer;
      readonly back: SharedArrayBuffer;
      readonly doorbells: SharedArrayBuffer;
      readonly messages: number;
    };

/** Sum of the bytes that were looked at, so that nothing can be left out as unused. */
export interface Done {
  readonly sum: number;
}

/** A thread that carries out tasks. */
export function startThread(): Worker {
  return new Worker(new URL(import.meta.url), { workerData: { rondoSharedBench: true } });
}

function read(task: Task & { kind: 'read' }): number {
  const reader = new RingReader(task.ring);
  const target = new Uint8Array(reader.bytes.length);
  let sum = 0;
  for (let left = task.messages; left > 0; ) {
    while (left > 0 && reader.next()) {
      const { bytes, start, end } = reader;
      if (task.isCopied) target.set(bytes.subarray(start, end));
      // One byte of each cache line, so that all of the message has come over.
      for (let at = start; at < end; at += 64) sum += bytes[at]!;
      reader.release();
      left--;
    }
  }
  reader.skipAll();
  return sum;
}

function answer(reader: RingReader, writer: RingWriter): void {
  while (!writer.tryWrite(reader.head0, 0, 0, reader.bytes, reader.start, reader.end));
  writer.publish();
  reader.release();
}

function echo(task: Task & { kind: 'echo' }): number {
  const reader = new RingReader(task.ring);
  const writer = new RingWriter(task.back);
  for (let left = task.messages; left > 0; ) {
    if (!reader.next()) continue;
    answer(reader, writer);
    left--;
  }
  return 0;
}

function wake(task: Task & { kind: 'wake' }): Promise<number> {
  const reader = new RingReader(task.ring);
  const writer = new RingWriter(task.back);
  const mine = new Doorbell(task.doorbells, 0);
  const others = new Doorbell(task.doorbells, 1);
  // A pending wait does not keep the thread alive.
  const alive = setInterval(() => {}, 1000);
  let left = task.messages;
  return new Promise((resolve) => {
    const look = () => {
      do {
        while (reader.next()) {
          answer(reader, writer);
          others.ring();
          left--;
        }
        if (left === 0) {
          clearInterval(alive);
          resolve(0);
          return;
        }
      } while (!mine.park(() => reader.hasNext(), look));
    };
    look();
  });
}

async function carryOut(task: Task): Promise<void> {
  const sum =
    task.kind === 'read' ? read(task) : await (task.kind === 'echo' ? echo(task) : wake(task));
  parentPort?.postMessage({ sum } satisfies Done);
}

if (!isMainThread) parentPort?.on('message', (task: Task) => void carryOut(task));
