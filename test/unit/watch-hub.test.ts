// Watches from their start to their end: what they are answered, what they are told and in which order.

import { describe, expect, it } from 'vitest';
import { WATCH_HEARTBEAT_MS, WATCHES_PER_CONNECTION_MAX } from '../../node/limits.js';
import {
  CLASS_KEYS,
  CLASS_LOCKS,
  CLASS_SESSIONS,
  CLASSES_ALL,
  FLAG_SNAPSHOT,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  START_POSITION,
  START_REVISION,
  START_SNAPSHOT,
} from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import {
  FakePeer,
  partitionOf,
  type Received,
  SESSION,
  SESSION_TEXT,
  token,
  World,
} from './watch-harness.js';

const SNAPSHOT = FLAG_WATCH_PREFIX | START_SNAPSHOT;
const SMALL_HISTORY = { bytes: 4096, records: 1_000_000, chunkBytes: 1024 };

const rows = (events: readonly Received[]) =>
  events.map(({ kind, key, value }) => [EventKind[kind], key, value].filter((one) => one !== ''));

function write(world: World, ...keys: string[]): void {
  world.call(() => {
    for (const key of keys) world.put(key, `value of ${key}`);
  });
}

/** The same, durable: only what was told is forgotten. */
function settled(world: World, ...keys: string[]): void {
  write(world, ...keys);
  world.settle();
}

describe('a watch from now on', () => {
  it('is answered, then told what changes, when it is durable', () => {
    const world = new World();
    const peer = world.connect();
    write(world, 'a/before');
    world.watch(peer, { id: 5, key: 'a/', flags: FLAG_WATCH_PREFIX });
    write(world, 'a/1', 'b/1');
    world.turn();
    expect([peer.answers, peer.events]).toEqual([[], []]);
    world.settle(1);
    expect(peer.answers).toEqual([{ id: 5, status: Status.Ok, revision: 1 }]);
    expect(peer.events).toEqual([]);
    world.settle(2);
    expect(rows(peer.of(5))).toEqual([['Put', 'a/1', 'value of a/1']]);
    expect(peer.order).toEqual(['answer 5', 'event 5']);
    world.call(() => {
      world.touch('a/1');
      world.remove('a/1');
      world.put('a/2', '');
      world.remove('a/2', true);
    });
    world.settle();
    expect(rows(peer.of(5)).slice(1)).toEqual([
      ['Touch', 'a/1'],
      ['Delete', 'a/1'],
      ['Put', 'a/2'],
      ['Expire', 'a/2'],
    ]);
    expect(peer.frames).toBe(3);
  });

  it('has each event with its partition, revision, the one before, and position', () => {
    const world = new World();
    const peer = world.connect();
    world.watch(peer, { id: 1, key: '', flags: FLAG_WATCH_PREFIX, classes: CLASSES_ALL });
    world.call(() => {
      write(new World(), 'unrelated');
      world.put('k', 'v');
      world.put('k', 'w');
      const held = world.hold('lock');
      world.hold('lock', held);
      world.release('lock', held);
      world.session();
      world.fence('lock');
      world.session(true);
    });
    world.settle();
    const expected = world.log
      .filter(({ ofClass }) => ofClass !== 0)
      .map(({ ofClass, ...told }) => ({ id: 1, flags: 0, status: 0, ...told }));
    expect(peer.events).toEqual(expected);
    expect(peer.events.filter(({ key }) => key === SESSION_TEXT)).toHaveLength(2);
    expect(peer.events.find(({ kind }) => kind === EventKind.LockGranted)?.previous).toBe(SESSION);
  });

  it('hears of the classes that it asked for, of the key that it asked for', () => {
    const world = new World();
    const peer = world.connect();
    const classes = [CLASS_KEYS, CLASS_LOCKS, CLASS_KEYS | CLASS_LOCKS, CLASS_SESSIONS];
    for (const [at, one] of classes.entries()) {
      world.watch(peer, { id: at + 1, key: 'name', classes: one });
    }
    world.call(() => {
      world.put('name', '1');
      world.hold('name');
      world.put('name/longer', '2');
      world.hold('name/longer');
      world.session();
    });
    world.settle();
    expect(rows(peer.of(1))).toEqual([['Put', 'name', '1']]);
    expect(rows(peer.of(2))).toEqual([['LockGranted', 'name']]);
    expect(rows(peer.of(3))).toEqual([
      ['Put', 'name', '1'],
      ['LockGranted', 'name'],
    ]);
    expect(peer.of(4)).toEqual([]);
  });

  it('of keys only leaves values out, and others have them', () => {
    const world = new World();
    const peer = world.connect();
    world.watch(peer, { id: 1, key: 'k', flags: FLAG_WATCH_KEYS_ONLY });
    world.watch(peer, { id: 2, key: 'k' });
    world.watch(peer, { id: 3, key: 'k', flags: FLAG_WATCH_KEYS_ONLY });
    write(world, 'k');
    world.settle();
    expect(rows(peer.events)).toEqual([
      ['Put', 'k'],
      ['Put', 'k', 'value of k'],
      ['Put', 'k'],
    ]);
  });

  it('of many peers gets what each asked for, though it is written once', () => {
    const world = new World();
    const peers = Array.from({ length: 20 }, () => world.connect());
    for (const [at, peer] of peers.entries()) {
      world.watch(peer, {
        id: 100 + at,
        key: at % 3 === 0 ? 'k/1' : 'k/',
        flags: at % 3 === 0 ? 0 : 1,
      });
    }
    write(world, 'k/1', 'k/2');
    world.settle();
    write(world, 'k/3');
    world.settle();
    for (const [at, peer] of peers.entries()) {
      const keys = at % 3 === 0 ? ['k/1'] : ['k/1', 'k/2', 'k/3'];
      expect(peer.of(100 + at).map(({ key, value }) => [key, value])).toEqual(
        keys.map((key) => [key, `value of ${key}`]),
      );
      expect(peer.events).toHaveLength(keys.length);
    }
  });

  it('goes through a burst in turns', () => {
    const world = new World();
    const peer = world.connect();
    world.watch(peer, { id: 1, key: '', flags: FLAG_WATCH_PREFIX });
    world.settle();
    world.call(() => {
      for (let at = 0; at < 40_000; at++) world.put(`k${at}`, '');
    });
    world.hub.onDurable(world.append);
    let first = Number.NaN;
    world.clock.soon(() => {
      first = peer.events.length;
    });
    world.turn();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(20_000);
    expect(peer.events.map(({ position }) => position)).toEqual(
      world.log.map(({ position }) => position),
    );
  });
});

describe('the end of a watch', () => {
  it('by unwatch: it is told nothing more', () => {
    const world = new World();
    const peer = world.connect();
    world.watch(peer, { id: 1, key: 'k' });
    world.watch(peer, { id: 2, key: 'k' });
    world.turn();
    expect(world.hub.count).toBe(2);
    world.unwatch(peer, 3, 1);
    world.unwatch(peer, 4, 77);
    world.turn();
    expect(peer.answers.slice(2)).toEqual([
      { id: 3, status: Status.Ok, revision: 0 },
      { id: 4, status: Status.NotFound, revision: 0 },
    ]);
    write(world, 'k');
    world.settle();
    expect(peer.events.map(({ id }) => id)).toEqual([2]);
    expect(world.hub.count).toBe(1);
  });

  it('before it began: it is answered, and never begins', () => {
    const world = new World();
    const peer = world.connect();
    write(world, 'k');
    world.watch(peer, { id: 1, key: 'k' });
    world.unwatch(peer, 2, 1);
    write(world, 'k');
    world.settle();
    world.turn();
    expect(peer.answers.map(({ id, status }) => [id, status])).toEqual([
      [2, Status.Ok],
      [1, Status.Ok],
    ]);
    expect([peer.events, world.hub.count]).toEqual([[], 0]);
  });

  it('by the end of its connection', () => {
    const world = new World();
    const [gone, other] = [world.connect(), world.connect()];
    for (const peer of [gone, other]) {
      world.watch(peer, { id: 1, key: 'k' });
      world.watch(peer, { id: 2, key: 'k', flags: SNAPSHOT });
    }
    world.turn();
    gone.close();
    expect(world.hub.count).toBe(2);
    write(world, 'k');
    world.settle();
    expect(gone.events.filter(({ kind }) => kind === EventKind.Put)).toEqual([]);
    expect(other.events.filter(({ kind }) => kind === EventKind.Put)).toHaveLength(2);
  });
});

describe('a watch is refused', () => {
  it('under an id that the connection has', () => {
    const world = new World();
    const peer = world.connect();
    world.watch(peer, { id: 1, key: 'k' });
    world.watch(peer, { id: 1, key: 'other' });
    world.turn();
    expect(peer.answers.map(({ status }) => status)).toEqual([Status.Ok, Status.InvalidArgument]);
    expect(world.hub.count).toBe(1);
  });

  it('beyond what a connection, or the node, may have', () => {
    const world = new World();
    const peer = world.connect();
    for (let id = 1; id <= WATCHES_PER_CONNECTION_MAX + 1; id++)
      world.watch(peer, { id, key: 'k' });
    world.turn();
    expect(peer.answers).toHaveLength(WATCHES_PER_CONNECTION_MAX + 1);
    expect(peer.answers.filter(({ status }) => status !== Status.Ok)).toEqual([
      { id: WATCHES_PER_CONNECTION_MAX + 1, status: Status.WatchLimit, revision: 0 },
    ]);
    const small = new World({ watchesMax: 2 });
    const peers = [small.connect(), small.connect(), small.connect()];
    for (const one of peers) small.watch(one, { id: 1, key: 'k' });
    small.turn();
    expect(peers.map(({ answers }) => answers[0]?.status)).toEqual([0, 0, Status.WatchLimit]);
  });

  it('where its token is of another node, of other partitions or of the future', () => {
    const world = new World();
    const peer = world.connect();
    write(world, 'k');
    world.settle();
    const tokens = [token(1, 8), token(1, undefined, 8), token(2), token(2 ** 53 - 1)];
    for (const [at, one] of tokens.entries()) {
      world.watch(peer, { id: at + 1, key: 'k', flags: START_POSITION, token: one });
    }
    world.watch(peer, { id: 9, key: 'k', flags: START_REVISION, revision: 2 });
    world.turn();
    expect(peer.answers.map(({ status }) => status)).toEqual(Array(5).fill(Status.TokenForeign));
    expect(world.hub.count).toBe(0);
  });
});

describe('a watch from a place in the past', () => {
  it('is told all behind its position, and then what changes', () => {
    const world = new World();
    const peer = world.connect();
    for (let at = 1; at <= 6; at++) write(world, `k/${at}`);
    world.settle();
    world.watch(peer, {
      id: 1,
      key: 'k/',
      flags: FLAG_WATCH_PREFIX | START_POSITION,
      token: token(3),
    });
    world.turn();
    write(world, 'k/7');
    world.settle();
    expect(peer.answers).toEqual([{ id: 1, status: Status.Ok, revision: 6 }]);
    expect(peer.of(1).map(({ key }) => key)).toEqual(['k/4', 'k/5', 'k/6', 'k/7']);
  });

  it('is told all of its key behind a revision', () => {
    const world = new World();
    const peer = world.connect();
    for (let at = 1; at <= 20; at++) write(world, 'k', `other ${at}`, `and ${at}`);
    world.settle();
    const revisions = world.log.filter(({ key }) => key === 'k').map(({ revision }) => revision);
    for (const at of [0, 7, 19]) {
      const flags = START_REVISION;
      world.watch(peer, { id: at + 1, key: 'k', flags, revision: revisions[at]! });
      world.turn();
      expect(peer.of(at + 1).map(({ revision }) => revision)).toEqual(revisions.slice(at + 1));
    }
    write(world, 'k');
    world.settle();
    expect(peer.of(20)).toHaveLength(1);
  });

  it('is answered COMPACTED behind a revision that is forgotten', () => {
    const world = new World({ historyBounds: SMALL_HISTORY });
    const peer = world.connect();
    for (let at = 1; at <= 200; at++) settled(world, 'k', `${at}`);
    const newest = world.revisionOf(partitionOf('k'));
    for (const [at, revision] of [1, newest].entries()) {
      world.watch(peer, { id: at + 1, key: 'k', flags: START_REVISION, revision });
    }
    world.turn();
    expect(peer.answers.map(({ status }) => status)).toEqual([Status.Compacted, Status.Ok]);
  });

  it('that is forgotten begins anew with what is there, and says so', () => {
    const world = new World({ historyBounds: SMALL_HISTORY });
    const peer = world.connect();
    for (let at = 1; at <= 200; at++) settled(world, `k/${at % 3}`, 'other');
    const flags = FLAG_WATCH_PREFIX | START_POSITION;
    world.watch(peer, { id: 1, key: 'k/', flags, token: token(10) });
    world.watch(peer, { id: 2, key: '', flags, token: token(10), classes: CLASS_LOCKS });
    world.turn();
    world.call(() => world.hold('k/lock'));
    write(world, 'k/0');
    world.settle();
    expect(peer.answers.map(({ status }) => status)).toEqual([Status.Ok, Status.Ok]);
    expect(peer.of(1).map(({ kind, flags, key }) => [EventKind[kind], flags, key])).toEqual([
      ['Compacted', 0, ''],
      ['Put', FLAG_SNAPSHOT, 'k/0'],
      ['Put', FLAG_SNAPSHOT, 'k/1'],
      ['Put', FLAG_SNAPSHOT, 'k/2'],
      ['Synced', 0, ''],
      ['Put', 0, 'k/0'],
    ]);
    expect(rows(peer.of(2))).toEqual([['Compacted'], ['Synced'], ['LockGranted', 'k/lock']]);
  });

  it('shares one pass with others that come back', () => {
    const world = new World();
    const peers = Array.from({ length: 30 }, () => world.connect());
    for (let at = 1; at <= 50_000; at++) world.call(() => world.put(`k/${at % 1000}`, ''));
    world.settle();
    for (const [at, peer] of peers.entries()) {
      const from = (at * 7919) % 50_000;
      const flags = FLAG_WATCH_PREFIX | START_POSITION;
      world.watch(peer, { id: 1, key: `k/${at}`, flags, token: token(from) });
    }
    const startedAt = performance.now();
    world.turn();
    // One pass over 50,000 records takes some milliseconds; 30 of them would not be noticed otherwise.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    for (const [at, peer] of peers.entries()) {
      const from = (at * 7919) % 50_000;
      const expected = world.log.filter(
        ({ key, position }) => position > from && key.startsWith(`k/${at}`),
      );
      expect(peer.of(1).map(({ position }) => position)).toEqual(
        expected.map(({ position }) => position),
      );
    }
  });
});

describe('a watch with a snapshot', () => {
  it('is told what is there, that this is all, and then what changes', () => {
    const world = new World();
    const peer = world.connect();
    write(world, 'a', 'k/1', 'k/2', 'l');
    world.watch(peer, { id: 1, key: 'k/', flags: SNAPSHOT });
    world.watch(peer, { id: 2, key: 'k/1', flags: START_SNAPSHOT });
    world.watch(peer, { id: 3, key: 'k', flags: START_SNAPSHOT });
    world.turn();
    expect(peer.events).toEqual([]);
    world.settle();
    world.turn();
    expect(rows(peer.of(1))).toEqual([
      ['Put', 'k/1', 'value of k/1'],
      ['Put', 'k/2', 'value of k/2'],
      ['Synced'],
    ]);
    expect(rows(peer.of(2))).toEqual([['Put', 'k/1', 'value of k/1'], ['Synced']]);
    expect(rows(peer.of(3))).toEqual([['Synced']]);
    expect(peer.of(1).at(-1)?.position).toBe(4);
    write(world, 'k/1');
    world.settle();
    expect([peer.of(1), peer.of(2), peer.of(3)].map((events) => events.length)).toEqual([4, 3, 1]);
  });

  it('shows no page before what it shows is durable', () => {
    const world = new World();
    const peer = world.connect();
    world.watch(peer, { id: 1, key: 'k/', flags: SNAPSHOT });
    write(world, 'k/1');
    world.turn();
    expect([peer.answers.length, peer.events.length]).toEqual([1, 0]);
    world.settle();
    world.turn();
    expect(rows(peer.of(1))).toEqual([['Put', 'k/1', 'value of k/1'], ['Synced']]);
  });
});

describe('the heartbeat', () => {
  it('says where a connection stands, beside a busy watch as well', () => {
    const world = new World();
    const [idle, busy, none] = [world.connect(), world.connect(), world.connect()];
    world.watch(idle, { id: 1, key: 'idle' });
    world.watch(busy, { id: 1, key: 'busy' });
    world.settle();
    world.turn();
    for (let second = 0; second < 20; second++) {
      write(world, 'busy');
      world.settle();
      world.clock.advance(1000);
    }
    const turns = Math.floor(20_000 / WATCH_HEARTBEAT_MS);
    for (const peer of [idle, busy]) {
      const beats = peer.events.filter(({ kind }) => kind === EventKind.Heartbeat);
      expect(beats.every(({ id }) => id === 0)).toBe(true);
      expect(beats.length).toBeGreaterThanOrEqual(turns);
      expect(beats.length).toBeLessThanOrEqual(turns + 1);
      expect(beats.at(-1)!.position).toBeGreaterThan(15);
    }
    expect(none.frames).toBe(0);
  });

  it('comes to connections whose ids are negative, as those from other workers', () => {
    const world = new World();
    const peer = new FakePeer(-7, world);
    world.watch(peer, { id: 1, key: 'k' });
    world.turn();
    world.clock.advance(2 * WATCH_HEARTBEAT_MS);
    expect(peer.events.length).toBeGreaterThan(0);
    world.hub.onClose(peer.peer);
    const { length } = peer.events;
    world.clock.advance(2 * WATCH_HEARTBEAT_MS);
    expect(peer.events).toHaveLength(length);
  });

  it('comes to connections of one moment at many', () => {
    const world = new World();
    const peers = Array.from({ length: 40 }, () => world.connect());
    for (const peer of peers) world.watch(peer, { id: 1, key: 'k' });
    world.turn();
    world.clock.advance(WATCH_HEARTBEAT_MS / 2);
    const early = peers.filter(({ events }) => events.length > 0).length;
    expect(early).toBeGreaterThan(10);
    expect(early).toBeLessThan(30);
    world.clock.advance(WATCH_HEARTBEAT_MS / 2);
    expect(peers.every(({ events }) => events.length > 0)).toBe(true);
  });

  it('keeps silent while something is not told, and when the watches are gone', () => {
    const world = new World();
    const peer = world.connect();
    world.watch(peer, { id: 1, key: 'k' });
    world.turn();
    write(world, 'k');
    world.watch(peer, { id: 2, key: 'k' });
    world.clock.advance(4 * WATCH_HEARTBEAT_MS);
    expect(peer.events).toEqual([]);
    world.settle();
    world.clock.advance(2 * WATCH_HEARTBEAT_MS);
    expect(peer.events.map(({ kind }) => kind)).toContain(EventKind.Heartbeat);
    const { length } = peer.events;
    for (const id of [1, 2]) world.unwatch(peer, 10 + id, id);
    world.clock.advance(4 * WATCH_HEARTBEAT_MS);
    expect(peer.events).toHaveLength(length);
  });
});

describe('a connection that is closed by the reply to its own frame', () => {
  it('gets no watch, which would never end', () => {
    const world = new World();
    const peer = world.connect();
    peer.close();
    world.watch(peer, { id: 1, key: 'k' });
    world.unwatch(peer, 2, 1);
    world.turn();
    expect(world.hub.count).toBe(0);
    expect(peer.data.watching).toBeUndefined();
  });
});
