// Held replies: each leaves when its append is durable, once, unharmed, in order, however they come in.

import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../node/clock.js';
import { ConnectionState, type Peer } from '../../node/connection.js';
import { Gate } from '../../node/gate.js';
import { HeldReplies } from '../../node/held-replies.js';
import { HELD_BYTES_MAX, HELD_CHUNK_BYTES } from '../../node/limits.js';
import type { Log } from '../../node/log/log.js';
import { type Engine, INPUT_LENGTH, INPUT_WRITE_REFUSAL } from '../../ts/engine/engine.js';
import { Status } from '../../ts/wire/status.js';

const peer = { data: new ConnectionState(undefined) } as unknown as Peer;

function taken(held: HeldReplies, durable: number): string[] {
  const replies: string[] = [];
  held.release(durable, (_, reply) => replies.push(Buffer.from(reply).toString()));
  return replies;
}

describe('the gate', () => {
  it('counts what small replies take beside their bytes', () => {
    const engine = { input: new Float64Array(INPUT_LENGTH), outcome: new Float64Array(8) };
    const gate = new Gate({
      engine: engine as unknown as Engine,
      log: { durable: 0, refusal: 'none', pendingBytes: 0 } as Log,
      isWaiting: true,
      clock: new SimulatedClock(),
      logger: pino({ level: 'silent' }),
      send: () => undefined,
      overload: () => undefined,
      onDurable: () => undefined,
    });
    const quick = { data: new ConnectionState(undefined) } as unknown as Peer;
    const reply = new Uint8Array(64);
    let held = 0;
    while (gate.refusal === Status.Ok && held < 1_000_000) {
      gate.hold(++held, quick, reply, 1, true);
    }
    // 1,000,000 of them were measured to take 320 MB.
    expect(held).toBeLessThan(HELD_BYTES_MAX / (64 + 200));
    expect(held).toBeGreaterThan(HELD_BYTES_MAX / (64 + 300));
    expect(engine.input[INPUT_WRITE_REFUSAL]).toBe(Status.Overloaded);
  });
});

describe('a gate that holds as much as it may', () => {
  function full(isWaiting: boolean) {
    const engine = { input: new Float64Array(INPUT_LENGTH), outcome: new Float64Array(8) };
    const log = { durable: 0, refusal: 'none', pendingBytes: 0 };
    const sent: Uint8Array[] = [];
    const replaced: Uint8Array[] = [];
    const durable: number[] = [];
    const gate = new Gate({
      engine: engine as unknown as Engine,
      log: log as Log,
      isWaiting,
      clock: new SimulatedClock(),
      logger: pino({ level: 'silent' }),
      send: (_, reply) => sent.push(reply.slice()),
      overload: (_, reply) => replaced.push(reply),
      onDurable: (append) => durable.push(append),
    });
    const large = new Uint8Array(HELD_BYTES_MAX / 4);
    const slow = { data: new ConnectionState(undefined) } as unknown as Peer;
    for (let reply = 0; reply < 5; reply++) gate.hold(1, slow, large, 1, true);
    return { gate, log, slow, sent, replaced, durable };
  }

  it('replaces replies that changed nothing, and keeps those that did', () => {
    const { gate, log, slow, sent, replaced, durable } = full(true);
    expect(gate.refusal).toBe(Status.Overloaded);
    gate.hold(1, slow, Buffer.from('read'), 1, false);
    gate.hold(1, slow, Buffer.from('answer to a wait'), 1, true);
    expect(replaced.map((reply) => Buffer.from(reply).toString())).toEqual(['read']);
    expect(sent).toHaveLength(0);
    log.durable = 1;
    gate.onProgress();
    expect(Buffer.from(sent[5] as Uint8Array).toString()).toBe('answer to a wait');
    expect(sent).toHaveLength(6);
    expect(durable).toEqual([1]);
    expect(gate.refusal).toBe(Status.Ok);
  });

  it('holds nothing where replies do not wait', () => {
    const { gate, log, slow, sent, durable } = full(false);
    let done = 0;
    gate.after(7, slow, 1, () => done++);
    expect([sent.length, done, gate.held.count]).toEqual([5, 1, 0]);
    log.durable = 1;
    gate.onProgress();
    expect(durable).toEqual([]);
  });
});

describe('held replies', () => {
  it('leave in the order of the appends that they wait for', () => {
    const held = new HeldReplies();
    for (const [append, text] of [
      [1, 'a'],
      [3, 'c'],
      [2, 'b'],
      [3, 'd'],
    ] as const) {
      held.hold(append, peer, Buffer.from(text), 2);
    }
    expect([held.count, held.bytes, peer.data.held]).toEqual([4, 4, 8]);
    expect(taken(held, 0)).toEqual([]);
    expect(taken(held, 2)).toEqual(['a', 'b']);
    expect(taken(held, 3)).toEqual(['c', 'd']);
    expect([held.count, held.bytes, peer.data.held]).toEqual([0, 0, 0]);
  });

  it('leave in line with the actions that wait for the same appends', () => {
    const held = new HeldReplies();
    const order: string[] = [];
    held.hold(1, peer, Buffer.from('a'), 1);
    held.holdAction(2, peer, 1, () => order.push('action 2'));
    held.holdAction(1, peer, 0, () => order.push('action 1'));
    held.hold(1, peer, Buffer.from('b'), 1);
    expect([held.count, held.bytes, peer.data.held]).toEqual([4, 2, 3]);
    held.release(1, (_, reply) => order.push(Buffer.from(reply).toString()));
    expect(order).toEqual(['a', 'action 1', 'b']);
    held.release(2, () => expect.unreachable());
    expect(order).toEqual(['a', 'action 1', 'b', 'action 2']);
    expect([held.count, held.bytes, peer.data.held]).toEqual([0, 0, 0]);
  });

  it('are copies', () => {
    const held = new HeldReplies();
    const reply = Buffer.from('first');
    held.hold(1, peer, reply, 1);
    reply.write('other');
    expect(taken(held, 1)).toEqual(['first']);
  });

  it('go on after appends for which none waited', () => {
    const held = new HeldReplies();
    expect(taken(held, 5_000_000)).toEqual([]);
    held.hold(5_000_001, peer, Buffer.from('late'), 1);
    expect(taken(held, 5_000_001)).toEqual(['late']);
  });

  it('neither mix nor change, whatever their sizes, gates and releases', () => {
    const step = fc.oneof(
      fc.record({
        ahead: fc.integer({ min: 1, max: 3000 }),
        bytes: fc.oneof(
          fc.integer({ min: 1, max: 300 }),
          fc.integer({ min: 1, max: HELD_CHUNK_BYTES * 2 }),
        ),
      }),
      fc.record({ release: fc.integer({ min: 0, max: 3000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const held = new HeldReplies();
        const waiting: { append: number; fill: number; bytes: number }[] = [];
        let durable = 0;
        let fill = 0;
        const check = (upTo: number) => {
          const due = waiting
            .filter(({ append }) => append <= upTo)
            .sort((left, right) => left.append - right.append);
          held.release(upTo, (_, reply) => {
            const expected = due.shift();
            expect(reply.length).toBe(expected?.bytes);
            expect(reply.every((byte) => byte === expected?.fill)).toBe(true);
          });
          expect(due).toEqual([]);
          for (let index = waiting.length - 1; index >= 0; index--) {
            if ((waiting[index]?.append ?? 0) <= upTo) waiting.splice(index, 1);
          }
        };
        for (const it of steps) {
          if ('release' in it) {
            durable += it.release;
            check(durable);
          } else {
            fill = (fill + 1) & 0xff;
            held.hold(durable + it.ahead, peer, Buffer.alloc(it.bytes, fill), 1);
            waiting.push({ append: durable + it.ahead, fill, bytes: it.bytes });
          }
        }
        check(durable + 3000);
        expect([held.count, held.bytes]).toEqual([0, 0]);
      }),
    );
  });
});
