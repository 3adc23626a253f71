// `npm run bench:hash`: XXH32 in plain JavaScript against the native one of @node-rs/xxhash, by key
// size, to see from which size a crossing pays. `ts/wire/partition.ts` uses plain JavaScript: below
// the size that this prints, and without a dependency that browsers lack.

import { xxh32 as nativeXxh32 } from '@node-rs/xxhash';
import { Bench } from 'tinybench';
import { xxh32 } from '../../ts/wire/xxh32.js';

const SIZES = [4, 8, 13, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024];
const KEYS = 256;

console.log('bytes   JavaScript       native');
let threshold: number | undefined;
for (const size of SIZES) {
  const keys = Array.from({ length: KEYS }, (_, at) => Buffer.alloc(size, `${at}-user`));
  for (const key of keys) {
    if (xxh32(key, 0, size, 0) !== nativeXxh32(key))
      throw new Error(`hashes of ${size} bytes differ`);
  }
  let sink = 0;
  const bench = new Bench({ time: 150, warmupTime: 50 });
  bench
    .add('js', () => {
      for (const key of keys) sink ^= xxh32(key, 0, size, 0);
    })
    .add('native', () => {
      for (const key of keys) sink ^= nativeXxh32(key);
    });
  bench.runSync();
  const [js, native] = bench.tasks.map(({ result }) =>
    'latency' in result ? (result.latency.p50 * 1e6) / KEYS : Number.NaN,
  );
  if (js === undefined || native === undefined || sink === 0.5) throw new Error('not measured');
  if (native < js && threshold === undefined) threshold = size;
  console.log(
    `${`${size}`.padStart(5)} ${js.toFixed(1).padStart(9)} ns ${native.toFixed(1).padStart(9)} ns`,
  );
}
console.log(
  threshold === undefined
    ? 'JavaScript is the faster one at every size here.'
    : `The native one is the faster from about ${threshold} bytes.`,
);
