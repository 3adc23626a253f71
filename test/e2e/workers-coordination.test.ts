// Sessions, locks, watches and scans that touch several workers: everything is freed exactly once however a session
// ends and whichever worker dies meanwhile, nothing is missed, and circles are found.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type ConnectOptions,
  connect,
  type PutEvent,
  type Rondo,
  RondoError,
  type Watch,
  type WatchEvent,
} from '../../ts/client/index.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { nativeAbsence } from './client-node.js';
import { eventually, Workers } from './workers-fixture.js';

const WORKERS = 3;
const DEATHS_MAX = 1000;
const SLOW = { timeout: 120_000 };
const cleanups: (() => Promise<unknown> | undefined)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Node {
  readonly workers: Workers;
  client(options?: Partial<ConnectOptions>): Rondo;
  /** A key of each worker that begins so. */
  keys(prefix: string): string[];
  workerOf(key: string): number;
  /** Ends when the worker serves again. */
  kill(worker: number): Promise<void>;
}

async function start(routing: 'auto' | 'single', engine: 'native' | 'ts'): Promise<Node> {
  const dataDir = mkdtempSync(join(tmpdir(), 'rondo-coordination-'));
  cleanups.push(async () => rmSync(dataDir, { recursive: true }));
  const settings = { workers: WORKERS, engine, dataDir, durability: 'sync' };
  const workers = await Workers.start(settings, DEATHS_MAX);
  cleanups.push(() => workers.stop());
  const { owners } = await workers.routing();
  const workerOf = (key: string): number => {
    const bytes = new TextEncoder().encode(key);
    return owners[partitionOfKey(bytes, 0, bytes.length, owners.length)] as number;
  };
  return {
    workers,
    workerOf,
    client(options) {
      const { url } = workers.server;
      const retry = { delayMsMin: 10, delayMsMax: 100 };
      const rondo = connect({ url, routing, retry, timeoutMs: 60_000, ...options });
      cleanups.push(() => rondo.close());
      return rondo;
    },
    keys(prefix) {
      return Array.from({ length: WORKERS }, (_, worker) => {
        for (let at = 0; ; at++) if (workerOf(`${prefix}${at}`) === worker) return `${prefix}${at}`;
      });
    },
    async kill(worker) {
      const before = workers.events('worker_restarted').length;
      workers.server.killWorker(worker, 'throw');
      const isBack = (): boolean => workers.events('worker_restarted').length > before;
      await eventually(isBack, `worker ${worker}`);
    },
  };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof RondoError ? error.code : `no RondoError: ${String(error)}`;
}

/** Puts again until the node has taken it. */
async function putSurely(rondo: Rondo, key: string, value: number): Promise<void> {
  for (;;) {
    try {
      await rondo.kv.put(key, value);
      return;
    } catch (error) {
      if (!(error as RondoError).retryable && !(error as RondoError).maybeApplied) throw error;
    }
  }
}

async function takeUntil<T>(
  watch: Watch<T>,
  isLast: (event: WatchEvent<T>) => boolean,
): Promise<WatchEvent<T>[]> {
  const events: WatchEvent<T>[] = [];
  for (;;) {
    const { value, done } = await watch.next();
    if (done === true) throw new Error('the watch ended');
    events.push(value as WatchEvent<T>);
    if (isLast(value as WatchEvent<T>)) return events;
  }
}

const setups = [
  { routing: 'auto', engine: 'native' },
  { routing: 'single', engine: 'ts' },
] as const;
const able = setups.filter(({ engine }) => engine === 'ts' || nativeAbsence() === undefined);

describe.each(able)('several workers, routing $routing, engine $engine', SLOW, (setup) => {
  const begin = (): Promise<Node> => start(setup.routing, setup.engine);

  it.each(['its end', 'its expiry'])('free what a session holds once, at %s', async (way) => {
    const node = await begin();
    const other = node.client();
    const names = node.keys('lock/');
    const keys = node.keys('e/');
    const watch = other.kv.watch('e/');
    await watch.ready();
    const home = node.client({ session: { ttlMs: way === 'its end' ? 60_000 : 2_000 } });
    for (const name of names) await home.lock(name);
    for (const key of keys) await home.kv.put(key, 1, { ephemeral: true });
    expect(await codeOf(other.lock(names[1] as string, { waitMs: 0 }))).toBe('LOCK_HELD');
    if (way === 'its end') await home.drain();
    else await loseContact(home);
    const taken = await Promise.all(names.map((name) => other.lock(name, { waitMs: 30_000 })));
    expect(taken).toHaveLength(WORKERS);
    for (const key of keys) await expect.poll(() => other.kv.get(key)).toBeUndefined();
    await other.kv.put('e/last', 0);
    const events = await takeUntil(
      watch,
      (event) => event.type === 'put' && event.key === 'e/last',
    );
    const removed = events.flatMap((event) =>
      event.type !== 'put' && 'key' in event ? [event.key] : [],
    );
    expect(removed.toSorted()).toEqual(keys.toSorted());
  });

  it('free it as well where workers die between', async () => {
    const node = await begin();
    const other = node.client();
    const names = node.keys('lock/');
    const keys = node.keys('e/');
    const holder = node.client({ session: { ttlMs: 60_000 } });
    await holder.ready();
    for (const name of names) await holder.lock(name);
    for (const key of keys) await holder.kv.put(key, 1, { ephemeral: true });
    // Each of them is the home or a guest's; what was held is held still, and the session goes on.
    for (let worker = 0; worker < WORKERS; worker++) await node.kill(worker);
    for (const name of names) {
      expect(await codeOf(other.lock(name, { waitMs: 0 }))).toBe('LOCK_HELD');
    }
    for (const key of keys) expect(await other.kv.get(key)).toBe(1);
    // It ends while one of its workers is away: that one frees what it has when it is back.
    const ends = node.kill(node.workerOf(names[0] as string));
    await holder.drain();
    await ends;
    await Promise.all(names.map((name) => other.lock(name, { waitMs: 70_000 })));
    for (const key of keys) await expect.poll(() => other.kv.get(key)).toBeUndefined();
    expect(node.workers.fatal).toEqual([]);
  });

  it('find a circle across workers, and name it', async () => {
    const node = await begin();
    const [left = '', right = ''] = node.keys('circle/');
    const one = node.client();
    const two = node.client();
    const held = await one.lock(left);
    const second = await two.lock(right);
    const waiting = one.lock(right).catch((error: unknown) => error);
    const closing = two.lock(left).catch((error: unknown) => error);
    const refused = (await Promise.race([waiting, closing])) as RondoError;
    expect(refused).toBeInstanceOf(RondoError);
    expect(refused.code).toBe('DEADLOCK');
    expect(refused.message).toContain(left);
    expect(refused.message).toContain(right);
    await Promise.all([held.release(), second.release()]);
    const ends = await Promise.all([waiting, closing]);
    expect(ends.filter((end) => end instanceof RondoError)).toHaveLength(1);
  });

  it('list and scan what all of them have', async () => {
    const node = await begin();
    const rondo = node.client();
    const names = Array.from({ length: 60 }, (_, index) => `all/${String(index).padStart(3, '0')}`);
    await rondo.kv.putMany(names.map((name) => [name, name] as const));
    const seen: string[] = [];
    for await (const { key } of rondo.kv.scan('all/', { pageSize: 7 })) seen.push(key);
    expect(seen).toEqual(names);
    const held = new Map<string, number>();
    for (const name of names) held.set(name, (await rondo.lock(name)).token);
    const listed = new Map<string, number>();
    for await (const { name, token } of rondo.locks('all/')) listed.set(name, token);
    expect(listed).toEqual(held);
  });

  it('tell every change of a prefix once, in order, while they die', async () => {
    const node = await begin();
    const writer = node.client();
    const watch = node.client().kv.watch<number>('w/', { snapshot: false });
    await watch.ready();
    const keys = node.keys('w/');
    const writing = (async () => {
      for (let round = 1; round <= 30; round++) {
        for (const key of keys) await putSurely(writer, key, round);
        if (round % 10 === 5) await node.kill(round % WORKERS);
      }
      await putSurely(writer, 'w/last', 0);
    })();
    const last = new Map<string, PutEvent<number>>();
    const awaited = new Set([...keys, 'w/last']);
    while (awaited.size > 0) {
      const { value } = await watch.next();
      const event = value as WatchEvent<number>;
      expect(event.type).toBe('put');
      if (event.type !== 'put') break;
      const before = last.get(event.key);
      expect(event.previousRevision).toBe(before?.revision ?? 0);
      // Asked again, one that was carried out is the same value under another revision.
      if (before !== undefined) expect([before.value, before.value + 1]).toContain(event.value);
      last.set(event.key, event);
      if (event.key === 'w/last' || event.value === 30) awaited.delete(event.key);
    }
    await writing;
    const resumed = node.client().kv.watch<number>('w/', { resume: watch.token });
    await putSurely(writer, 'w/after', 1);
    const after = await takeUntil(resumed, (event) => event.type === 'put' && event.value === 1);
    expect(after.map((event) => (event.type === 'put' ? event.key : event.type))).toEqual([
      'w/after',
    ]);
  });
});

describe('a session of several workers', SLOW, () => {
  it('is taken over by another client at another worker', async () => {
    const node = await start('auto', 'ts');
    const { workers: routed } = await node.workers.routing();
    const owner = await node.workers.greet(routed[0]?.port, { sessionTtlMs: 60_000, group: 7 });
    const { session, sessionSecret } = owner.welcome;
    const taker = await node.workers.greet(routed[1]?.port, { session, sessionSecret, group: 8 });
    expect(taker.welcome).toMatchObject({ session, sessionResumed: true });
    expect((await owner.client.closed).code).toBe(CLOSE_CODE_BASE + Status.SessionMoved);
  });
});

/** As if its process had stopped: nothing is said any more, and nothing ended. */
async function loseContact(rondo: Rondo): Promise<void> {
  const { router } = rondo as unknown as {
    router: { all(): { connection: { stop(): void } }[]; session: { keepAlive: { stop(): void } } };
  };
  router.session.keepAlive.stop();
  for (const { connection } of router.all()) connection.stop();
}
