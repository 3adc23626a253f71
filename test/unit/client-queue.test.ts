// The queue of calls that wait: what it counts, what it keeps, and in what order.

import { describe, expect, it } from 'vitest';
import { Call, RESTING, SETTLED, Shape } from '../../ts/client/call.js';
import { Queue } from '../../ts/client/queue.js';

describe('the queue', () => {
  it('keeps no call that has passed through it, even where it is never empty', () => {
    // It was emptied only when its last call left: under lasting load it kept every call for ever.
    const queue = new Queue();
    const make = (): Call => new Call(1, Shape.Value, 0, 'k', undefined, 0, 0, 0, undefined);
    for (let round = 0; round < 5000; round++) {
      for (let count = 0; count < 4; count++) queue.add(make());
      for (let count = 0; count < 4 && round > 0; count++) {
        queue.first();
        queue.shift();
      }
      queue.compact();
      expect(queue.isEmpty).toBe(false);
    }
    expect(queue.waiting).toBe(4);
    expect(queue.length).toBeLessThan(4096);
  });

  it('counts what waits, is given up, rests and comes back', () => {
    const queue = new Queue();
    const calls = Array.from(
      { length: 5000 },
      (_, index) => new Call(1, Shape.Value, 0, `k${index}`, undefined, 0, 0, 0, undefined),
    );
    for (const call of calls) queue.add(call);
    const isKept = (index: number): boolean => index % 3 === 0;
    for (const [index, call] of calls.entries()) {
      if (isKept(index)) continue;
      queue.giveUp(call);
      call.state = SETTLED;
    }
    expect(queue.waiting).toBe(1667);
    const rested = new Call(1, Shape.Value, 0, 'rested', undefined, 0, 0, 0, undefined);
    rested.state = RESTING;
    rested.restUntil = 10;
    queue.addResting(rested);
    expect(queue.wake(9)).toBe(10);
    expect(queue.wake(10)).toBe(Number.POSITIVE_INFINITY);
    const keys: string[] = [];
    for (let call = queue.first(); call !== undefined; call = queue.first()) {
      keys.push(call.key);
      queue.shift();
      queue.compact();
    }
    expect(keys).toEqual([
      ...calls.filter((_, index) => isKept(index)).map(({ key }) => key),
      'rested',
    ]);
    expect(queue.waiting).toBe(0);
    expect(queue.isEmpty).toBe(true);
  });

  it('gives up many that rest without a search for each', () => {
    // Each was looked for among all others: 40,000 stopped the process for half a minute.
    const queue = new Queue();
    const calls = Array.from({ length: 100_000 }, () => {
      const call = new Call(1, Shape.Value, 0, 'k', undefined, 0, 0, 0, undefined);
      call.state = RESTING;
      queue.addResting(call);
      return call;
    });
    const began = performance.now();
    for (const call of calls) {
      queue.giveUp(call);
      call.state = SETTLED;
    }
    expect(performance.now() - began).toBeLessThan(5000);
    expect(queue.waiting).toBe(0);
    expect(queue.wake(1)).toBe(Number.POSITIVE_INFINITY);
    expect(queue.clear()).toEqual([]);
  });
});
