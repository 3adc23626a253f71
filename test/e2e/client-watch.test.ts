// Watches and replicas against real nodes: nothing is lost or told twice over kills and restarts, and what was
// lost for good is said.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import {
  connect,
  type PutEvent,
  type Rondo,
  type RondoError,
  type Watch,
  type WatchEvent,
} from '../../ts/client/index.js';
import { freePort, startTestNode, type TestNode } from './client-node.js';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function node(...arguments_: string[]): Promise<TestNode> {
  const started = await startTestNode(...arguments_);
  cleanups.push(() => started.stop());
  return started;
}

function client(url: string): Rondo {
  const rondo = connect({ url, retry: { delayMsMin: 10, delayMsMax: 100 } });
  cleanups.push(() => rondo.close());
  return rondo;
}

function folder(): string {
  const path = mkdtempSync(`${tmpdir()}/rondo-watch-`);
  cleanups.push(() => rmSync(path, { recursive: true }));
  return path;
}

/** Takes events until one is `last`. */
async function takeUntil<T>(
  watch: Watch<T>,
  last: (event: WatchEvent<T>) => boolean,
): Promise<WatchEvent<T>[]> {
  const events: WatchEvent<T>[] = [];
  for (;;) {
    const { value, done } = await watch.next();
    if (done === true) throw new Error('the watch ended');
    events.push(value as WatchEvent<T>);
    if (last(value as WatchEvent<T>)) return events;
  }
}

const isPut = <T>(event: WatchEvent<T>): event is PutEvent<T> => event.type === 'put';
const isSynced = (event: WatchEvent<unknown>): boolean => event.type === 'synced';

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

describe('a watch of a durable node', () => {
  it('tells every change once, in order, over two kills of the node', async () => {
    const place = ['--data-dir', folder(), '--port', String(await freePort())];
    let running = await node(...place);
    const writer = client(running.url);
    const watch = client(running.url).kv.watch<number>('n/', { snapshot: false });
    await watch.ready();
    const WRITES = 60;
    const writing = (async () => {
      for (let i = 1; i <= WRITES; i++) {
        await putSurely(writer, `n/${i % 3}`, i);
        if (i % 20 === 0 && i < WRITES) {
          await running.kill();
          running = await node(...place);
        }
      }
    })();
    const events = await takeUntil(watch, (event) => isPut(event) && event.value === WRITES);
    await writing;

    expect(new Set(events.map(({ type }) => type))).toEqual(new Set(['put']));
    const puts = events.filter(isPut);
    // A write whose answer was lost may have been made twice, but its events are of two revisions.
    const values = puts.map(({ value }) => value).filter((value, at, all) => value !== all[at - 1]);
    expect(values).toEqual(Array.from({ length: WRITES }, (_, index) => index + 1));
    const newest = new Map<string, number>();
    for (const { key, revision, previousRevision } of puts) {
      expect(previousRevision).toBe(newest.get(key) ?? 0);
      newest.set(key, revision);
    }
    const found = new Map<string, number>();
    for await (const { key, revision } of writer.kv.scan('n/')) found.set(key, revision);
    expect(newest).toEqual(found);
  });

  it('goes on in another client by the token of any event', async () => {
    const { url } = await node('--data-dir', folder());
    const rondo = client(url);
    await rondo.kv.put('k/0', 0);
    const watch = rondo.kv.watch<number>('k/');
    await takeUntil(watch, isSynced);
    for (let i = 1; i <= 5; i++) await rondo.kv.put(`k/${i}`, i);
    const events = await takeUntil(watch, (event) => isPut(event) && event.key === 'k/5');
    for (const [index, { token }] of events.entries()) {
      const resumed = client(url).kv.watch<number>('k/', { resume: token });
      await rondo.kv.put('k/last', index);
      const after = await takeUntil(
        resumed,
        (event) => isPut(event) && event.key === 'k/last' && event.value === index,
      );
      const keys = after.map((event) => (isPut(event) ? event.key : event.type));
      expect(keys.filter((key) => key !== 'k/last')).toEqual(
        events.slice(index + 1).map((event) => (isPut(event) ? event.key : event.type)),
      );
    }
  });

  it('goes on by a token from before a restart, with what was written after it', async () => {
    // What the start reads from the log is history, too.
    const place = ['--data-dir', folder()];
    const first = await node(...place);
    const before = client(first.url);
    const watch = before.kv.watch<number>('t/');
    await takeUntil(watch, isSynced);
    const { token } = watch;
    for (let i = 1; i <= 3; i++) await before.kv.put(`t/${i}`, i);
    await before.close();
    await first.kill();
    const second = await node(...place);
    const resumed = client(second.url).kv.watch<number>('t/', { resume: token });
    const events = await takeUntil(resumed, (event) => isPut(event) && event.value === 3);
    expect(events.map((event) => (isPut(event) ? event.key : event.type))).toEqual([
      't/1',
      't/2',
      't/3',
    ]);
  });

  it('begins behind a revision of its key', async () => {
    const { url } = await node();
    const { kv } = client(url);
    const { revision } = await kv.put('r', 1);
    await kv.put('r', 2);
    await kv.put('r/other', 3);
    await kv.delete('r');
    const watch = kv.watch('r', { exact: true, fromRevision: revision });
    const events = await takeUntil(watch, (event) => event.type === 'delete');
    expect(events.map((event) => (isPut(event) ? event.value : event.type))).toEqual([2, 'delete']);
  });
});

describe('a watch of a node without a log', () => {
  it('hears `compacted`, and then what there is, when the node was started anew', async () => {
    const place = ['--port', String(await freePort())];
    const first = await node(...place);
    const rondo = client(first.url);
    await rondo.kv.put('p/old', 1);
    const watch = rondo.kv.watch('p/');
    const replica = rondo.replica('p/');
    await takeUntil(watch, isSynced);
    await replica.ready();
    await first.kill();
    await node(...place);
    const events = await takeUntil(watch, isSynced);
    expect(events.map(({ type }) => type)).toEqual(['compacted', 'synced']);
    await rondo.kv.put('p/new', 2);
    await replica.caughtUp({ key: 'p/new', ...(await rondo.kv.put('p/new', 3)) });
    expect(new Map(replica)).toEqual(new Map([['p/new', 3]]));
  });
});

describe('a replica', () => {
  it('shows a write as soon as it has caught up with it, and in the end the state of the node', async () => {
    const { url } = await node();
    const writer = client(url);
    const replica = client(url).replica<number>('s/');
    await replica.ready();
    for (let i = 0; i < 200; i++) {
      const key = `s/${i % 17}`;
      const { revision } = await writer.kv.put(key, i);
      await replica.caughtUp({ key, revision });
      expect(replica.get(key)).toBe(i);
    }
    await writer.kv.delete('s/0');
    await writer.kv.put('s/expiring', 1, { ttlMs: 20 });
    const { revision } = await writer.kv.put('s/1', 1000);
    await replica.caughtUp({ key: 's/1', revision });
    expect(replica.has('s/0')).toBe(false);
    const end = performance.now() + 5000;
    while (replica.has('s/expiring') && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const state = new Map<string, number>();
    for await (const { key, value } of writer.kv.scan<number>('s/')) state.set(key, value);
    expect(new Map(replica)).toEqual(state);
    expect(state.size).toBe(16);
  });

  it('catches up with a write that was undone before its snapshot', async () => {
    const { url } = await node();
    const rondo = client(url);
    const { revision } = await rondo.kv.put('u/gone', 1);
    await rondo.kv.delete('u/gone');
    const replica = rondo.replica('u/');
    await replica.caughtUp({ key: 'u/gone', revision }, { timeoutMs: 20_000 });
    expect(replica.has('u/gone')).toBe(false);
  });
});

describe('a client with many watches', () => {
  it('has them all again after its node was killed', async () => {
    const place = ['--data-dir', folder(), '--port', String(await freePort())];
    const first = await node(...place);
    const rondo = client(first.url);
    const WATCHES = 500;
    const watches = Array.from({ length: WATCHES }, (_, index) =>
      rondo.kv.watch(`m/${index}`, { exact: true, snapshot: false }),
    );
    await Promise.all(watches.map((watch) => watch.ready()));
    await first.kill();
    const second = await node(...place);
    const writer = client(second.url);
    await Promise.all(watches.map((_, index) => putSurely(writer, `m/${index}`, index)));
    const events = await Promise.all(watches.map((watch) => watch.next()));
    expect(events.map(({ value }) => (value as PutEvent<unknown>).value)).toEqual(
      watches.map((_, index) => index),
    );
  });
});
