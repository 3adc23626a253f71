// The ring's contract, for the TypeScript half and, where there is an addon, the Rust one; and what both share.

import { describe, expect, it } from 'vitest';
import { chooseEngine } from '../../ts/engine/load.js';
import { nativeRing } from '../../ts/engine/native-ring.js';
import { placePartitions, plan, Ring, RingError, tsRing } from '../../ts/engine/ring.js';
import { describeRing, plainMembers } from './ring.contract.js';

describeRing({ name: 'ts', library: tsRing });
const { addon, reason } = chooseEngine('auto');
if (addon !== undefined) describeRing({ name: 'native', library: nativeRing(addon) });
else describe('ring: native', () => it.skip(reason));

describe('ring', () => {
  it.skipIf(addon === undefined)('is the same in both halves, at every size', () => {
    const native = nativeRing(addon as NonNullable<typeof addon>);
    for (const [members, partitions] of [
      [1, 1],
      [3, 4],
      [10, 64],
      [50, 4096],
      [1000, 4096],
      [2000, 65_536],
    ] as const) {
      const list = plainMembers(members).map((member, index) => ({
        ...member,
        weight: 1 + (index % 3),
      }));
      const [one, other] = [tsRing, native].map((half) => new Ring(list, partitions, half));
      expect(one?.owners).toEqual(other?.owners);
    }
  });

  it.each([
    ['RING_EMPTY', [], 64],
    ['RING_DUPLICATE', [{ name: 'a' }, { name: 'b' }, { name: 'a' }], 64],
    ['RING_MEMBER_INVALID', [{ name: '' }], 64],
    ['RING_MEMBER_INVALID', [{ name: 'x'.repeat(256) }], 64],
    ['RING_MEMBER_INVALID', [{ name: '\ud800' }], 64],
    ['RING_MEMBER_INVALID', [{ name: 'a', weight: 0 }], 64],
    ['RING_MEMBER_INVALID', [{ name: 'a', weight: 1.5 }], 64],
    ['RING_MEMBER_INVALID', [{ name: 'a', capacity: -1 }], 64],
    ['RING_PARTITIONS', [{ name: 'a' }], 0],
    ['RING_PARTITIONS', [{ name: 'a' }], 48],
    ['RING_PARTITIONS', [{ name: 'a' }], 131_072],
    ['RING_FULL', [{ name: 'a', capacity: 3 }], 4],
    ['RING_TOO_LARGE', plainMembers(132).map((member) => ({ ...member, weight: 1000 })), 4],
  ] as const)('refuses with %s', (code, list, partitions) => {
    expect(() => new Ring(list, partitions)).toThrow(RingError);
    expect(() => new Ring(list, partitions)).toThrow(expect.objectContaining({ code }));
  });

  it('plans the moves from one ring to the next', () => {
    const old = new Ring([{ name: 'a' }, { name: 'b' }], 8);
    const next = new Ring([{ name: 'a' }, { name: 'b' }, { name: 'c' }], 8);
    const owners = Array.from(old.owners, (owner) => old.names[owner] as string);
    for (const { partition, from, to } of plan(old, next)) {
      expect(owners[partition]).toBe(from);
      owners[partition] = to;
    }
    expect(owners).toEqual(Array.from(next.owners, (owner) => next.names[owner]));
    expect(plan(old, old)).toEqual([]);
    expect(() => plan(old, new Ring([{ name: 'a' }], 16))).toThrow(RingError);
  });

  it('knows workers by their number, also from ten on', () => {
    expect([...placePartitions(64, 1)]).toEqual(new Array(64).fill(0));
    const owners = placePartitions(1024, 12);
    expect(new Set(owners)).toEqual(new Set(Array.from({ length: 12 }, (_, worker) => worker)));
  });

  it('is set in stone: where partitions of a data directory are', () => {
    // Another placement would redistribute every data directory there is.
    const text = (workers: number) => [...placePartitions(32, workers)].join('');
    expect([text(2), text(3), text(4)]).toEqual(PLACEMENTS);
  });
});

const PLACEMENTS = [
  '00001011110110100100100100111111',
  '02001011120110100120102120221221',
  '02001011120113130120102120233223',
];
