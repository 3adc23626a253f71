// The local map that a watch keeps up: what it shows, when it has caught up, and what voids it.

import { describe, expect, it } from 'vitest';
import { type Replica, text } from '../../ts/client/index.js';
import { FLAG_WATCH_PREFIX, OVERFLOW_COALESCE, START_SNAPSHOT } from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import { delay, failure, until } from './client-harness.js';
import { type Asked, put, synced, WatchNode } from './client-watch-node.js';

/** The name of the watch that only asks where the node is. */
const PLACE = 'rondo/watch/place';

async function replicaOf(prefix = 'p/'): Promise<[WatchNode, Replica, Asked]> {
  const node = await WatchNode.start();
  const replica = node.client().replica(prefix);
  const asked = await node.asked();
  node.push(asked, put(`${prefix}a`, 1), put(`${prefix}b`, 2), synced(100));
  await replica.ready();
  return [node, replica, asked];
}

/** Whether the promise is fulfilled within a moment. */
async function isSettled(promise: Promise<void>): Promise<boolean> {
  return await Promise.race([promise.then(() => true), delay(30).then(() => false)]);
}

describe('a replica', () => {
  it('shows the snapshot when it is complete, and every change', async () => {
    const node = await WatchNode.start();
    const replica = node.client().replica('p/');
    const asked = await node.asked();
    expect(asked.flags).toBe(FLAG_WATCH_PREFIX | START_SNAPSHOT | OVERFLOW_COALESCE);
    node.push(asked, put('p/a', { n: 1 }), put('p/b', 2));
    await delay(20);
    expect([replica.size, replica.isLive]).toEqual([0, false]);
    node.push(asked, synced(100));
    await replica.ready();
    expect(replica.isLive).toBe(true);
    expect(new Map(replica)).toEqual(
      new Map<string, unknown>([
        ['p/a', { n: 1 }],
        ['p/b', 2],
      ]),
    );

    node.push(
      asked,
      { ...put('p/b', 3, 101), revision: 7 },
      { kind: EventKind.Delete, key: 'p/a', position: 102 },
      { kind: EventKind.Touch, key: 'p/b', position: 103, revision: 9 },
      put('p/c', 4, 104),
      { kind: EventKind.Expire, key: 'p/c', position: 105 },
    );
    await replica.caughtUp(replica.token);
    await until(() => replica.entry('p/b')?.revision === 9);
    expect(replica.get('p/b')).toBe(3);
    expect([replica.has('p/a'), replica.has('p/c'), replica.get('p/a')]).toEqual([
      false,
      false,
      undefined,
    ]);
    expect([...replica.keys()]).toEqual(['p/b']);
  });

  it('decodes at the first read, and says which value it cannot decode', async () => {
    const node = await WatchNode.start();
    const rondo = node.client();
    const words = rondo.replica('', { codec: text });
    const parsed = rondo.replica('');
    await until(() => node.watches.length === 2);
    for (const asked of node.watches) {
      node.push(asked, { ...put('a', 0), value: 'plain' }, put('b', [1]), synced(1));
    }
    await Promise.all([words.ready(), parsed.ready()]);
    expect(words.get('a')).toBe('plain');
    expect(() => parsed.get('a')).toThrow(expect.objectContaining({ code: 'CODEC_FAILED' }));
    expect(parsed.get('b')).toBe(parsed.get('b'));
  });

  it('shows the old state until a fresh snapshot is complete', async () => {
    const [node, replica, asked] = await replicaOf();
    node.push(asked, { kind: EventKind.Compacted }, put('p/z', 26));
    await until(() => !replica.isLive);
    expect(replica.get('p/a')).toBe(1);
    node.push(asked, synced(900));
    await until(() => replica.isLive);
    expect(new Map(replica)).toEqual(new Map([['p/z', 26]]));
  });

  it('begins anew by itself where events were dropped', async () => {
    const [node, replica, asked] = await replicaOf();
    node.push(asked, { kind: EventKind.Gap, position: 200 }, put('p/late', 1, 201));
    const again = await node.asked(1);
    expect(again.flags & START_SNAPSHOT).toBe(START_SNAPSHOT);
    await until(() => node.unwatched.length > 0);
    expect(node.unwatched[0]).toBe(asked.id);
    node.push(again, put('p/n', 5), synced(300));
    await until(() => replica.has('p/n'));
    expect(replica.size).toBe(1);
  });

  it('goes on over a lost connection', async () => {
    const [node, replica] = await replicaOf();
    node.node.cut();
    node.push(await node.asked(1), put('p/c', 3, 101));
    await until(() => replica.size === 3);
    expect(replica.get('p/a')).toBe(1);
  });

  it('ends by close, signal and with its client, and keeps what it has', async () => {
    const [node, replica, asked] = await replicaOf();
    replica.close();
    await until(() => node.unwatched.length === 1);
    expect(node.unwatched).toEqual([asked.id]);
    expect(replica.get('p/a')).toBe(1);
    expect((await failure(replica.caughtUp())).code).toBe('CLOSED');

    const stop = new AbortController();
    const rondo = node.client();
    const stopped = rondo.replica('s', { signal: stop.signal });
    const ready = failure(stopped.ready());
    stop.abort();
    expect((await ready).code).toBe('CANCELLED');
    const orphan = rondo.replica('o');
    const waiting = failure(orphan.ready());
    await rondo.close();
    expect((await waiting).code).toBe('CLOSED');
    expect(orphan.failure?.code).toBe('CLOSED');
    expect((await failure(rondo.replica('x'.repeat(1025)).ready())).code).toBe('KEY_TOO_LONG');
  });
});

describe('caughtUp', () => {
  it('of a write waits for the event of its key', async () => {
    const [node, replica, asked] = await replicaOf();
    node.answer = ({ key }) => [Status.Ok, key === PLACE ? 100_000 : 0];
    const caught = replica.caughtUp({ key: 'p/a', revision: 7 });
    expect(await isSettled(caught)).toBe(false);
    // Revisions of other keys are of other partitions.
    node.push(asked, { ...put('p/b', 0, 101), revision: 50 });
    expect(await isSettled(caught)).toBe(false);
    node.push(asked, { ...put('p/a', 5, 102), revision: 7 });
    await caught;
    expect(replica.get('p/a')).toBe(5);
    await replica.caughtUp({ key: 'p/a', revision: 7 });
  });

  it('of a write that a later deletion has hidden is told by the place of the node', async () => {
    const [node, replica, asked] = await replicaOf();
    node.answer = () => [Status.Ok, 140];
    const caught = replica.caughtUp({ key: 'p/gone', revision: 3 });
    const probe = await node.asked(1);
    expect(probe.key).toBe(PLACE);
    expect(await isSettled(caught)).toBe(false);
    node.pushTo(asked.peer, 0, [{ kind: EventKind.Heartbeat, position: 140 }]);
    await caught;
    await until(() => node.unwatched.length === 1);
    expect(node.unwatched).toEqual([probe.id]);
  });

  it('of a revision is by event where a tag makes it one partition, and refused otherwise', async () => {
    const [tagged, one, asked] = await replicaOf('x{t}/');
    tagged.answer = () => [Status.Ok, 100_000];
    const caught = one.caughtUp(9);
    tagged.push(asked, { ...put('x{t}/other', 0, 101), revision: 9 });
    await caught;

    const [, replica] = await replicaOf('x{t');
    const error = await failure(replica.caughtUp(9));
    expect([error.code, error.message]).toEqual([
      'INVALID_ARGUMENT',
      expect.stringContaining('{ key, revision }'),
    ]);
  });

  it('without a mark waits for the place of the node', async () => {
    const [node, replica, watch] = await replicaOf();
    node.answer = () => [Status.Ok, 120];
    const caught = replica.caughtUp();
    node.push(watch, put('p/a', 0, 119));
    expect(await isSettled(caught)).toBe(false);
    node.push(watch, put('p/a', 0, 120));
    await caught;
  });

  it('of a token waits for its position, and fails where the node is another', async () => {
    const [node, replica, asked] = await replicaOf();
    const { token = '' } = replica;
    await replica.caughtUp(token);
    const later = token.replace(/[^.]*$/, (150).toString(36));
    const caught = replica.caughtUp(later);
    expect(await isSettled(caught)).toBe(false);
    node.push(asked, put('p/a', 2, 150));
    await caught;
    const foreign = later.replace(/^1\.[^.]*/, '1.abc');
    expect((await failure(replica.caughtUp(foreign))).code).toBe('TOKEN_FOREIGN');
  });

  it('has a deadline and a signal, and refuses what is no mark', async () => {
    const [node, replica] = await replicaOf();
    node.answer = () => [Status.Ok, 100_000];
    const mark = { key: 'p/a', revision: 99 };
    expect((await failure(replica.caughtUp(mark, { timeoutMs: 20 }))).code).toBe('TIMEOUT');
    const signal = AbortSignal.timeout(20);
    expect((await failure(replica.caughtUp(mark, { signal }))).code).toBe('CANCELLED');
    for (const wrong of ['token', -1, 1.5, { key: 'q', revision: 1 }]) {
      expect((await failure(replica.caughtUp(wrong))).code).toBe('INVALID_ARGUMENT');
    }
  });
});
