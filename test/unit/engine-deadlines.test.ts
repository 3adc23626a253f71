// The heap of deadlines: the order of equal ones, and deadlines that move.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Deadlines, NOWHERE, Sequence, type Timed } from '../../ts/engine/deadlines.js';

class Item implements Timed {
  standsAt = 0;
  sequence = 0;
  place = NOWHERE;

  constructor(
    readonly name: number,
    public dueAt: number,
  ) {}
}

/** What is due up to `now`, in order; each is taken out. */
function due(deadlines: Deadlines<Item>, now: number): number[] {
  const names: number[] = [];
  for (let item = deadlines.firstDue(now); item !== undefined; item = deadlines.firstDue(now)) {
    names.push(item.name);
    deadlines.remove(item);
  }
  return names;
}

function heap(): Deadlines<Item> {
  return new Deadlines<Item>(new Sequence());
}

it('orders equal deadlines as they were set, and one that has moved behind those', () => {
  const deadlines = heap();
  const items = [30, 20, 30, 20, 31].map((dueAt, name) => new Item(name, dueAt));
  for (const item of items) deadlines.set(item);
  (items[1] as Item).dueAt = 30;
  expect(due(deadlines, 19)).toEqual([]);
  expect(due(deadlines, 30)).toEqual([3, 0, 2, 1]);
  expect(due(deadlines, 31)).toEqual([4]);
});

it('looks a deadline that has moved on up when its turn comes, and moves a nearer one at once', () => {
  const deadlines = heap();
  const [later, nearer, never] = [new Item(0, 10), new Item(1, 50), new Item(2, 0)];
  for (const item of [later, nearer, never]) deadlines.set(item);
  later.dueAt = 40;
  nearer.dueAt = 20;
  deadlines.set(later);
  deadlines.set(nearer);
  expect(deadlines.firstAt).toBe(10);
  expect(due(deadlines, 30)).toEqual([1]);
  expect(deadlines.firstAt).toBe(40);
  later.dueAt = 0;
  expect(due(deadlines, 100)).toEqual([]);
  expect(deadlines.firstAt).toBe(Infinity);
});

it('gives back what was set and not removed, in order', () => {
  const step = fc.record({ dueAt: fc.integer({ min: 1, max: 20 }), isRemoved: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const deadlines = heap();
      const items = steps.map(({ dueAt }, name) => new Item(name, dueAt));
      for (const item of items) deadlines.set(item);
      for (const item of items) if (steps[item.name]?.isRemoved) deadlines.remove(item);
      const kept = items.filter(({ name }) => !steps[name]?.isRemoved);
      // The sort is stable: equal ones stay in the order in which they were set.
      const sorted = kept.sort((left, right) => left.dueAt - right.dueAt).map(({ name }) => name);
      expect(due(deadlines, 20)).toEqual(sorted);
    }),
  );
});
