// Peers that do not read: what each overflow policy makes of it, what stays within bounds, and that
// whoever catches up waits instead of losing anything.

import { describe, expect, it } from 'vitest';
import {
  FLAG_SNAPSHOT,
  FLAG_WATCH_PREFIX,
  OVERFLOW_COALESCE,
  OVERFLOW_DISCONNECT,
  OVERFLOW_GAP,
  START_POSITION,
  START_SNAPSHOT,
} from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import { type FakePeer, type Received, token, World } from './watch-harness.js';

const SEND_BUFFER = 64 * 1024;
const VALUE = 'v'.repeat(1000);

const kinds = (events: readonly Received[]) => events.map(({ kind }) => EventKind[kind]);

/** A world with a peer that has one watch of everything. */
function watching(flags: number, options = {}): [world: World, peer: FakePeer] {
  const world = new World({ sendBufferBytesMax: SEND_BUFFER, ...options });
  const peer = world.connect();
  world.watch(peer, { id: 1, flags: FLAG_WATCH_PREFIX | flags });
  world.turn();
  peer.isReading = false;
  return [world, peer];
}

function write(world: World, count: number, keys = 10): void {
  for (let at = 0; at < count; at++) {
    world.call(() => world.put(`k${at % keys}`, `${world.position} ${VALUE}`));
    world.settle();
  }
}

/** The peer reads until nothing waits for it any more. */
function readAll(world: World, peer: FakePeer): void {
  for (let round = 0; round < 10_000 && peer.bufferedBytes > 0; round++) {
    peer.read();
    world.turn();
  }
  peer.isReading = true;
}

describe('a peer that does not read', () => {
  it('with gap: events are dropped, the gap is named, and then it goes on', () => {
    const [world, peer] = watching(OVERFLOW_GAP);
    write(world, 200);
    expect(peer.bufferedBytesMost).toBeLessThan(SEND_BUFFER / 2);
    readAll(world, peer);
    write(world, 3);
    const gap = peer.events.findIndex(({ kind }) => kind === EventKind.Gap);
    const before = peer.events.slice(0, gap).map(({ position }) => position);
    expect(before).toEqual(before.map((_, at) => at + 1));
    expect(before.length).toBeGreaterThan(10);
    expect(peer.events[gap]?.position).toBe(200);
    expect(peer.events.slice(gap + 1).map(({ position }) => position)).toEqual([201, 202, 203]);
  });

  it('with coalesce: has the newest event of each key, in order', () => {
    const [world, peer] = watching(OVERFLOW_COALESCE);
    write(world, 200);
    world.call(() => world.remove('k3'));
    world.settle();
    readAll(world, peer);
    write(world, 1, 1);
    expect(kinds(peer.events)).not.toContain('Gap');
    const positions = peer.events.map(({ position }) => position);
    expect(positions).toEqual([...positions].sort((left, right) => left - right));
    expect(positions.slice(-11)).toEqual([191, 192, 193, 195, 196, 197, 198, 199, 200, 201, 202]);
    expect(positions.length).toBeLessThan(60);
  });

  it('with coalesce, of more keys than are kept: hears of a gap', () => {
    const [world, peer] = watching(OVERFLOW_COALESCE);
    write(world, 6000, 6000);
    readAll(world, peer);
    const gap = peer.events.findIndex(({ kind }) => kind === EventKind.Gap);
    expect(peer.events[gap]?.position).toBe(6000);
    expect(gap).toBe(peer.events.length - 1);
  });

  it('with disconnect: loses the watch and keeps the connection', () => {
    const [world, peer] = watching(OVERFLOW_DISCONNECT);
    world.watch(peer, { id: 2, key: 'k1', flags: OVERFLOW_GAP });
    write(world, 200);
    expect(world.hub.count).toBe(1);
    readAll(world, peer);
    write(world, 2);
    expect(peer.isOpen).toBe(true);
    const last = peer.of(1).at(-1);
    expect([last?.kind, last?.status]).toEqual([EventKind.Ended, Status.WatchOverflow]);
    expect(peer.of(2).at(-1)?.position).toBe(202);
  });

  it('takes nothing from others', () => {
    const [world, peer] = watching(OVERFLOW_GAP);
    const other = world.connect();
    world.watch(other, { id: 1, flags: FLAG_WATCH_PREFIX });
    write(world, 200);
    expect(other.events).toHaveLength(200);
    expect(peer.events).toHaveLength(0);
  });

  it('is told nothing twice when it reads bit by bit', () => {
    const [world, peer] = watching(OVERFLOW_GAP);
    for (let round = 0; round < 30; round++) {
      write(world, 40);
      peer.read();
      world.turn();
    }
    readAll(world, peer);
    let last = 0;
    for (const { kind, position } of peer.events) {
      if (kind !== EventKind.Gap && last > 0) expect(position).toBe(last + 1);
      expect(position).toBeGreaterThanOrEqual(last);
      last = position;
    }
    expect(last).toBe(1200);
    expect(kinds(peer.events).filter((kind) => kind === 'Gap').length).toBeGreaterThan(10);
  });

  it('gets no heartbeat while something waits for it', () => {
    const [world, peer] = watching(OVERFLOW_GAP);
    write(world, 200);
    world.clock.advance(60_000);
    peer.isReading = true;
    readAll(world, peer);
    const first = kinds(peer.events).indexOf('Heartbeat');
    expect(first === -1 || first > kinds(peer.events).indexOf('Gap')).toBe(true);
  });

  it('leaves nothing behind when it goes', () => {
    const [world, peer] = watching(OVERFLOW_COALESCE);
    write(world, 200);
    peer.close();
    expect(world.hub.count).toBe(0);
    const frames = peer.frames;
    write(world, 10);
    world.clock.advance(60_000);
    expect(peer.frames).toBe(frames);
  });
});

describe('a slow peer that catches up', () => {
  it('loses nothing, however much it has to read', () => {
    const world = new World({ sendBufferBytesMax: SEND_BUFFER });
    const peer = world.connect();
    write(world, 500);
    peer.isReading = false;
    const flags = FLAG_WATCH_PREFIX | START_POSITION;
    world.watch(peer, { id: 1, flags, token: token(100) });
    world.turn();
    expect(peer.bufferedBytesMost).toBeLessThan(SEND_BUFFER);
    readAll(world, peer);
    expect(peer.events.map(({ position }) => position)).toEqual(
      Array.from({ length: 400 }, (_, at) => 101 + at),
    );
    expect(peer.bufferedBytesMost).toBeLessThan(SEND_BUFFER);
  });

  it('begins anew where the history has overtaken it', () => {
    const historyBounds = { bytes: 300_000, records: 1_000_000, chunkBytes: 20_000 };
    const world = new World({ sendBufferBytesMax: SEND_BUFFER, historyBounds });
    const peer = world.connect();
    write(world, 200);
    peer.isReading = false;
    const flags = FLAG_WATCH_PREFIX | START_POSITION;
    world.watch(peer, { id: 1, flags, token: token(5) });
    world.turn();
    // The first 200 are forgotten before the peer reads.
    write(world, 400);
    readAll(world, peer);
    const compacted = kinds(peer.events).indexOf('Compacted');
    expect(compacted).toBeGreaterThan(-1);
    const behind = peer.events.slice(compacted + 1);
    expect(kinds(behind)).toEqual([...Array(10).fill('Put'), 'Synced']);
    expect(behind.slice(0, 10).every(({ flags }) => flags === FLAG_SNAPSHOT)).toBe(true);
    expect(behind.at(-1)?.position).toBe(600);
  });

  it('is told a large snapshot page by page, as it reads', () => {
    const world = new World({ sendBufferBytesMax: SEND_BUFFER });
    const peer = world.connect();
    for (let at = 0; at < 5000; at++) world.call(() => world.put(`k${at}`, 'value'));
    world.settle();
    peer.isReading = false;
    world.watch(peer, { id: 1, flags: FLAG_WATCH_PREFIX | START_SNAPSHOT });
    world.turn();
    const atOnce = world.scans;
    expect(atOnce).toBeLessThan(5);
    expect(peer.bufferedBytesMost).toBeLessThan(SEND_BUFFER);
    readAll(world, peer);
    expect(new Set(peer.events.map(({ key }) => key)).size).toBe(5001);
    expect(peer.events).toHaveLength(5001);
    expect(peer.events.at(-1)?.kind).toBe(EventKind.Synced);
    expect(peer.bufferedBytesMost).toBeLessThan(SEND_BUFFER);
  });
});

describe('more changes in a turn than are told in one', () => {
  const historyBounds = { bytes: 200_000, records: 1_000_000, chunkBytes: 20_000 };

  it('do not take memory without bound: those beyond the bounds are told at once', () => {
    // Was: what was not told waited, so that the history grew as long as more was written than told.
    const world = new World({ historyBounds });
    const peer = world.connect();
    world.watch(peer, { id: 1, key: 'k' });
    world.turn();
    for (let round = 0; round < 10; round++) {
      world.call(() => {
        for (let at = 0; at < 40_000; at++) world.put(at === 0 ? 'k' : `key ${at % 50}`, 'v');
      });
      world.settle();
      expect(world.history.bytes).toBeLessThan(5_000_000);
    }
    world.turn();
    expect(peer.of(1)).toHaveLength(10);
  });

  it('do not keep a watch that catches up from arriving', () => {
    const world = new World();
    const peer = world.connect();
    const change = () => {
      for (let at = 0; at < 20_000; at++) world.put(`key ${at % 50}`, 'v');
    };
    for (let round = 0; round < 3; round++) world.call(change);
    world.settle();
    const flags = START_POSITION;
    world.watch(peer, { id: 1, key: 'k', flags, token: token(0) });
    let turns = 0;
    const write = () => {
      if (peer.data.watching?.unsettled === 0 || ++turns > 30) return;
      world.call(change);
      world.settle();
      world.clock.soon(write);
    };
    world.clock.soon(write);
    world.turn();
    expect(turns).toBeLessThan(10);
  });
});
