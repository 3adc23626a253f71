// `npm run bench:ring`: the ring in both engines' libraries: looking up keys in batches, and placing 4,096
// partitions on 1,000 members. Rounds alternate between the libraries; medians count.

import { chooseEngine } from '../../ts/engine/load.js';
import { nativeRing } from '../../ts/engine/native-ring.js';
import { Ring, type RingLibrary, tsRing } from '../../ts/engine/ring.js';

const KEYS = 8192;
const KEY_BYTES = 16;
const ROUNDS = 15;
const LOOKUPS_PER_ROUND = 50;

const { addon, reason } = chooseEngine('auto');
const libraries: [string, RingLibrary][] = [['ts', tsRing]];
if (addon !== undefined) libraries.unshift(['native', nativeRing(addon)]);
else console.log(`native: ${reason}`);

const members = Array.from({ length: 1000 }, (_, index) => ({ name: `node-${index}` }));
const keys = new Uint8Array(KEYS * KEY_BYTES);
const ends = Uint32Array.from({ length: KEYS }, (_, index) => (index + 1) * KEY_BYTES);
for (let index = 0; index < KEYS; index++) {
  const text = `agent/${index}`.padEnd(KEY_BYTES, '.');
  keys.set(new TextEncoder().encode(text), index * KEY_BYTES);
}

const figures = libraries.map(([name, library]) => ({
  name,
  ring: new Ring(members, 4096, library),
  library,
  lookups: [] as number[],
  placements: [] as number[],
}));
const into = new Uint16Array(KEYS);
for (let round = -3; round < ROUNDS; round++) {
  for (const { ring, library, lookups, placements } of figures) {
    let from = performance.now();
    for (let count = 0; count < LOOKUPS_PER_ROUND; count++) ring.lookupMany(keys, ends, into);
    const lookupNs = ((performance.now() - from) * 1e6) / (LOOKUPS_PER_ROUND * KEYS);
    from = performance.now();
    new Ring(members, 4096, library);
    const placementMs = performance.now() - from;
    // The first rounds warm up.
    if (round < 0) continue;
    lookups.push(lookupNs);
    placements.push(placementMs);
  }
}

console.log(`${KEY_BYTES}-byte keys in batches of ${KEYS}; 4,096 partitions on 1,000 members`);
for (const { name, lookups, placements } of figures) {
  const lookup = median(lookups).toFixed(1).padStart(7);
  const placement = median(placements).toFixed(1).padStart(7);
  console.log(`${name.padEnd(8)} lookup ${lookup} ns a key   placement ${placement} ms`);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}
