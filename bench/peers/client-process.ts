// One process of the client rows: callers that each await one call after another over one connection,
// through the thin client, ioredis with auto-pipelining, or node-redis. Values are texts on all sides,
// and every value that comes back is compared with what was written.

import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { connect, text } from '../../ts/client/index.js';
import type { ClientAnswer, ClientOrder } from './client-protocol.js';

interface Store {
  get(key: string): Promise<string | null | undefined>;
  /** Rejects or gives `false` where the value was not written. */
  put(key: string, value: string): Promise<boolean>;
}

/** Calls of one caller between two timed ones. */
const CALLS_PER_TIMED_CALL = 8;
/** Prime, so that a caller comes by every key. */
const KEY_STRIDE = 7919;
/** Puts of the filling that are on their way at once. */
const FILL_CALLS = 1_000;

let store: Store;
let keys: string[] = [];
let values: string[] = [];

process.once('disconnect', () => process.exit(0));
process.on('message', (order: ClientOrder) => {
  obey(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      process.send?.({ kind: 'failed', message } satisfies ClientAnswer);
    },
  );
});

async function obey(order: ClientOrder): Promise<ClientAnswer> {
  if (order.kind === 'connect') {
    store = await open(order.side, order.address);
    keys = Array.from({ length: order.keys }, (_, index) => `client:${index}`);
    values = keys.map((key) => key.padEnd(order.valueBytes, '.'));
    await fill();
    return { kind: 'connected' };
  }
  const { operation, calls, seconds, warmUpSeconds } = order;
  const call = operation === 'get' ? getChecked : putChecked;
  await callers(calls, warmUpSeconds, call);
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  const latencies = await callers(calls, seconds, call);
  const elapsed = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  latencies.samples.sort((left, right) => left - right);
  const at = (share: number): number => {
    const { samples } = latencies;
    const index = Math.min(samples.length - 1, Math.floor(samples.length * share));
    return (samples[index] ?? 0) * 1000;
  };
  return {
    kind: 'measured',
    operations: latencies.count,
    seconds: elapsed,
    latencyMicros: { p50: at(0.5), p99: at(0.99), p999: at(0.999) },
    cpuSeconds: (user + system) / 1e6,
  };
}

/** Each client as its documentation has it for throughput; a lost connection is an error. */
async function open(side: string, address: string): Promise<Store> {
  const [host = '', port = ''] = address.split(':');
  if (side === 'ioredis') {
    const client = new Redis({
      host,
      port: Number(port),
      enableAutoPipelining: true,
      retryStrategy: () => null,
    });
    client.on('error', fail);
    return {
      get: (key) => client.get(key),
      put: async (key, value) => (await client.set(key, value)) === 'OK',
    };
  }
  if (side === 'node-redis') {
    const client = createClient({ socket: { host, port: Number(port), reconnectStrategy: false } });
    client.on('error', fail);
    await client.connect();
    return {
      get: (key) => client.get(key),
      put: async (key, value) => (await client.set(key, value)) === 'OK',
    };
  }
  const kv = connect({ url: `ws://${address}`, retry: { attempts: 0 } }).kv.as(text);
  return {
    get: (key) => kv.get(key),
    put: async (key, value) => (await kv.put(key, value)).revision > 0,
  };
}

function fail(error: unknown): void {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
}

async function fill(): Promise<void> {
  for (let first = 0; first < keys.length; first += FILL_CALLS) {
    const chunk = keys.slice(first, first + FILL_CALLS);
    await Promise.all(chunk.map((_, index) => putChecked(first + index)));
  }
}

async function getChecked(index: number): Promise<void> {
  const value = await store.get(keys[index] as string);
  if (value !== values[index]) throw new Error(`a wrong value came back for ${keys[index]}`);
}

async function putChecked(index: number): Promise<void> {
  const isDone = await store.put(keys[index] as string, values[index] as string);
  if (!isDone) throw new Error(`${keys[index]} was not written`);
}

async function callers(
  calls: number,
  seconds: number,
  call: (index: number) => Promise<void>,
): Promise<{ count: number; samples: number[] }> {
  const end = performance.now() + seconds * 1000;
  const samples: number[] = [];
  let count = 0;
  let isOver = false;
  const caller = async (start: number): Promise<void> => {
    for (let at = start % keys.length; !isOver; at = (at + KEY_STRIDE) % keys.length) {
      const isTimed = count++ % CALLS_PER_TIMED_CALL === 0;
      const began = isTimed ? performance.now() : 0;
      await call(at);
      if (!isTimed) continue;
      const now = performance.now();
      samples.push(now - began);
      if (now >= end) isOver = true;
    }
  };
  await Promise.all(Array.from({ length: calls }, (_, index) => caller(index * 31)));
  return { count, samples };
}
