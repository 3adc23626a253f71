// What the engine benchmark does: the tasks, their frames made beforehand, and the three contenders.
// The bare Map is the bound of what JavaScript offers, with less to do: keys are strings ready made,
// values are kept and returned as they are, nothing is parsed, copied, hashed to a partition, recorded
// or answered.

import { type Engine, OUTCOME_COUNT, OUTCOME_NEXT } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { RequestWriter } from '../../ts/wire/request.js';
import { STATUS_COUNT, Status } from '../../ts/wire/status.js';

export const CONTENDERS = ['native', 'ts', 'map'] as const;
export type Contender = (typeof CONTENDERS)[number];

export const TASKS = ['get', 'put', 'mixed', 'scan'] as const;
export type Task = (typeof TASKS)[number];

export const VALUE_BYTES = 64;
export const SCAN_ENTRIES = 100;
/** Of 10 operations of `mixed`, how many are gets. */
const GETS_OF_TEN = 8;
/** Distinct operations of a task at most: beyond, a random part of the keys stands for all. */
const OPERATIONS_MAX = 1_000_000;
const SCANS_MAX = 20_000;
/** Frames of a task at most, which bounds the operations where a frame holds one. */
const FRAMES_MAX = 250_000;
const NOW = 1_700_000_000_000;

/** Runs the next `frames` frames of a task, over and over in the same order. */
export type Run = (frames: number) => void;

export interface Subject {
  /** Undefined where the contender cannot do the task. */
  prepare(task: Task, operationsPerFrame: number): Run | undefined;
  /** Throws where an operation failed that should not have. */
  verify(): void;
}

export function keyOf(index: number): string {
  return `user:${`${index}`.padStart(8, '0')}`;
}

/** How many distinct operations a task cycles through. */
export function operationsOf(task: Task, keys: number, operationsPerFrame: number): number {
  const bound = task === 'scan' ? SCANS_MAX : OPERATIONS_MAX;
  const most = Math.min(keys, bound, FRAMES_MAX * operationsPerFrame);
  return Math.max(operationsPerFrame, most - (most % operationsPerFrame));
}

export function makeSubject(contender: Contender, keys: number): Subject {
  return contender === 'map' ? new MapSubject(keys) : new EngineSubject(contender, keys);
}

/** Keys in random order, none twice (Fisher and Yates; an LCG, so that runs are alike). */
function shuffled(keys: number, count: number): Uint32Array {
  const order = Uint32Array.from({ length: keys }, (_, index) => index);
  let state = 0x2545f491;
  for (let at = 0; at < count; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = at + Math.floor((state / 2 ** 32) * (keys - at));
    const kept = order[at] as number;
    order[at] = order[other] as number;
    order[other] = kept;
  }
  return order.subarray(0, count);
}

const isGet = (task: Task, index: number) =>
  task === 'get' || (task === 'mixed' && index % 10 < GETS_OF_TEN);

class EngineSubject implements Subject {
  private readonly engine: Engine;
  private readonly writer = new RequestWriter();
  private readonly value = new Uint8Array(VALUE_BYTES).fill(0x76);

  constructor(
    kind: 'native' | 'ts',
    private readonly keys: number,
  ) {
    this.engine = chooseEngine(kind).create({
      partitions: 64,
      valueBytesMax: 1024 * 1024,
      memoryBytesMax: 0,
      hashSeed: 0x5eed,
    });
    const order = shuffled(keys, keys);
    for (let at = 0; at < keys; at += 1000) {
      const frame = this.frame('put', order.subarray(at, Math.min(at + 1000, keys)), at);
      this.execute(frame);
    }
  }

  prepare(task: Task, operationsPerFrame: number): Run {
    const order = shuffled(this.keys, operationsOf(task, this.keys, operationsPerFrame));
    const frames: ArrayBuffer[] = [];
    for (let at = 0; at < order.length; at += operationsPerFrame) {
      frames.push(this.frame(task, order.subarray(at, at + operationsPerFrame), at));
    }
    let next = 0;
    return (count) => {
      for (let left = count; left > 0; left--) {
        this.execute(frames[next] as ArrayBuffer);
        next = next + 1 === frames.length ? 0 : next + 1;
      }
    };
  }

  verify(): void {
    const { counters } = this.engine;
    for (let code = 0; code < 16; code++) {
      for (let status = Status.Ok + 1; status < STATUS_COUNT; status++) {
        const count = counters[code * STATUS_COUNT + status] ?? 0;
        if (count > 0) throw new Error(`${count} operations of code ${code} ended with ${status}`);
      }
    }
  }

  private execute(frame: ArrayBuffer): void {
    const { engine } = this;
    for (let first = 0; ; ) {
      const length = engine.execute(frame, first, NOW);
      if (length <= 0) throw new Error(`frame refused: ${-length}`);
      first = engine.outcome[OUTCOME_NEXT] as number;
      if (first === engine.outcome[OUTCOME_COUNT]) return;
    }
  }

  private frame(task: Task, indices: Uint32Array, start: number): ArrayBuffer {
    const { writer, value } = this;
    writer.begin(indices.length);
    for (const [at, index] of indices.entries()) {
      const key = keyOf(index);
      if (task === 'scan') {
        const cursor = new TextEncoder().encode(key);
        writer.operation(at, OperationCode.Scan, 0, 'user:', cursor, SCAN_ENTRIES, 0, 0);
      } else if (isGet(task, start + at)) {
        writer.operation(at, OperationCode.Get, 0, key, undefined, 0, 0, 0);
      } else {
        writer.operation(at, OperationCode.Put, 0, key, value, 0, 0, 0);
      }
    }
    return writer.finish().slice().buffer;
  }
}

class MapSubject implements Subject {
  private readonly map = new Map<string, Uint8Array>();
  private readonly value = new Uint8Array(VALUE_BYTES).fill(0x76);
  private missed = 0;

  constructor(private readonly keys: number) {
    for (const index of shuffled(keys, keys)) {
      this.map.set(keyOf(index), new Uint8Array(VALUE_BYTES));
    }
  }

  prepare(task: Task, operationsPerFrame: number): Run | undefined {
    if (task === 'scan') return undefined; // A Map has no order of keys.
    const order = shuffled(this.keys, operationsOf(task, this.keys, operationsPerFrame));
    // Strings of their own, not those in the Map. V8 keeps the hash of each from its first use on.
    const keys = Array.from(order, (index) => keyOf(index));
    const gets = Uint8Array.from(keys, (_, index) => (isGet(task, index) ? 1 : 0));
    const { map, value } = this;
    let next = 0;
    return (frames) => {
      let missed = 0;
      for (let left = frames * operationsPerFrame; left > 0; left--) {
        const key = keys[next] as string;
        if (gets[next] === 1) missed += map.get(key)?.length === VALUE_BYTES ? 0 : 1;
        else map.set(key, value);
        next = next + 1 === keys.length ? 0 : next + 1;
      }
      this.missed += missed;
    };
  }

  verify(): void {
    if (this.missed > 0) throw new Error(`${this.missed} gets found nothing`);
  }
}
