// What touches every worker of a node: scans, lists of locks, watches and replicas, asked of each worker and told
// as if there were one.

import { describe, expect, it } from 'vitest';
import type { Rondo, WatchEvent } from '../../ts/client/index.js';
import { placesOf } from '../../ts/client/watch-token.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_WATCH_PREFIX,
  START_MASK,
  START_POSITION,
  START_SNAPSHOT,
} from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import { answerPage, Cluster } from './client-cluster.js';
import { client, delay, until, verdict } from './client-harness.js';
import type { Peer, SentOperation } from './client-scripted-node.js';
import { brief, positionIn, pushFrame, put, type Said, synced, take } from './client-watch-node.js';

const { Scan, ListLocks, Watch, Unwatch } = OperationCode;

const SEED = Number(process.env.RONDO_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const byBytes = (one: string, other: string): number =>
  Buffer.compare(Buffer.from(one), Buffer.from(other));

/** Answers scans at each worker from its share of the keys, also for workers that are asked over another. */
function serve(cluster: Cluster, keys: readonly string[], pageMax?: () => number): void {
  for (const node of cluster.workers) {
    node.script = (peer, operations) => {
      for (const operation of operations) {
        const { code, ttlMs, key } = operation;
        if (code !== Scan && code !== ListLocks) {
          peer.confirm([operation]);
          continue;
        }
        const asked = ttlMs > 0 ? ttlMs - 1 : cluster.ownerOf(key);
        const share = keys.filter((each) => cluster.ownerOf(each) === asked);
        answerPage(peer, operation, share, pageMax?.());
      }
    };
  }
}

async function keysOf(entries: AsyncIterable<{ readonly key: string }>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of entries) keys.push(key);
  return keys;
}

describe('a scan of several workers', () => {
  it(`is in the order of one, whatever the pages, with seed ${SEED}`, async () => {
    const random = randomOf(SEED);
    const letters = ['a', 'b', '/', '{', '}', 'é', '\uffff', '😀', '\ue000'];
    const pick = (): string => letters[Math.floor(random() * letters.length)] as string;
    for (let round = 0; round < 6; round++) {
      const count = 2 + Math.floor(random() * 3);
      const cluster = await Cluster.start(count);
      const unique = new Set<string>();
      const size = Math.floor(random() * 200);
      while (unique.size < size)
        unique.add(`k${pick()}${pick()}${pick()}${Math.floor(random() * 9)}`);
      const keys = [...unique].sort(byBytes);
      serve(cluster, keys, () => 1 + Math.floor(random() * 20));
      const routing = random() < 0.5 ? 'single' : 'auto';
      const rondo = client(cluster.url, { routing });
      const pageSize = 1 + Math.floor(random() * 30);
      expect(await keysOf(rondo.kv.scan('k', { pageSize }))).toEqual(keys);
      const limit = 1 + Math.floor(random() * 50);
      expect(await keysOf(rondo.kv.scan('k', { limit, pageSize }))).toEqual(keys.slice(0, limit));

      const paged: string[] = [];
      let cursor: Uint8Array | undefined;
      do {
        const page = await rondo.kv.scanPage('k', { limit: pageSize, cursor });
        expect(page.entries.length).toBeLessThanOrEqual(pageSize);
        paged.push(...page.entries.map(({ key }) => key));
        cursor = page.cursor;
      } while (cursor !== undefined);
      expect(paged).toEqual(keys);
    }
  });

  it('names the worker, and is one of it alone where a tag says whose the keys are', async () => {
    const cluster = await Cluster.start(3);
    serve(cluster, []);
    const rondo = client(cluster.url);
    await rondo.ready();
    expect(await keysOf(rondo.kv.scan('p/'))).toEqual([]);
    for (const index of [0, 1, 2]) {
      expect(cluster.operationsAt(index).map(({ ttlMs }) => ttlMs)).toEqual([index + 1]);
    }
    expect(await keysOf(rondo.kv.scan('{t}/'))).toEqual([]);
    const owner = cluster.ownerOf('{t}');
    for (const index of [0, 1, 2]) {
      expect(cluster.operationsAt(index)).toHaveLength(index === owner ? 2 : 1);
    }
  });

  it('fails where one of them does', async () => {
    const cluster = await Cluster.start(2);
    serve(cluster, ['a', 'b']);
    const rondo = client(cluster.url);
    await rondo.ready();
    cluster.worker(1).script = (peer, operations) => peer.status(operations, Status.Internal);
    expect(await verdict(keysOf(rondo.kv.scan()))).toMatchObject({ code: 'INTERNAL' });
    expect(await verdict(rondo.kv.scanPage(''))).toMatchObject({ code: 'INTERNAL' });
  });

  it('is waited for by a drain', async () => {
    const cluster = await Cluster.start(2);
    serve(cluster, ['a', 'b', 'c']);
    const rondo = client(cluster.url);
    const page = rondo.kv.scanPage('');
    await rondo.drain();
    expect((await page).entries.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
  });
});

describe('a list of locks of several workers', () => {
  it('is in the order of names', async () => {
    const cluster = await Cluster.start(3);
    const names = Array.from({ length: 40 }, (_, index) => `lock/${index}`).sort(byBytes);
    for (const node of cluster.workers) {
      node.script = (peer, operations) => {
        for (const { id, ttlMs } of operations) {
          const share = names.filter((name) => cluster.ownerOf(name) === ttlMs - 1);
          peer.reply((writer) => {
            for (const name of share)
              writer.entry(id, 1, Buffer.from(name), new Uint8Array(16), 5, 0);
            writer.closing(id, 0, new Uint8Array(0), share.length);
          });
        }
      };
    }
    const rondo = client(cluster.url);
    await rondo.ready();
    const listed: string[] = [];
    for await (const { name } of rondo.locks('lock/')) listed.push(name);
    expect(listed).toEqual(names);
  });
});

interface Asked extends SentOperation {
  readonly peer: Peer;
}

/** A cluster whose workers have watches, by worker. */
async function watched(count = 2): Promise<[Cluster, Asked[][], SentOperation[]]> {
  const cluster = await Cluster.start(count);
  const asked: Asked[][] = cluster.workers.map(() => []);
  const left: SentOperation[] = [];
  for (const node of cluster.workers) {
    node.script = (peer, operations) => {
      for (const operation of operations) {
        const { code, ttlMs, key, flags } = operation;
        if (code === Unwatch) left.push(operation);
        if (code !== Watch) {
          peer.confirm([operation]);
          continue;
        }
        const isPrefix = (flags & FLAG_WATCH_PREFIX) !== 0;
        const worker = isPrefix && ttlMs > 0 ? ttlMs - 1 : cluster.ownerOf(key);
        asked[worker]?.push({ ...operation, peer });
        peer.status([operation], Status.Ok, 10);
      }
    };
  }
  return [cluster, asked, left];
}

function push(asked: Asked | undefined, ...events: Said[]): void {
  asked?.peer.socket.send(pushFrame(asked.id, events));
}

const newest = (asked: Asked[][], worker: number): Asked | undefined => asked[worker]?.at(-1);
const nodesIn = (token: string | undefined): unknown =>
  placesOf(token ?? '')?.map(({ node }) => node);
const positionsIn = (token: string | undefined): unknown =>
  placesOf(token ?? '')?.map(({ position }) => position);

async function ready(cluster: Cluster): Promise<Rondo> {
  const rondo = client(cluster.url, { session: false });
  await rondo.ready();
  return rondo;
}

describe('a watch of several workers', () => {
  it('is synced when all are, and has a place at each', async () => {
    const [cluster, asked] = await watched();
    const rondo = await ready(cluster);
    const watch = rondo.kv.watch('');
    await watch.ready();
    const [a, b] = [cluster.keyOf(0), cluster.keyOf(1)];
    push(newest(asked, 0), put(a, 1), synced(20));
    await until(() => asked[1]?.length === 1);
    const [earliest] = await take(watch, 1);
    expect(watch.token).toBeUndefined();
    push(newest(asked, 1), put(b, 2), synced(30));
    push(newest(asked, 1), put(b, 3, 31));
    const events = [earliest as WatchEvent<unknown>, ...(await take(watch, 3))];
    expect(brief(events).sort()).toEqual(
      [`put ${a}=1`, `put ${b}=2`, `put ${b}=3`, 'synced'].sort(),
    );
    expect(brief(events)[3]).toBe(`put ${b}=3`);
    expect(events.slice(0, 2).map(({ token }) => token)).toEqual([undefined, undefined]);
    expect(nodesIn(events[2]?.token)).toEqual([100, 101]);
    expect(positionsIn(events[2]?.token)).toEqual([20, 30]);
    expect(positionsIn(events[3]?.token)).toEqual([20, 31]);
    push(newest(asked, 0), put(a, 5, 21), { kind: EventKind.Gap, position: 25 });
    const more = await take(watch, 2);
    expect(brief(more)).toEqual([`put ${a}=5`, 'gap']);
    expect(positionsIn(more[1]?.token)).toEqual([25, 31]);
    expect(watch.token).toBe(more[1]?.token);
  });

  it('moves on with the heartbeats of each worker, and of no other', async () => {
    const [cluster, asked] = await watched();
    const rondo = await ready(cluster);
    const watch = rondo.kv.watch('', { snapshot: false });
    await watch.ready();
    expect(positionsIn(watch.token)).toEqual([10, 10]);
    expect(asked.map((each) => each.length)).toEqual([1, 1]);
    cluster.push(1, EventKind.Heartbeat, 1, { position: 50 });
    await until(
      () => watch.token !== undefined && positionsIn(watch.token)?.toString() === '10,50',
    );
    // A heartbeat over another connection says nothing of what went over this one.
    cluster.push(0, EventKind.Heartbeat, 1, { position: 90 });
    cluster.push(0, EventKind.Heartbeat, 0, { position: 60 });
    await until(() => positionsIn(watch.token)?.toString() === '60,50');
  });

  it('goes on where it was, at each worker', async () => {
    const [cluster, asked] = await watched();
    const first = (await ready(cluster)).kv.watch('', { snapshot: false });
    await first.ready();
    push(newest(asked, 1), put(cluster.keyOf(1), 1, 77));
    const [event] = await take(first, 1);
    const second = (await ready(cluster)).kv.watch('', { resume: event?.token });
    await second.ready();
    const starts = [0, 1].map((worker) => newest(asked, worker) as Asked);
    expect(starts.map(({ flags }) => flags & START_MASK)).toEqual([START_POSITION, START_POSITION]);
    expect(starts.map(positionIn)).toEqual([10, 77]);
    const [, ...rest] = placesOf(event?.token ?? '') ?? [];
    expect(rest).toHaveLength(1);
  });

  it('does not go on by a token of another number of workers', async () => {
    const [cluster] = await watched(3);
    const rondo = await ready(cluster);
    for (const resume of ['1.2s.1s.a', '2.1s.2s.a.2t.b']) {
      const watch = rondo.kv.watch('', { resume });
      expect(await verdict(watch.ready())).toMatchObject({ code: 'TOKEN_FOREIGN' });
      expect(await verdict(watch.next())).toMatchObject({ code: 'TOKEN_FOREIGN' });
    }
    // Not known yet when it is asked for.
    const early = client(cluster.url, { session: false }).kv.watch('', { resume: '1.2s.1s.a' });
    expect(await verdict(early.ready())).toMatchObject({ code: 'TOKEN_FOREIGN' });
  });

  it('that is asked for before the node is known is one of each all the same', async () => {
    const [cluster, asked] = await watched();
    const watch = client(cluster.url).kv.watch('');
    await watch.ready();
    expect(asked.map((each) => each.map(({ ttlMs }) => ttlMs))).toEqual([[1], [2]]);
  });

  it('begins anew at all where one has lost its history', async () => {
    const [cluster, asked] = await watched();
    const rondo = await ready(cluster);
    const watch = rondo.kv.watch('');
    await watch.ready();
    const [a, b] = [cluster.keyOf(0), cluster.keyOf(1)];
    push(newest(asked, 0), put(a, 1), synced(20));
    push(newest(asked, 1), put(b, 1), synced(20));
    await take(watch, 3);
    // The worker itself begins anew; the other is asked to.
    push(newest(asked, 0), { kind: EventKind.Compacted }, put(a, 2), synced(40));
    await until(() => asked[1]?.length === 2);
    expect((newest(asked, 1)?.flags ?? 0) & START_MASK).toBe(START_SNAPSHOT);
    push(newest(asked, 1), put(b, 2), synced(41));
    const told = brief(await take(watch, 4));
    expect(told).toEqual(['compacted', `put ${a}=2`, `put ${b}=2`, 'synced']);
    expect(positionsIn(watch.token)).toEqual([40, 41]);
  });

  it('goes on at a worker whose connection was lost, the others untouched', async () => {
    const [cluster, asked, left] = await watched();
    const rondo = await ready(cluster);
    const watch = rondo.kv.watch('', { snapshot: false });
    await watch.ready();
    push(newest(asked, 1), put(cluster.keyOf(1), 1, 33));
    await take(watch, 1);
    cluster.worker(1).cut();
    await until(() => asked[1]?.length === 2);
    expect(positionIn(newest(asked, 1) as Asked)).toBe(33);
    expect(asked[0]).toHaveLength(1);
    await watch.return();
    await until(() => left.length === 2);
    expect(left.map(({ ttlMs }) => ttlMs).sort()).toEqual([1, 2]);
  });

  it('goes on over the first connection where a worker that it was reached by is lost', async () => {
    const [cluster, asked] = await watched();
    cluster.ports.set(1, 0);
    cluster.tell();
    const rondo = await ready(cluster);
    const watch = rondo.kv.watch('', { snapshot: false });
    const exact = rondo.kv.watch(cluster.keyOf(1), { exact: true, snapshot: false });
    await Promise.all([watch.ready(), exact.ready()]);
    push(
      asked[1]?.find(({ ttlMs }) => ttlMs === 2),
      put(cluster.keyOf(1), 1, 33),
    );
    await take(watch, 1);
    expect(nodesIn(watch.token)).toEqual([100, 101]);
    cluster.push(0, EventKind.WorkerLost, 1);
    await until(() => asked[1]?.length === 4);
    expect(asked[0]).toHaveLength(1);
    const again = asked[1]?.slice(2).map(positionIn) ?? [];
    expect(again.sort((one, other) => one - other)).toEqual([10, 33]);
  });

  it('ends where one of them does', async () => {
    const [cluster, asked, left] = await watched();
    const rondo = await ready(cluster);
    const watch = rondo.kv.watch('', { snapshot: false });
    await watch.ready();
    push(newest(asked, 1), { kind: EventKind.Ended, status: Status.WatchOverflow });
    expect(await verdict(watch.next())).toMatchObject({ code: 'WATCH_OVERFLOW' });
    await until(() => left.length === 1);
    expect(left[0]?.ttlMs).toBe(1);
  });
});

describe('a replica of several workers', () => {
  it('is ready when all have told their keys, and catches up with each', async () => {
    const [cluster, asked] = await watched();
    const rondo = await ready(cluster);
    const replica = rondo.replica('');
    await until(() => asked[0]?.length === 1 && asked[1]?.length === 1);
    const [a, b] = [cluster.keyOf(0), cluster.keyOf(1)];
    push(newest(asked, 0), put(a, 1), synced(5));
    let isReady = false;
    const whole = replica.ready().then(() => {
      isReady = true;
    });
    await delay(30);
    expect([isReady, replica.isLive]).toEqual([false, false]);
    push(newest(asked, 1), put(b, 2), synced(5));
    await whole;
    expect([...replica].sort()).toEqual(
      [
        [a, 1],
        [b, 2],
      ].sort(),
    );
    expect(replica.isLive).toBe(true);
    // The node answers that each worker is at 10.
    const watches = [asked[0]?.[0], asked[1]?.[0]];
    let isCaughtUp = false;
    const caughtUp = replica.caughtUp().then(() => {
      isCaughtUp = true;
    });
    push(watches[0], put(a, 3, 12));
    await until(() => replica.get(a) === 3);
    await delay(30);
    expect(isCaughtUp).toBe(false);
    push(watches[1], put(b, 4, 10));
    await caughtUp;
    expect(replica.get(b)).toBe(4);
  });
});
