// The bare Node-API call behind the native engine's `execute`: what a generated binding would check,
// it has to check itself, and it must outlive the object that it came from.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { type Engine, OUTCOME_SESSIONS } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { SESSION_SECRET_BYTES, SESSION_TTL_MS_MIN } from '../../ts/wire/limits.js';
import { RequestWriter } from '../../ts/wire/request.js';
import { Status } from '../../ts/wire/status.js';

const choice = chooseEngine('auto');
const absence = choice.kind === 'native' ? undefined : choice.reason;

const OPTIONS = { partitions: 4, valueBytesMax: 1024, memoryBytesMax: 0, hashSeed: 7 };

describe.skipIf(absence !== undefined)(`execute of the native engine${absence ?? ''}`, () => {
  it('throws on what is not a frame, and the engine goes on', () => {
    const engine = choice.create(OPTIONS);
    const anyExecute = engine.execute as unknown as (...values: unknown[]) => number;
    for (const values of [[], [putFrame()], [new Uint8Array(8), 0, 0], ['x', 0, 0]]) {
      expect(() => anyExecute(...values)).toThrow('an ArrayBuffer and two numbers');
    }
    expect(() => engine.execute(engine.reply.buffer, 0, 0)).toThrow("engine's own buffers");
    expect(() => engine.execute(engine.records.buffer, 0, 0)).toThrow("engine's own buffers");
    expect(() => engine.execute(engine.notices.buffer, 0, 0)).toThrow("engine's own buffers");
    expect(engine.execute(new ArrayBuffer(0), 0, 0)).toBe(-Status.Malformed);
    expect(engine.execute(detached(), 0, 0)).toBe(-Status.Malformed);
    expect(engine.execute(putFrame(), 0, 0)).toBeGreaterThan(0);
    engine.close();
  });

  it('takes any figures for a session', () => {
    const engine = choice.create(OPTIONS);
    const digest = new Uint8Array(SESSION_SECRET_BYTES);
    for (const id of [0, -1, 0.5, 2 ** 53, NaN, Infinity, -Infinity]) {
      const status = engine.openSession(id, SESSION_TTL_MS_MIN, digest, 0);
      expect([id, status]).toEqual([id, Status.InvalidArgument]);
      expect([id, engine.resumeSession(id, digest, 0)]).toEqual([id, Status.SessionUnknown]);
    }
    for (const ttlMs of [0, -1, SESSION_TTL_MS_MIN + 0.5, NaN, Infinity]) {
      const status = engine.openSession(1, ttlMs, digest, 0);
      expect([ttlMs, status]).toEqual([ttlMs, Status.TtlOutOfRange]);
    }
    for (const now of [-1, NaN, Infinity]) {
      expect(engine.resumeSession(1, new Uint8Array(0), now)).toBe(Status.SessionUnknown);
    }
    expect(engine.outcome[OUTCOME_SESSIONS]).toBe(0);
    engine.close();
  });

  it('throws after close, every time', () => {
    const engine = choice.create(OPTIONS);
    engine.close();
    expect(() => engine.execute(putFrame(), 0, 0)).toThrow('closed');
    expect(() => engine.execute(putFrame(), 0, 0)).toThrow('closed');
    expect(() => engine.advance(0)).toThrow('closed');
    const digest = new Uint8Array(SESSION_SECRET_BYTES);
    expect(() => engine.openSession(1, SESSION_TTL_MS_MIN, digest, 0)).toThrow('closed');
    expect(() => engine.resumeSession(1, digest, 0)).toThrow('closed');
  });

  it('keeps its memory for as long as the function can be called', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const functions: Engine['execute'][] = [];
    for (let round = 0; round < 20; round++) {
      functions.push(choice.create(OPTIONS).execute);
      collect();
    }
    for (const execute of functions) expect(execute(putFrame(), 0, 0)).toBeGreaterThan(0);
    functions.length = 0;
    collect();
  });
});

function putFrame(): ArrayBuffer {
  const writer = new RequestWriter();
  writer.begin(1);
  writer.operation(1, OperationCode.Put, 0, 'key', new Uint8Array(3), 0, 0, 0);
  return writer.finish().slice().buffer;
}

function detached(): ArrayBuffer {
  const frame = putFrame();
  structuredClone(frame, { transfer: [frame] });
  return frame;
}
