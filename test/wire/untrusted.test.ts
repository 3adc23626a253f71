// What comes from outside and is read by TypeScript alone: the hello of a client, the replies of a
// node. Cut or changed anywhere, they are refused or read, and never throw.

import { describe, expect, it } from 'vitest';
import { decodeHello, encodeHello } from '../../ts/wire/hello.js';
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
