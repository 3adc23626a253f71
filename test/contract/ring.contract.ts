// What a ring promises, for each half of the library. A plain reading of the rule, one step at a time, is the
// judge of where partitions go.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plan, Ring, type RingLibrary, type RingMember } from '../../ts/engine/ring.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { xxh32 } from '../../ts/wire/xxh32.js';

const encoder = new TextEncoder();

export interface RingHalf {
  readonly name: string;
  readonly library: RingLibrary;
}

/** Members called n0, n1, ... */
export function plainMembers(count: number, seed = 0): RingMember[] {
  return Array.from({ length: count }, (_, index) => ({ name: `n${index}.${seed}` }));
}

const members = fc.uniqueArray(
  fc.record({
    name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
    weight: fc.integer({ min: 1, max: 5 }),
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 12 },
);
const partitionCounts = fc.integer({ min: 0, max: 9 }).map((power) => 2 ** power);

export function describeRing({ name, library }: RingHalf): void {
  const ringOf = (list: readonly RingMember[], partitions: number) =>
    new Ring(list, partitions, library);

  describe(`ring: ${name}`, () => {
    it('places each partition as the rule says', () => {
      fc.assert(
        fc.property(members, partitionCounts, (list, partitions) => {
          const ring = ringOf(list, partitions);
          expect(namesOf(ring)).toEqual(placeByRule(list, partitions));
        }),
      );
    });

    it('places each partition as the rule says where there is hardly room', () => {
      // Searches for room then cross the same places again and again.
      fc.assert(
        fc.property(
          fc.integer({ min: 2, max: 6 }),
          fc.nat(1000),
          fc.nat(3),
          (count, seed, spare) => {
            const list = plainMembers(count, seed).map((member, index) => {
              return {
                ...member,
                capacity: index === 0 ? 4096 : Math.floor(4096 / count / 8) + spare,
              };
            });
            expect(namesOf(ringOf(list, 4096))).toEqual(placeByRule(list, 4096));
          },
        ),
        { numRuns: 20 },
      );
    });

    it('does not depend on the order of the members', () => {
      fc.assert(
        fc.property(members, fc.infiniteStream(fc.nat()), (list, order) => {
          const shuffled = list
            .map((member) => ({ member, at: order.next().value as number }))
            .sort((one, other) => one.at - other.at)
            .map(({ member }) => member);
          expect(namesOf(ringOf(shuffled, 64))).toEqual(namesOf(ringOf(list, 64)));
        }),
      );
    });

    it('gives nobody more than 5/4 of the fair share, rounded up', () => {
      fc.assert(
        fc.property(members, partitionCounts, (list, partitions) => {
          const ring = ringOf(list, partitions);
          const total = list.reduce((sum, { weight }) => sum + weight, 0);
          for (const [index, load] of ring.loads().entries()) {
            const { weight } = list.find((member) => member.name === ring.names[index]) ?? {};
            const fair = (partitions * (weight as number)) / total;
            expect(load).toBeLessThanOrEqual(Math.ceil(1.25 * fair));
          }
        }),
      );
    });

    it('gives members their share by weight', () => {
      const list = [{ name: 'light' }, { name: 'heavy', weight: 3 }];
      const ring = ringOf(list, 4096);
      const [heavy, light] = ring.loads();
      expect((heavy as number) / (light as number)).toBeGreaterThan(2);
      expect((heavy as number) / (light as number)).toBeLessThan(4);
    });

    it('passes on what has no room, up to the very last place', () => {
      const list = plainMembers(8).map((member) => ({ ...member, capacity: 8 }));
      expect([...ringOf(list, 64).loads()]).toEqual(new Array(8).fill(8));
      const one = [{ name: 'a', capacity: 0 }, { name: 'b' }];
      expect(new Set(namesOf(ringOf(one.map(bigEnough), 64)))).toEqual(new Set(['b']));
    });

    it.each([
      [1024, 10],
      [4096, 50],
      [64, 4],
      [64, 10],
    ])('of %i partitions moves about 1/N of them where one more joins %i', (partitions, count) => {
      let moved = 0;
      const seeds = 100;
      for (let seed = 0; seed < seeds; seed++) {
        const old = ringOf(plainMembers(count, seed), partitions);
        const next = ringOf(plainMembers(count + 1, seed), partitions);
        moved += plan(old, next).length;
      }
      expect(moved / seeds / partitions).toBeLessThanOrEqual(1.5 / count);
      // It takes up its own share, too.
      expect(moved / seeds / partitions).toBeGreaterThan(0.5 / (count + 1));
    });

    it('looks up what the partition of a key says, one by one and in batches', () => {
      const ring = ringOf(plainMembers(7), 256);
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 50 }), (keys) => {
          const into = new Uint16Array(keys.length);
          ring.lookupMany(...joined(keys), into);
          const expected = keys.map((key) => {
            return ring.owners[partitionOfKey(key, 0, key.length, 256)];
          });
          expect([...into]).toEqual(expected);
          expect(keys.map((key) => ring.lookup(key))).toEqual(expected);
        }),
      );
      const tagged = ['{run}a', 'x{run}', '{run}'].map((key) => ring.lookup(encoder.encode(key)));
      expect(new Set(tagged).size).toBe(1);
    });

    it('places 4,096 partitions on 1,000 members', () => {
      const ring = ringOf(plainMembers(1000), 4096);
      expect(Math.max(...ring.loads())).toBeLessThanOrEqual(Math.ceil(1.25 * 4.096));
    });
  });
}

function bigEnough(member: RingMember): RingMember {
  return member.capacity === 0 ? member : { ...member, capacity: 64 };
}

function namesOf(ring: Ring): string[] {
  return Array.from(ring.owners, (owner) => ring.names[owner] as string);
}

function joined(keys: readonly Uint8Array[]): [Uint8Array, Uint32Array] {
  let end = 0;
  const ends = Uint32Array.from(keys, (key) => {
    end += key.length;
    return end;
  });
  const all = new Uint8Array(end);
  for (const [index, key] of keys.entries()) all.set(key, (ends[index] as number) - key.length);
  return [all, ends];
}

/** The rule, read aloud. */
function placeByRule(list: readonly RingMember[], partitions: number): string[] {
  const total = list.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const room = new Map(
    list.map(({ name, weight = 1, capacity }) => {
      return [name, capacity ?? Math.ceil((1.25 * partitions * weight) / total)];
    }),
  );
  const points = list.flatMap(({ name, weight = 1 }) =>
    Array.from({ length: 64 * weight }, (_, number) => {
      const text = encoder.encode(`${name}#${number}`);
      return { name, position: xxh32(text, 0, text.length, 0), bytes: Buffer.from(name) };
    }),
  );
  points.sort((a, b) => a.position - b.position || Buffer.compare(a.bytes, b.bytes));
  const count = points.length;
  return Array.from({ length: partitions }, (_, partition) => {
    const start = (partition * 2 ** 32) / partitions;
    const first = points.findIndex(({ position }) => position >= start);
    let at = Math.max(first, 0);
    while (room.get(points[at]?.name as string) === 0) at = (at + 1) % count;
    const name = points[at]?.name as string;
    room.set(name, (room.get(name) as number) - 1);
    return name;
  });
}
