// Pages of a real engine for snapshots of watches.

import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../node/clock.js';
import { engineScan } from '../../node/watch/engine-scan.js';
import { type Engine, INPUT_SESSION, OUTCOME_POSITION } from '../../ts/engine/engine.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { HEADER_BYTES, OPERATION_TTL_MS, readU64, writeU64 } from '../../ts/wire/layout.js';
import { OPTIONS } from '../drive/engines.js';
import { bytes, encodeRequest, put } from '../drive/operations.js';

const NONE = new Uint8Array(0);
const text = (content: Uint8Array) => Buffer.from(content).toString();

/** An engine that says where it is after each call. */
function engineWith(keys: readonly string[]): Engine {
  const engine = createTsEngine(OPTIONS);
  const counting = Object.create(engine) as Engine;
  counting.execute = (frame, first, now) => {
    const length = engine.execute(frame, first, now);
    let position = 0;
    for (let at = 0; at < OPTIONS.partitions; at++) position += engine.revisionOf(at);
    engine.outcome[OUTCOME_POSITION] = position;
    return length;
  };
  counting.execute(encodeRequest(keys.map((key) => put(key, `value of ${key}`))), 0, 1);
  return counting;
}

describe('a page of the engine', () => {
  it('has the keys of the prefix behind the cursor, and where to go on', () => {
    const engine = engineWith(['a', 'k/1', 'k/2', 'k/3', 'l']);
    const scan = engineScan(engine, new SimulatedClock(), () => undefined, 0);
    const first = scan(bytes('k/'), NONE, 2, false);
    expect(first.entries.map(({ key, value }) => [text(key), text(value)])).toEqual([
      ['k/1', 'value of k/1'],
      ['k/2', 'value of k/2'],
    ]);
    expect([text(first.cursor!), first.position]).toEqual(['k/2', 5]);
    for (const { key, value } of first.entries) {
      expect(value.byteOffset).toBe(key.byteOffset + key.length);
      expect(value.buffer).toBe(key.buffer);
    }
    const second = scan(bytes('k/'), first.cursor!, 2, true);
    expect(second.entries.map(({ key, value }) => [text(key), text(value)])).toEqual([['k/3', '']]);
    expect(second.cursor).toBeUndefined();
    // A page stays as it is, whatever the engine does next.
    expect(text(first.entries[0]!.key)).toBe('k/1');
    expect(scan(NONE, NONE, 1000, false).entries).toHaveLength(5);
  });

  it('is read for no session, and what else the call made is taken care of before it is returned', () => {
    const engine = engineWith(['k']);
    engine.input[INPUT_SESSION] = 77;
    const sessions: unknown[] = [];
    const scan = engineScan(
      engine,
      new SimulatedClock(),
      () => {
        sessions.push(engine.input[INPUT_SESSION]);
        // As a call does that ends what is due: the reply buffer is overwritten.
        engine.reply.fill(0xee);
      },
      0,
    );
    expect(scan(NONE, NONE, 10, false).entries.map(({ key }) => text(key))).toEqual(['k']);
    expect(sessions).toEqual([0]);
  });

  it.each([0, 3])('is asked for at address %i, the worker of the watch', (address) => {
    const engine = engineWith(['k']);
    const asked = Object.create(engine) as Engine;
    const addresses: number[] = [];
    asked.execute = (frame, first, now) => {
      const view = new DataView(frame);
      addresses.push(readU64(view, HEADER_BYTES + OPERATION_TTL_MS));
      // One engine alone has no worker of that index.
      writeU64(view, HEADER_BYTES + OPERATION_TTL_MS, 0);
      return engine.execute(frame, first, now);
    };
    const scan = engineScan(asked, new SimulatedClock(), () => undefined, address);
    expect(scan(NONE, NONE, 10, false).entries).toHaveLength(1);
    expect(addresses).toEqual([address]);
  });
});
