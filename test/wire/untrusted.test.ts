// What comes from outside and is read by TypeScript alone: the hello of a client, the replies of a
// node. Cut or changed anywhere, they are refused or read, and never throw.

import { Builder } from 'flatbuffers';
import { describe, expect, it } from 'vitest';
import { Frame } from '../../ts/wire/generated/rondo/wire/frame.js';
import { FrameKind } from '../../ts/wire/generated/rondo/wire/frame-kind.js';
import { Hello } from '../../ts/wire/generated/rondo/wire/hello.js';
import { decodeHello, encodeHello } from '../../ts/wire/hello.js';
import { SLOT_HELLO } from '../../ts/wire/layout.js';
import { ReplyReader, ReplyWriter } from '../../ts/wire/reply.js';
import { helloOf } from '../drive/hello.js';
import { bytes, copyOf, encodeRequest, get } from '../drive/operations.js';
import { Random, seedOf } from '../parity/random.js';

const SEED = seedOf(31);
const MUTATIONS = 20_000;
const HELLO = helloOf({
  token: 'a token',
  client: 'é/1',
  sessionTtlMs: 10_000,
  session: 2 ** 53 - 1,
  sessionSecret: new Uint8Array(16).fill(7),
});

function replyFrame(): Uint8Array {
  const buffer = new Uint8Array(1024);
  const writer = new ReplyWriter(buffer);
  writer.begin(3);
  writer.resultWithValue(1, bytes('value'), 3, 0);
  writer.entry(2, 1, bytes('key'), bytes('v'), 4, 5);
  writer.closing(2, 0, bytes(''), 1);
  return buffer.slice(0, writer.finish());
}

/** Changes one place: a bit, a byte, or 32 bits that may be an offset or a length. */
function mutated(random: Random, frame: Uint8Array): ArrayBuffer {
  const changed = copyOf(frame);
  const view = new DataView(changed);
  const at = random.below(frame.length);
  if (random.oneIn(3)) view.setUint8(at, random.below(256));
  else if (random.oneIn(2)) view.setUint8(at, view.getUint8(at) ^ (1 << random.below(8)));
  else {
    const place = random.below(frame.length >> 2) * 4;
    const values = [0, 1, 4, frame.length - place, 2 ** 31, 2 ** 32 - 1, random.u32()];
    view.setUint32(place, random.pick(values), true);
  }
  return random.oneIn(5) ? changed.slice(0, random.below(frame.length + 1)) : changed;
}

describe(`frames read by TypeScript alone, RONDO_SEED=${SEED}`, () => {
  it('a hello cut anywhere is refused', () => {
    const frame = encodeHello(HELLO);
    expect(decodeHello(copyOf(frame))).toEqual(HELLO);
    let read = 0;
    for (let length = 0; length < frame.length; length++) {
      // Zeroes that only pad the end may go.
      if (decodeHello(copyOf(frame.subarray(0, length))) !== undefined) read++;
    }
    expect(read).toBeLessThanOrEqual(3);
  });

  it('a changed hello is refused or read, and never throws', () => {
    const random = new Random(SEED);
    const frame = encodeHello(HELLO);
    let read = 0;
    for (let index = 0; index < MUTATIONS; index++) {
      const hello = decodeHello(mutated(random, frame));
      if (hello === undefined) continue;
      read++;
      expect(hello.token.length + hello.client.length).toBeLessThanOrEqual(frame.length);
    }
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(MUTATIONS);
  });

  it('a hello whose new fields are not what they should be is refused', () => {
    const frame = encodeHello(HELLO);
    const view = new DataView(copyOf(frame));
    const root = view.getUint32(0, true);
    const slotOf = (table: number, slot: number) => table - view.getInt32(table, true) + slot;
    const helloField = root + view.getUint16(slotOf(root, SLOT_HELLO), true);
    const hello = helloField + view.getUint32(helloField, true);
    const [ttlSlot, sessionSlot, secretSlot] = [10, 12, 14].map((slot) => slotOf(hello, slot));
    const secretField = hello + view.getUint16(secretSlot as number, true);
    const secret = secretField + view.getUint32(secretField, true);
    const changed = (change: (copy: DataView) => void) => {
      const copy = copyOf(frame);
      change(new DataView(copy));
      return decodeHello(copy);
    };
    expect(changed(() => undefined)).toEqual(HELLO);
    for (const at of [ttlSlot, sessionSlot, secretSlot] as number[]) {
      expect(changed((copy) => copy.setUint16(at, 0xfffc, true))).toBeUndefined();
      // Odd places are no place for a number or an offset.
      const odd = view.getUint16(at, true) + 1;
      expect(changed((copy) => copy.setUint16(at, odd, true))).toBeUndefined();
    }
    for (const offset of [1, frame.length - secretField, 0x7fffffff, 0xffffffff]) {
      expect(changed((copy) => copy.setUint32(secretField, offset, true))).toBeUndefined();
    }
    for (const length of [frame.length - secret - 3, 0x7fffffff, 0xffffffff]) {
      expect(changed((copy) => copy.setUint32(secret, length, true))).toBeUndefined();
    }
    // Another length is for the node to judge, and so are numbers above 2^53.
    const short = changed((copy) => copy.setUint32(secret, 3, true));
    expect(short?.sessionSecret).toEqual(new Uint8Array(3).fill(7));
    const sessionAt = hello + view.getUint16(sessionSlot as number, true);
    const far = changed((copy) => copy.setBigUint64(sessionAt, 2n ** 64n - 1n, true));
    expect(far?.session).toBe(2 ** 64);
  });

  it('a hello that has events beside it is refused', () => {
    const builder = new Builder(64);
    const hello = Hello.createHello(builder, 1, 0, 0, 0n, 0n, 0, 0n);
    Frame.startEventsVector(builder, 0);
    const events = builder.endVector();
    Frame.startFrame(builder);
    Frame.addKind(builder, FrameKind.Hello);
    Frame.addHello(builder, hello);
    Frame.addEvents(builder, events);
    Frame.finishFrameBuffer(builder, Frame.endFrame(builder));
    expect(decodeHello(copyOf(builder.asUint8Array()))).toBeUndefined();
  });

  it('a reply cut anywhere is refused', () => {
    const frame = replyFrame();
    const reader = new ReplyReader();
    expect(reader.open(copyOf(frame))).toBe(true);
    for (let length = 0; length < frame.length; length++) {
      expect(reader.open(copyOf(frame.subarray(0, length))), `${length}`).toBe(false);
      expect(reader.next()).toBe(false);
    }
  });

  it('a changed reply is refused or read within its bytes, and never throws', () => {
    const random = new Random(SEED);
    const frame = replyFrame();
    const reader = new ReplyReader();
    let read = 0;
    for (let index = 0; index < MUTATIONS; index++) {
      if (!reader.open(mutated(random, frame))) continue;
      read++;
      let total = 0;
      while (reader.next()) total += reader.key.length + reader.value.length;
      expect(total).toBeLessThanOrEqual(frame.length);
    }
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(MUTATIONS);
  });

  it('a request is neither a hello nor a reply', () => {
    const request = encodeRequest([get('k')]);
    expect(decodeHello(request)).toBeUndefined();
    expect(new ReplyReader().open(request)).toBe(false);
    expect(decodeHello(copyOf(replyFrame()))).toBeUndefined();
    expect(new ReplyReader().open(copyOf(encodeHello(HELLO)))).toBe(false);
  });
});
