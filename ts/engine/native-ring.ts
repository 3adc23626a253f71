// The Rust half of the ring behind the contract of `ring.ts`.

import type { Membership, RingLibrary } from './ring.js';

/** What the addon exports for it. */
export interface NativeRingAddon {
  ringPlace(
    names: Uint8Array,
    ends: Uint32Array,
    members: Uint32Array,
    partitions: number,
  ): Uint16Array;
  ringLookupMany(owners: Uint16Array, keys: Uint8Array, ends: Uint32Array, into: Uint16Array): void;
}

export function nativeRing(addon: NativeRingAddon): RingLibrary {
  return {
    place(members, partitions) {
      const { names, ends } = joinNames(members);
      const pairs = new Uint32Array(ends.length * 2);
      for (const [index, weight] of members.weights.entries()) {
        pairs[index * 2] = weight;
        pairs[index * 2 + 1] = members.capacities[index] as number;
      }
      return addon.ringPlace(names, ends, pairs, partitions);
    },
    lookupMany: (owners, keys, ends, into) => addon.ringLookupMany(owners, keys, ends, into),
  };
}

function joinNames({ encoded }: Membership): { names: Uint8Array; ends: Uint32Array } {
  const ends = new Uint32Array(encoded.length);
  let length = 0;
  for (const [index, name] of encoded.entries()) {
    length += name.length;
    ends[index] = length;
  }
  const names = new Uint8Array(length);
  for (const [index, name] of encoded.entries()) {
    names.set(name, (ends[index] as number) - name.length);
  }
  return { names, ends };
}
