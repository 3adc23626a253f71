// Rings between two threads: every message arrives once, whole and in order, whatever the lengths, where the
// positions stand, and whoever is slow or dies. And by one thread what two can only meet by chance.

import { describe, expect, it } from 'vitest';
import {
  RING_CONTROL_BYTES,
  RING_HEAD_BYTES,
  RING_READ,
  RING_WRITTEN,
  RingReader,
  RingWriter,
} from '../../ts/shared/ring.js';
import { seedOf } from '../parity/random.js';
import { Messages, until } from './messages.js';
import { startThread } from './threads.js';

const SEED = seedOf(20_261_122);
const NOTHING = new Uint8Array(0);

/** `position`: where the next message goes. */
function makeRing(capacity: number, position = 0): SharedArrayBuffer {
  const ring = new SharedArrayBuffer(RING_CONTROL_BYTES + capacity);
  const control = new Int32Array(ring);
  control[RING_WRITTEN] = position;
  control[RING_READ] = position;
  return ring;
}

function readAll(reader: RingReader): number[] {
  const heads: number[] = [];
  while (reader.next()) {
    heads.push(reader.head0);
    reader.release();
  }
  return heads;
}

describe(`two threads, seed ${SEED}`, () => {
  // The small rings are full, empty and wrapped all the time; the last begins near the end of the positions.
  it.each([
    { capacity: 256, position: 0, count: 200_000 },
    { capacity: 4096, position: 0, count: 1_000_000 },
    { capacity: 65_536, position: -4096, count: 200_000 },
    { capacity: 1 << 20, position: 0x7fff_f000, count: 50_000 },
  ])('$count messages through $capacity bytes', { timeout: 180_000 }, async (setting) => {
    const { capacity, position, count } = setting;
    const ring = makeRing(capacity, position);
    const bytesMax = Math.min(new RingWriter(ring).messageBytesMax, 20_000);
    const task = { kind: 'write', ring, seed: SEED, count, bytesMax } as const;
    const thread = await startThread(task);
    const reader = new RingReader(ring);
    const messages = new Messages(SEED, bytesMax);
    let fault: string | undefined;
    for (let got = 0; got < count && fault === undefined; got++) {
      until(() => reader.next());
      fault = messages.next().faultOf(reader);
      reader.release();
    }
    if (fault !== undefined) await thread.terminate();
    expect(fault).toBeUndefined();
    await thread.result;
    expect(reader.next()).toBe(false);
  });

  it.each([true, false])('to a reader, slow: %s', { timeout: 120_000 }, async (isSlow) => {
    const ring = makeRing(4096);
    const setting = { ring, seed: SEED, count: 100_000, bytesMax: 1000 };
    const thread = await startThread({ kind: 'read', isSlow, ...setting });
    const writer = new RingWriter(ring);
    const messages = new Messages(SEED, setting.bytesMax);
    let refused = 0;
    for (let sent = 0; sent < setting.count; sent++) {
      messages.next();
      until(() => {
        const isWritten = messages.isWritten(writer);
        if (!isWritten) refused++;
        return isWritten;
      });
    }
    writer.publish();
    expect(await thread.result).toBe('');
    expect(refused).toBeGreaterThan(0);
  });

  it('a writer that dies leaves whole messages only, and the next goes on', async () => {
    let total = 0;
    const ring = makeRing(4096);
    for (let round = 0; round < 10; round++) {
      const seed = SEED + round;
      const thread = await startThread({ kind: 'write', ring, seed, count: 0, bytesMax: 1000 });
      await thread.begun;
      const reader = new RingReader(ring);
      const messages = new Messages(seed, 1000);
      const faults: string[] = [];
      let got = 0;
      const take = () => {
        const fault = messages.next().faultOf(reader);
        if (fault !== undefined) faults.push(fault);
        reader.release();
        got++;
      };
      while (got < 500 + round) {
        until(() => reader.next());
        take();
      }
      await thread.terminate();
      while (reader.next()) take();
      expect(faults).toEqual([]);
      total += got;
    }
    expect(total).toBeGreaterThan(5_000);
  });
});

describe('a ring', () => {
  it('shows nothing before it is published, and keeps what was not from the next writer’s reader', () => {
    const ring = makeRing(1024);
    const dead = new RingWriter(ring);
    const reader = new RingReader(ring);
    expect(dead.tryWrite(1, 0, 0, NOTHING, 0, 0)).toBe(true);
    expect(reader.hasNext()).toBe(false);
    const writer = new RingWriter(ring);
    expect(writer.tryWrite(2, 0, 0, NOTHING, 0, 0)).toBe(true);
    writer.publish();
    expect(readAll(reader)).toEqual([2]);
  });

  it('is full at its capacity, and takes the same again once that was read', () => {
    const ring = makeRing(1024);
    const writer = new RingWriter(ring);
    const reader = new RingReader(ring);
    for (let round = 0; round < 5; round++) {
      const sent: number[] = [];
      while (writer.tryWrite(sent.length, 0, 0, NOTHING, 0, 0)) sent.push(sent.length);
      expect(sent.length).toBeGreaterThanOrEqual(Math.floor(1024 / RING_HEAD_BYTES) - 1);
      // Without `publish`: a writer without room has shown what it wrote.
      expect(readAll(reader)).toEqual(sent);
    }
  });

  it('takes the longest message from every position', () => {
    for (let position = 0; position < 1024; position += 8) {
      const ring = makeRing(1024, position);
      const writer = new RingWriter(ring);
      const reader = new RingReader(ring);
      const bytes = new Uint8Array(writer.messageBytesMax).fill(7);
      expect(writer.tryWrite(position, 0, 0, bytes, 0, bytes.length)).toBe(true);
      writer.publish();
      expect(reader.next()).toBe(true);
      expect(Buffer.from(reader.bytes.slice(reader.start, reader.end)).equals(bytes)).toBe(true);
    }
    const writer = new RingWriter(makeRing(1024));
    const bytes = new Uint8Array(writer.messageBytesMax + 1);
    expect(() => writer.tryWrite(0, 0, 0, bytes, 0, bytes.length)).toThrow(RangeError);
  });

  it('keeps every number, and bytes of every length and alignment', () => {
    const ring = makeRing(1 << 20);
    const writer = new RingWriter(ring);
    const reader = new RingReader(ring);
    const source = Uint8Array.from({ length: 50_000 }, (_, at) => at * 31 + (at >> 8));
    for (const length of [0, 1, 3, 4, 7, 79, 80, 81, 191, 192, 193, 16_384, 40_001]) {
      for (let start = 0; start < 9; start++) {
        const head2 = start === 0 ? Number.MAX_SAFE_INTEGER : -start / 3;
        writer.tryWrite(2 ** 32 - 1, 2 ** 31, head2, source, start, start + length);
        writer.publish();
        expect(reader.next()).toBe(true);
        expect([reader.head0, reader.head1, reader.head2]).toEqual([2 ** 32 - 1, 2 ** 31, head2]);
        const got = Buffer.from(reader.bytes.slice(reader.start, reader.end));
        expect(got.equals(source.subarray(start, start + length))).toBe(true);
        reader.release();
      }
    }
  });

  it('tells the writer when there is room again, only where that waits', () => {
    const ring = makeRing(1024);
    const writer = new RingWriter(ring);
    let calls = 0;
    const reader = new RingReader(ring, () => calls++);
    writer.tryWrite(0, 0, 0, NOTHING, 0, 0);
    writer.publish();
    readAll(reader);
    expect(calls).toBe(0);
    while (writer.tryWrite(0, 0, 0, NOTHING, 0, 0));
    expect(writer.hasMoreRoom()).toBe(false);
    reader.next();
    reader.release();
    expect(writer.hasMoreRoom()).toBe(false);
    readAll(reader);
    expect(calls).toBe(1);
    expect(writer.hasMoreRoom()).toBe(true);
    expect(writer.tryWrite(0, 0, 0, NOTHING, 0, 0)).toBe(true);
  });

  it('shows a new reader what the old one has not given back, or nothing of it', () => {
    const ring = makeRing(1024);
    const writer = new RingWriter(ring);
    for (const head of [1, 2, 3]) writer.tryWrite(head, 0, 0, NOTHING, 0, 0);
    writer.publish();
    const dead = new RingReader(ring);
    dead.next();
    expect(readAll(new RingReader(ring))).toEqual([1, 2, 3]);
    for (const head of [4, 5]) writer.tryWrite(head, 0, 0, NOTHING, 0, 0);
    writer.publish();
    const reader = new RingReader(ring);
    reader.skipAll();
    writer.tryWrite(6, 0, 0, NOTHING, 0, 0);
    writer.publish();
    expect(readAll(reader)).toEqual([6]);
  });

  it('is refused where its memory is none', () => {
    for (const bytes of [0, RING_CONTROL_BYTES, RING_CONTROL_BYTES + 1000]) {
      expect(() => new RingWriter(new SharedArrayBuffer(bytes))).toThrow(RangeError);
    }
  });
});
