// How many operations a second one process gets through the client: closed loops of callers that each
// await one call after another, as agents do. `node dist/bench/client/throughput.js [--callers 100]
// [--seconds 3] [--url ws://...] [--only put]`; without a URL it starts a node of its own. Add `--cpu-prof` to
// `node` to see where the time goes.

import { parseArgs } from 'node:util';
import { connect, text } from '../../ts/client/index.js';
import { startNode } from '../demo/node-process.js';

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '3' },
    url: { type: 'string' },
    engine: { type: 'string', default: 'auto' },
    only: { type: 'string' },
  },
});
const callers = Number(values.callers);
const durationMs = Number(values.seconds) * 1000;
const KEYS = 10_000;
const VALUE = 'x'.repeat(62);

const node = values.url === undefined ? await startNode(values.engine) : undefined;
try {
  await using rondo = connect({ url: values.url ?? node?.url ?? '' });
  const { kv } = rondo;
  const strings = kv.as(text);
  const { engine, transport } = await rondo.ready();
  console.log(`${callers} callers, 64-byte JSON values, engine ${engine}, transport ${transport}`);
  const keys = Array.from({ length: KEYS }, (_, index) => `bench/${index}`);
  await kv.putMany(keys.map((key) => [key, VALUE] as const));

  await measure('get', (key) => kv.get(key));
  await measure('get text', (key) => strings.get(key));
  await measure('put', (key) => kv.put(key, VALUE));
  await measure('increment', (key) => kv.increment(`count/${key}`));

  async function measure(name: string, call: (key: string) => Promise<unknown>): Promise<void> {
    if (values.only !== undefined && values.only !== name) return;
    await loops(call, durationMs / 3);
    const began = performance.now();
    const count = await loops(call, durationMs);
    const seconds = (performance.now() - began) / 1000;
    console.log(
      `${name.padEnd(10)} ${Math.round(count / seconds).toLocaleString('en')} operations/s`,
    );
  }

  async function loops(call: (key: string) => Promise<unknown>, ms: number): Promise<number> {
    const end = performance.now() + ms;
    let count = 0;
    let isOver = false;
    const caller = async (offset: number): Promise<void> => {
      for (let at = offset; !isOver; at = (at + 7919) % KEYS) {
        await call(keys[at] as string);
        count++;
        if (offset === 0) isOver = performance.now() >= end;
      }
    };
    await Promise.all(Array.from({ length: callers }, (_, index) => caller(index)));
    return count;
  }
} finally {
  await node?.stop();
}
