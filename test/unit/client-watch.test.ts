// Watches against a scripted node: what is asked for, what is told, and how a watch outlives what happens to
// its connection.

import { describe, expect, it } from 'vitest';
import { bytes, text, type Watch } from '../../ts/client/index.js';
import { placesOf } from '../../ts/client/watch-token.js';
import {
  CLASS_KEYS,
  CLASS_LOCKS,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  OVERFLOW_COALESCE,
  START_MASK,
  START_NOW,
  START_POSITION,
  START_REVISION,
  START_SNAPSHOT,
} from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import { delay, failure, until } from './client-harness.js';
import { brief, positionIn, put, synced, take, WatchNode } from './client-watch-node.js';

const RESUME = '1.7.1s.2s'; // node 7, 64 partitions, position 100

describe('a watch', () => {
  it('asks for a prefix with its snapshot, unless told otherwise', async () => {
    const node = await WatchNode.start();
    const { kv } = node.client();
    kv.watch('p/');
    kv.watch('k', { exact: true, snapshot: false, overflow: 'coalesce', keysOnly: true });
    kv.watch('k', { exact: true, fromRevision: 17, locks: true });
    kv.watch('', { resume: RESUME });
    await until(() => node.watches.length === 4);
    const asked = node.watches.map(({ key, flags, limit, expectedRevision }) => [
      key,
      flags,
      limit,
      expectedRevision,
    ]);
    expect(asked).toEqual([
      ['p/', FLAG_WATCH_PREFIX | START_SNAPSHOT, CLASS_KEYS, 0],
      ['k', START_NOW | OVERFLOW_COALESCE | FLAG_WATCH_KEYS_ONLY, CLASS_KEYS, 0],
      ['k', START_REVISION, CLASS_KEYS | CLASS_LOCKS, 17],
      ['', FLAG_WATCH_PREFIX | START_POSITION, CLASS_KEYS, 0],
    ]);
    const place = node.watches[3]?.value;
    expect(Buffer.from(place ?? []).toString('hex')).toBe(
      '0700000000000000' + '4000000000000000' + '6400000000000000',
    );
  });

  it('tells the snapshot, then every change, with tokens behind it', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('p/');
    const asked = await node.asked();
    node.push(asked, put('p/a', 1), put('p/b', { x: 2 }), synced(50));
    node.push(
      asked,
      { ...put('p/a', 3, 51), revision: 9, previous: 4, partition: 12 },
      { kind: EventKind.Delete, key: 'p/b', position: 52, revision: 5, previous: 3 },
      { kind: EventKind.Expire, key: 'p/c', position: 53 },
      { kind: EventKind.Touch, key: 'p/a', position: 54 },
    );
    const events = await take(watch, 7);
    expect(brief(events)).toEqual([
      'put p/a=1',
      'put p/b={"x":2}',
      'synced',
      'put p/a=3',
      'delete p/b',
      'expire p/c',
      'touch p/a',
    ]);
    expect(events[0]).toMatchObject({ isSnapshot: true, token: undefined });
    expect(events[3]).toEqual({
      type: 'put',
      key: 'p/a',
      value: 3,
      revision: 9,
      previousRevision: 4,
      partition: 12,
      isSnapshot: false,
      token: expect.any(String),
    });
    const positions = events.map(({ token }) => token && placesOf(token)?.[0]?.position);
    expect(positions).toEqual([undefined, undefined, 50, 51, 52, 53, 54]);
    expect(placesOf(watch.token ?? '')?.[0]?.position).toBe(54);
  });

  it('tells of locks and sessions', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('', { locks: true, sessions: true, snapshot: false });
    const asked = await node.asked();
    node.push(
      asked,
      { kind: EventKind.SessionOpened, previous: 255, position: 101 },
      { kind: EventKind.LockGranted, key: 'l', previous: 255, revision: 8, position: 102 },
      { kind: EventKind.LockChanged, key: 'l', previous: 8, revision: 9, position: 103 },
      { kind: EventKind.LockReleased, key: 'l', previous: 8, revision: 10, position: 104 },
      { kind: EventKind.SessionEnded, previous: 255, position: 105 },
    );
    expect(await take(watch, 5)).toMatchObject([
      { type: 'sessionOpened', session: '000000000000ff' },
      { type: 'lockGranted', name: 'l', session: '000000000000ff', lockToken: 8 },
      { type: 'lockChanged', name: 'l', lockToken: 8, revision: 9 },
      { type: 'lockReleased', name: 'l', lockToken: 8 },
      { type: 'sessionEnded', session: '000000000000ff' },
    ]);
  });

  it('decodes by its codec, and ends where that cannot be', async () => {
    const node = await WatchNode.start();
    const { kv } = node.client();
    const raw = kv.as(bytes).watch('r', { snapshot: false });
    const words = kv.as(text).watch('t', { snapshot: false });
    const parsed = kv.watch('j', { snapshot: false });
    await until(() => node.watches.length === 3);
    const notText = { kind: EventKind.Put, value: Uint8Array.of(255, 0), position: 101 };
    node.push(node.watches[0], { ...notText, key: 'r' });
    node.push(node.watches[1], { ...notText, key: 't' });
    node.push(node.watches[2], { ...notText, key: 'j', value: '{' });
    expect(await take(raw, 1)).toMatchObject([{ value: Uint8Array.of(255, 0) }]);
    expect((await failure(words.next())).code).toBe('CODEC_FAILED');
    expect((await failure(parsed.next())).code).toBe('CODEC_FAILED');
    expect(await parsed.next()).toEqual({ value: undefined, done: true });
    await until(() => node.unwatched.length === 2);
  });

  it('takes events that come in the turn of the answer', async () => {
    // The answer's promise tells a turn later than the events that came with it.
    const node = await WatchNode.start();
    node.greeting = () => [put('a', 1), synced(9), put('b', 2, 10)];
    const watch = node.client().kv.watch('');
    expect(brief(await take(watch, 3))).toEqual(['put a=1', 'synced', 'put b=2']);
    await watch.ready();
    expect(node.unwatched).toEqual([]);
  });

  it('is ended at the node by break, return, signal and disposal', async () => {
    const node = await WatchNode.start();
    const { kv } = node.client();
    const stop = new AbortController();
    const watches = [kv.watch('0'), kv.watch('1'), kv.watch('2', { signal: stop.signal })];
    const disposed = kv.watch('3');
    await until(() => node.watches.length === 4);
    for (const asked of node.watches) node.push(asked, put(asked.key, 1));
    for await (const event of watches[0] ?? []) {
      expect(event.type).toBe('put');
      break;
    }
    await watches[1]?.return();
    const waiting = watches[2];
    await waiting?.next();
    const next = failure(waiting?.next() ?? Promise.resolve());
    stop.abort('enough');
    expect(await next).toMatchObject({ code: 'CANCELLED', cause: 'enough' });
    await disposed[Symbol.asyncDispose]();
    await until(() => node.unwatched.length === 4);
    expect(node.unwatched).toEqual(node.watches.map(({ id }) => id));
    expect(await watches[1]?.next()).toEqual({ value: undefined, done: true });
  });

  it('that ends before its answer is ended by it', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('a');
    await watch.return();
    await until(() => node.unwatched.length === 1);
    expect(node.unwatched).toEqual(node.watches.map(({ id }) => id));
  });

  it('ends with the reason where the node refuses or ends it', async () => {
    const node = await WatchNode.start();
    const { kv } = node.client();
    node.answer = () => [Status.WatchLimit, 0];
    const refused = kv.watch('a');
    const error = await failure(refused.next());
    expect(error.code).toBe('WATCH_LIMIT');
    expect((await failure(refused.ready())).code).toBe('WATCH_LIMIT');

    node.answer = () => [Status.Ok, 100];
    const ended = kv.watch('a', { snapshot: false });
    const asked = await node.asked(1);
    node.push(asked, put('a', 1, 101), { kind: EventKind.Ended, status: Status.WatchOverflow });
    expect(brief(await take(ended, 1))).toEqual(['put a=1']);
    expect((await failure(ended.next())).code).toBe('WATCH_OVERFLOW');
    expect(placesOf(ended.token ?? '')?.[0]?.position).toBe(101);
    expect(await ended.next()).toEqual({ value: undefined, done: true });
  });

  it('fails with CLOSED, behind what had come, where the client is closed', async () => {
    const node = await WatchNode.start();
    const rondo = node.client();
    const watch = rondo.kv.watch('', { snapshot: false });
    node.push(await node.asked(), put('a', 1, 101), put('b', 2, 102));
    expect(brief(await take(watch, 1))).toEqual(['put a=1']);
    await rondo.close();
    expect(brief(await take(watch, 1))).toEqual(['put b=2']);
    expect((await failure(watch.next())).code).toBe('CLOSED');
    expect((await failure(rondo.kv.watch('').next())).code).toBe('CLOSED');
  });

  it('is refused for wrong arguments at its first event, and nothing is sent', async () => {
    const node = await WatchNode.start();
    const { kv } = node.client();
    for (const [key, options, code] of [
      ['k', { exact: true, fromRevision: -1 }, 'INVALID_ARGUMENT'],
      ['k', { fromRevision: 1 }, 'INVALID_ARGUMENT'],
      ['k', { exact: true, fromRevision: 1, resume: RESUME }, 'INVALID_ARGUMENT'],
      ['k', { exact: true, fromRevision: 1, keys: false, locks: true }, 'INVALID_ARGUMENT'],
      ['k', { snapshot: true, resume: RESUME }, 'INVALID_ARGUMENT'],
      ['k', { resume: 'token' }, 'INVALID_ARGUMENT'],
      ['k', { keys: false }, 'INVALID_ARGUMENT'],
      ['k', { queueMax: 0 }, 'INVALID_ARGUMENT'],
      ['k', { overflow: 'drop' as 'gap' }, 'INVALID_ARGUMENT'],
      ['k', { timeoutMs: 0 }, 'INVALID_ARGUMENT'],
      ['', { exact: true }, 'INVALID_KEY'],
      ['x'.repeat(1025), {}, 'KEY_TOO_LONG'],
      ['k', { signal: AbortSignal.abort() }, 'CANCELLED'],
    ] as const) {
      const error = await failure(kv.watch(key, options).next());
      expect([options, error.code]).toEqual([options, code]);
    }
    await kv.get('k');
    expect(node.watches).toEqual([]);
  });
});

describe('a lost connection', () => {
  it('is outlived: the watch goes on from the last event', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('p');
    node.push(await node.asked(), put('p', 1), synced(50), put('p', 2, 60));
    await take(watch, 3);
    node.node.cut();
    const again = await node.asked(1);
    expect(again.flags & START_MASK).toBe(START_POSITION);
    expect(positionIn(again)).toBe(60);
    node.push(again, put('p', 3, 61));
    expect(brief(await take(watch, 1))).toEqual(['put p=3']);
    expect(node.unwatched).toEqual([]);
  });

  it('is outlived from where a heartbeat said that nothing has happened', async () => {
    const node = await WatchNode.start();
    const { kv } = node.client();
    const idle = kv.watch('p', { snapshot: false });
    const unfinished = kv.watch('q');
    await idle.ready();
    await until(() => node.watches.length === 2);
    const asked = await node.asked();
    node.pushTo(asked.peer, 0, [{ kind: EventKind.Heartbeat, position: 700 }]);
    await until(() => placesOf(idle.token ?? '')?.[0]?.position === 700);
    expect(unfinished.token).toBeUndefined();
    node.node.cut();
    await until(() => node.watches.length === 4);
    const again = node.watches.slice(2);
    expect(again.map(({ flags }) => flags & START_MASK)).toEqual([START_POSITION, START_SNAPSHOT]);
    expect(positionIn(again[0] ?? asked)).toBe(700);
  });

  it('in the midst of a snapshot voids it', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('');
    node.push(await node.asked(), put('a', 1), put('b', 1));
    expect(brief(await take(watch, 2))).toEqual(['put a=1', 'put b=1']);
    node.node.cut();
    const again = await node.asked(1);
    expect(again.flags & START_MASK).toBe(START_SNAPSHOT);
    node.push(again, put('b', 2), synced(9));
    expect(brief(await take(watch, 3))).toEqual(['compacted', 'put b=2', 'synced']);
  });

  it('to a node that cannot go on gives `compacted` and a fresh snapshot', async () => {
    for (const status of [Status.TokenForeign, Status.Compacted]) {
      const node = await WatchNode.start();
      const watch = node.client().kv.watch('', { snapshot: false });
      await watch.ready();
      node.answer = ({ flags }) =>
        (flags & START_MASK) === START_POSITION ? [status, 0] : [Status.Ok, 5];
      node.node.cut();
      const fresh = await node.asked(2);
      expect(fresh.flags & START_MASK).toBe(START_SNAPSHOT);
      node.push(fresh, put('a', 1), synced(5));
      const events = await take(watch, 3);
      expect(brief(events)).toEqual(['compacted', 'put a=1', 'synced']);
      expect(events[0]).toMatchObject({ token: undefined });
    }
  });

  it('is outlived where the node has no room at first', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('', { snapshot: false });
    await watch.ready();
    let refusals = 3;
    node.answer = () => (refusals-- > 0 ? [Status.WatchLimit, 0] : [Status.Ok, 100]);
    node.node.cut();
    const again = await node.asked(4);
    expect(positionIn(again)).toBe(100);
    node.push(again, put('a', 1, 101));
    expect(brief(await take(watch, 1))).toEqual(['put a=1']);
  });
});

describe('a resume token', () => {
  it('of another node fails with TOKEN_FOREIGN, an old one begins anew', async () => {
    const node = await WatchNode.start();
    const { kv } = node.client();
    node.answer = () => [Status.TokenForeign, 0];
    expect((await failure(kv.watch('', { resume: RESUME }).next())).code).toBe('TOKEN_FOREIGN');
    node.answer = ({ flags }) =>
      (flags & START_MASK) === START_POSITION ? [Status.Compacted, 0] : [Status.Ok, 900];
    const watch = kv.watch('', { resume: RESUME });
    node.push(await node.asked(2), synced(900));
    expect(brief(await take(watch, 2))).toEqual(['compacted', 'synced']);
  });

  it('is that of the last event taken, not of the last that came', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('', { resume: RESUME });
    node.push(await node.asked(), put('a', 1, 101), put('b', 2, 102));
    await watch.ready();
    await delay(20);
    expect(watch.token).toBe(RESUME);
    const [first] = await take(watch, 1);
    expect(watch.token).toBe(first?.token);
  });

  it('stays that of the last event taken when the consumer stops with others waiting', async () => {
    const node = await WatchNode.start();
    const rondo = node.client();
    const stop = new AbortController();
    const ways: ((watch: Watch<unknown>) => unknown)[] = [
      (watch) => watch.return(),
      (watch) => watch[Symbol.asyncDispose](),
      () => stop.abort(),
    ];
    for (const [index, leave] of ways.entries()) {
      const watch = rondo.kv.watch('', { resume: RESUME, signal: stop.signal });
      await until(() => node.watches.length === index + 1);
      const asked = await node.asked(index);
      node.push(asked, put('a', 1, 101), put('b', 2, 102), put('c', 3, 103));
      await watch.ready();
      await delay(20);
      const [first] = await take(watch, 1);
      await leave(watch);
      expect(watch.token).toBe(first?.token);
    }
  });
});

describe('a consumer that is slow', () => {
  const FLOOD = Array.from({ length: 10 }, (_, index) => put('k', index, 101 + index));

  it('is told of a gap', async () => {
    const node = await WatchNode.start();
    const watch = node.client().kv.watch('', { snapshot: false, queueMax: 4 });
    node.push(await node.asked(), ...FLOOD);
    await watch.ready();
    await delay(20);
    const events = brief(await take(watch, 2));
    expect(events[0]).toBe('gap');
    expect(events[1]).toMatch(/^put k=/);
  });

  it('under `disconnect` has its watch ended, with a token to go on from', async () => {
    const node = await WatchNode.start();
    const options = { snapshot: false, queueMax: 4, overflow: 'disconnect' } as const;
    const watch = node.client().kv.watch('', options);
    node.push(await node.asked(), ...FLOOD);
    await until(() => node.unwatched.length === 1);
    await take(watch, 4);
    expect((await failure(watch.next())).code).toBe('WATCH_OVERFLOW');
    expect(placesOf(watch.token ?? '')?.[0]?.position).toBe(104);
  });
});

describe('a node that pushes what it should not', () => {
  it('is left: an event of another key, a kind that is not known, a frame that is none', async () => {
    for (const wrong of [put('q', 1, 101), { kind: 99, key: 'p', position: 101 }]) {
      const node = await WatchNode.start();
      const rondo = node.client();
      const watch = rondo.kv.watch('p', { snapshot: false });
      const asked = await node.asked();
      node.push(asked, wrong as ReturnType<typeof put>);
      const again = await node.asked(1);
      expect(again.peer).not.toBe(asked.peer);
      node.push(again, put('p', 1, 102));
      expect(brief(await take(watch, 1))).toEqual(['put p=1']);
    }
  });

  it('is told again that a watch has ended, where its events go on', async () => {
    const node = await WatchNode.start();
    const rondo = node.client();
    const watch = rondo.kv.watch('', { snapshot: false });
    const asked = await node.asked();
    await watch.return();
    await until(() => node.unwatched.length === 1);
    await rondo.kv.get('settled');
    node.push(asked, put('late', 1, 101));
    await until(() => node.unwatched.length === 2);
    expect(node.unwatched).toEqual([asked.id, asked.id]);
  });
});
