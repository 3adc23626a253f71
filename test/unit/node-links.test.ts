// Links between workers: messages whole and in order, up and down as the routing table has it, and nothing of an
// earlier incarnation of a worker taken for something of a later one.

import { describe, expect, it } from 'vitest';
import { type Clock, realClock } from '../../node/clock.js';
import type { LinksHandler } from '../../node/links/links.js';
import { MemoryNetwork } from '../../node/links/memory-links.js';
import { MessageKind } from '../../node/links/messages.js';
import { RingLinks } from '../../node/links/ring-links.js';
import { Doorbell } from '../../ts/shared/doorbell.js';
import {
  WORKER_DOWN,
  WORKER_SERVING,
  WORKER_STARTING,
  WORKER_STOPPING,
} from '../../ts/shared/layout.js';
import { makeSharedMemory, type SharedMemory } from '../../ts/shared/memory.js';
import { RingReader } from '../../ts/shared/ring.js';
import { RoutingReader, RoutingWriter } from '../../ts/shared/routing-table.js';
import { until } from '../e2e/server-fixture.js';
import { freshSeed, Random } from '../parity/random.js';

const RING_BYTES = 4096;
const KIND = 2 as MessageKind;
/** Of a kind that nobody waits awake for. */
const DATA = MessageKind.Data;

/** What a worker was told, as `up 1`, `down 1` and messages as they came. */
class Journal implements LinksHandler {
  readonly events: string[] = [];
  readonly messages: { worker: number; kind: number; a: number; b: number; bytes: Uint8Array }[] =
    [];

  onMessage(worker: number, kind: MessageKind, a: number, b: number, bytes: Uint8Array): void {
    this.events.push(`message ${a}`);
    this.messages.push({ worker, kind, a, b, bytes: bytes.slice() });
  }

  onUp(worker: number): void {
    this.events.push(`up ${worker}`);
  }

  onDown(worker: number): void {
    this.events.push(`down ${worker}`);
  }
}

interface End {
  readonly links: RingLinks;
  readonly journal: Journal;
}

class Bench {
  readonly memory: SharedMemory;
  readonly table: RoutingWriter;
  private readonly all: RingLinks[] = [];
  private readonly epochs: number[] = [];

  constructor(readonly workers = 2) {
    this.memory = makeSharedMemory({ workers, partitions: 4, figures: 1, ringBytes: RING_BYTES });
    this.table = new RoutingWriter(this.memory.routing);
    this.table.init(new Uint16Array(4), workers);
  }

  /** A new incarnation of a worker, not serving yet. */
  begin(worker: number, clock: Clock = realClock): End {
    const epoch = (this.epochs[worker] ?? 0) + 1;
    this.epochs[worker] = epoch;
    this.table.setWorker(worker, { state: WORKER_STARTING, epoch });
    const journal = new Journal();
    const routing = new RoutingReader(this.memory.routing);
    const links = new RingLinks({ memory: this.memory, worker, routing, clock });
    links.open(journal);
    this.all.push(links);
    return { links, journal };
  }

  serve(worker: number): void {
    this.table.setWorker(worker, { state: WORKER_SERVING });
  }

  down(worker: number): void {
    this.table.setWorker(worker, { state: WORKER_DOWN });
  }

  /** All serve, and know of each other. */
  async both(): Promise<[End, End]> {
    const ends: [End, End] = [this.begin(0), this.begin(1)];
    this.serve(0);
    this.serve(1);
    await until(() => ends[0].links.isUp(1) && ends[1].links.isUp(0), 'both links');
    return ends;
  }

  /** A thread that ends in the middle of its work: nothing is published or said any more. */
  crash({ links }: End): void {
    const inside = links as unknown as { isClosed: boolean; doorbell: { cancel(): void } };
    inside.isClosed = true;
    inside.doorbell.cancel();
  }

  end(): void {
    for (const links of this.all) links.close();
  }
}

function bytesOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff);
}

async function withBench(workers: number, test: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = new Bench(workers);
  try {
    await test(bench);
  } finally {
    bench.end();
  }
}

describe('links over rings', () => {
  it('are up when both workers serve, and not before', () =>
    withBench(2, async (bench) => {
      const left = bench.begin(0);
      const right = bench.begin(1);
      expect(left.links.send(1, KIND, 1, 1)).toBe(false);
      bench.serve(1);
      await until(() => right.links.isUp(0) === false, 'nothing');
      expect(right.links.send(0, KIND, 1, 1)).toBe(false);
      bench.serve(0);
      await until(() => left.links.isUp(1) && right.links.isUp(0), 'both links');
      expect(left.links.isUp(0)).toBe(false);
      expect(left.journal.events).toEqual(['up 1']);
    }));

  it('carry numbers and bytes as they are', () =>
    withBench(2, async (bench) => {
      const [left, right] = await bench.both();
      const a = 2 ** 32 - 1;
      const b = 2 ** 53 - 1;
      left.links.send(1, KIND, a, b, bytesOf(13, 7));
      left.links.send(1, KIND, 0, 0.5);
      await until(() => right.journal.messages.length === 2, 'messages');
      expect(right.journal.messages[0]).toEqual({
        worker: 0,
        kind: KIND,
        a,
        b,
        bytes: bytesOf(13, 7),
      });
      expect(right.journal.messages[1]).toMatchObject({ a: 0, b: 0.5 });
      expect(right.journal.messages[1]?.bytes.length).toBe(0);
    }));

  it('keep the order of what is small, what goes in parts and what waits for room', () =>
    withBench(2, async (bench) => {
      const seed = freshSeed();
      const random = new Random(seed);
      const [left, right] = await bench.both();
      const sent: Uint8Array[] = [];
      for (let n = 0; n < 2000; n++) {
        const isLong = random.below(20) === 0;
        const bytes = bytesOf(random.below(isLong ? 5 * RING_BYTES : 200), n);
        sent.push(bytes);
        expect(left.links.send(1, KIND, n, n * 2, bytes), `seed ${seed}`).toBe(true);
        if (random.below(50) === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      expect(left.links.waitingBytes(1)).toBeGreaterThan(0);
      await until(() => right.journal.messages.length === sent.length, `all; seed ${seed}`);
      for (const [n, message] of right.journal.messages.entries()) {
        expect(message.a, `seed ${seed}`).toBe(n);
        expect(Buffer.compare(message.bytes, sent[n] as Uint8Array), `seed ${seed}`).toBe(0);
      }
      expect(left.links.waitingBytes(1)).toBe(0);
    }));

  it('deliver what a worker has sent before they say that it left', () =>
    withBench(2, async (bench) => {
      const [left, right] = await bench.both();
      for (let n = 0; n < 5; n++) left.links.send(1, KIND, n, 0);
      left.links.close();
      await until(() => right.journal.events.includes('down 0'), 'the end');
      expect(right.journal.events.slice(-2)).toEqual(['message 4', 'down 0']);
      expect(right.links.send(0, KIND, 1, 1)).toBe(false);
      // The table may say for a while that it serves.
      bench.table.setWorker(0, { port: 1 });
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(right.links.isUp(0)).toBe(false);
    }));

  it('stay up with a worker that stops, until it has stopped', () =>
    withBench(2, async (bench) => {
      const [left, right] = await bench.both();
      bench.table.setWorker(0, { state: WORKER_STOPPING });
      left.links.send(1, KIND, 1, 0);
      await until(() => right.journal.messages.length === 1, 'a message');
      right.links.send(0, KIND, 2, 0);
      await until(() => left.journal.messages.length === 1, 'its answer');
      bench.down(0);
      await until(() => right.journal.events.includes('down 0'), 'the end');
      expect(right.journal.events).toEqual(['up 0', 'message 1', 'down 0']);
    }));

  it('never join what two incarnations have sent', () =>
    withBench(2, async (bench) => {
      const [left, right] = await bench.both();
      // Stops in the middle of a message in parts, for which there is no room.
      left.links.send(1, KIND, 1, 0, bytesOf(3 * RING_BYTES, 1));
      bench.crash(left);
      bench.down(0);
      await until(() => right.journal.events.includes('down 0'), 'the end');
      const again = bench.begin(0);
      bench.serve(0);
      await until(() => again.links.isUp(1), 'the next incarnation');
      const bytes = bytesOf(3 * RING_BYTES, 9);
      again.links.send(1, KIND, 2, 0, bytes);
      await until(() => right.journal.messages.length > 0, 'a message');
      expect(right.journal.messages).toHaveLength(1);
      expect(right.journal.messages[0]?.a).toBe(2);
      expect(Buffer.compare(right.journal.messages[0]?.bytes as Uint8Array, bytes)).toBe(0);
      expect(right.journal.events).toEqual(['up 0', 'down 0', 'up 0', 'message 2']);
    }));

  it('give a new incarnation nothing that was meant for the one before', () =>
    withBench(2, async (bench) => {
      const [left, right] = await bench.both();
      bench.crash(left);
      for (let n = 0; n < 3; n++) right.links.send(0, KIND, n, 0);
      await new Promise((resolve) => setTimeout(resolve, 5));
      // The other does not know of the change while this one starts anew.
      const again = bench.begin(0);
      right.links.send(0, KIND, 4, 0);
      bench.serve(0);
      await until(() => again.links.isUp(1) && right.journal.events.length === 3, 'the links');
      right.links.send(0, KIND, 5, 0);
      await until(() => again.journal.messages.length > 0, 'a message');
      expect(again.journal.events).toEqual(['up 1', 'message 5']);
      expect(right.journal.events).toEqual(['up 0', 'down 0', 'up 0']);
    }));

  it('find the room that a reader makes just before they park', () =>
    withBench(2, async (bench) => {
      let beforeParking = () => {};
      const clock: Clock = {
        ...realClock,
        // No look now and then that would find the room late.
        every: () => ({ cancel: () => {} }),
        monotonic: () => {
          beforeParking();
          return realClock.monotonic();
        },
      };
      bench.table.setWorker(1, { state: WORKER_SERVING, epoch: 1 });
      const doorbell = new Doorbell(bench.memory.doorbells, 0);
      const ring = bench.memory.rings[0]?.[1] as SharedArrayBuffer;
      const reader = new RingReader(ring, () => doorbell.ring());
      const { links } = bench.begin(0, clock);
      bench.serve(0);
      await until(() => links.isUp(1), 'the link');
      for (let n = 0; n < 100; n++) links.send(1, DATA, n, 0, bytesOf(100, n));
      const waiting = links.waitingBytes(1);
      expect(waiting).toBeGreaterThan(0);
      let read = 0;
      beforeParking = () => {
        beforeParking = () => {};
        for (; reader.next(); read++) reader.release();
      };
      await until(() => links.waitingBytes(1) < waiting, 'more messages in the ring');
      expect(read).toBeGreaterThan(0);
    }));

  it('end with a worker that is gone while another has ever more to say', () =>
    withBench(3, async (bench) => {
      const [left, right] = await bench.both();
      const third = bench.begin(2);
      bench.serve(2);
      await until(() => left.links.isUp(2) && third.links.isUp(0), 'the third');
      // As from a thread of its own, which has sent more by each time that the other looks.
      const sender = third.links as unknown as { turn(): void };
      let isFlooded = true;
      const flood = () => {
        if (!isFlooded) return;
        while (third.links.waitingBytes(0) === 0) third.links.send(0, DATA, 0, 0, bytesOf(40, 0));
        sender.turn();
      };
      left.journal.onMessage = flood;
      flood();
      bench.crash(right);
      bench.down(1);
      try {
        await until(() => left.journal.events.includes('down 1'), 'the end');
      } finally {
        isFlooded = false;
      }
      expect(left.journal.events).toEqual(['up 1', 'up 2', 'down 1']);
    }));

  it('give every message of a ring that was full once to a reader that comes to it late', () =>
    withBench(3, async (bench) => {
      const [left, right] = await bench.both();
      const third = bench.begin(2);
      bench.serve(2);
      await until(() => left.links.isUp(2) && third.links.isUp(0), 'the third');
      const from = Array.from({ length: 1000 }, (_, n) => n);
      for (let n = 0; n < 1000; n++) {
        left.links.send(1, KIND, n, 0, bytesOf(100, n));
        left.links.send(2, KIND, n, 0, bytesOf(50, n));
      }
      const all = (end: End) => end.journal.messages.length === 1000;
      await until(() => all(right) && all(third), 'all messages');
      for (const end of [right, third]) {
        expect(end.journal.messages.map(({ a }) => a)).toEqual(from);
      }
    }));
});

describe('links of memory', () => {
  it('keep the order under delays, lose what is under way with a worker, and say who is there', async () => {
    const seed = freshSeed();
    const random = new Random(seed);
    const network = new MemoryNetwork({
      workers: 2,
      clock: realClock,
      delayMs: () => random.below(4),
    });
    const [left, right] = [new Journal(), new Journal()];
    const [from, to] = [network.linksOf(0), network.linksOf(1)];
    from.open(left);
    to.open(right);
    for (let n = 0; n < 50; n++) from.send(1, KIND, n, 0);
    await until(() => right.messages.length === 50, `messages; seed ${seed}`);
    expect(right.messages.map(({ a }) => a)).toEqual(Array.from({ length: 50 }, (_, n) => n));
    from.send(1, KIND, 99, 0);
    network.lose(1);
    expect(from.send(1, KIND, 100, 0)).toBe(false);
    const again = new Journal();
    network.linksOf(1).open(again);
    await until(() => left.events.length === 3, 'its return');
    expect(left.events).toEqual(['up 1', 'down 1', 'up 1']);
    from.send(1, KIND, 101, 0);
    await until(() => again.messages.length === 1, 'a message');
    expect(again.messages[0]?.a).toBe(101);
    from.send(1, KIND, 102, 0);
    from.close();
    await until(() => again.events.includes('down 0'), 'the end');
    expect(again.events).toEqual(['up 0', 'message 101', 'message 102', 'down 0']);
  });
});
