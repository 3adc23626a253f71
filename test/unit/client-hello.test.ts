// The client writes its hello and reads the welcome by hand; here both are held against the
// generated code, and the reader against frames that are not valid.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeWelcome, encodeHello } from '../../ts/client/hello.js';
import {
  decodeWelcome as decodeGenerated,
  decodeHello,
  encodeWelcome,
  type WelcomeFrame,
} from '../../ts/wire/hello.js';

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u64 = fc.maxSafeNat();
const texts = fc.string({ unit: 'grapheme', maxLength: 60 });
const welcomes: fc.Arbitrary<WelcomeFrame> = fc.record({
  protocol: fc.integer({ min: 0, max: 65_535 }),
  version: texts,
  engine: texts,
  engineReason: texts,
  transport: texts,
  durability: texts,
  partitions: u32,
  limits: fc.record({
    frameBytesMax: u32,
    keyBytesMax: u32,
    valueBytesMax: u32,
    operationsPerFrameMax: u32,
    operationsOutstandingMax: u32,
    scanEntriesMax: u32,
    sessionTtlMsMin: u64,
    sessionTtlMsMax: u64,
    watchesMax: u32,
    answersRememberedMax: u32,
  }),
  uptimeMs: u64,
  keys: u64,
  memoryBytes: u64,
  memoryBytesMax: u64,
  connections: u32,
  node: u64,
  session: u64,
  sessionTtlMs: u64,
  sessionSecret: fc.uint8Array({ maxLength: 40 }),
  sessionResumed: fc.boolean(),
  answersRemembered: fc.boolean(),
  position: u64,
  sessions: u32,
  watches: u32,
  worker: fc.integer({ min: 0, max: 65_535 }),
  routing: fc.uint8Array({ maxLength: 40 }),
});
const hellos = fc.record({
  protocol: fc.integer({ min: 0, max: 65_535 }),
  token: texts,
  client: texts,
  sessionTtlMs: u64,
  session: u64,
  sessionSecret: fc.uint8Array({ maxLength: 40 }),
  group: u64,
});

describe('hello', () => {
  it('is read by the node as it was written', () => {
    fc.assert(
      fc.property(hellos, (hello) => {
        expect(decodeHello(encodeHello(hello).buffer)).toEqual(hello);
      }),
    );
  });
});

describe('welcome', () => {
  it('is read as the generated code reads it', () => {
    fc.assert(
      fc.property(welcomes, (welcome) => {
        const { buffer } = encodeWelcome(welcome);
        expect(decodeWelcome(buffer)).toEqual(welcome);
        expect(decodeGenerated(buffer)).toEqual(welcome);
      }),
    );
  });

  it('never throws, whatever the bytes', () => {
    const valid = encodeWelcome(fc.sample(welcomes, { seed: 1, numRuns: 1 })[0] as WelcomeFrame);
    let refused = 0;
    for (let length = 0; length < valid.length; length++) {
      if (decodeWelcome(valid.slice(0, length).buffer) === undefined) refused++;
    }
    expect(refused).toBeGreaterThan(valid.length - 4);
    for (let at = 0; at < valid.length; at++) {
      for (const byte of [0, 1, 0x7f, 0x80, 0xff]) {
        const changed = valid.slice();
        changed[at] = byte;
        expect(() => decodeWelcome(changed.buffer)).not.toThrow();
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        expect(decodeWelcome(noise.slice().buffer)).toBeUndefined();
      }),
    );
  });
});
