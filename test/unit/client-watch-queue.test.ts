// What waits for a slow consumer is bounded, and what is dropped is said.

import { describe, expect, it } from 'vitest';
import { json } from '../../ts/client/index.js';
import { isTold, type Pushed, placeEvent, tell } from '../../ts/client/watch-events.js';
import { WatchQueue } from '../../ts/client/watch-queue.js';
import { placesOf, resumeBytes, tokenOf } from '../../ts/client/watch-token.js';
import { EventKind } from '../../ts/wire/push.js';
import { brief } from './client-watch-node.js';

const ORIGIN = { node: 2 ** 53 - 1, partitions: 64 };

function event(kind: EventKind, key: string, position: number, isSnapshot = false): Pushed {
  const value = kind === EventKind.Put ? String(position) : undefined;
  const where = isSnapshot ? undefined : position;
  return {
    kind,
    key,
    value,
    isSnapshot,
    partition: 0,
    revision: position,
    previous: 0,
    position: where,
    origin: ORIGIN,
  };
}

const put = (key: string, position: number, isSnapshot = false) =>
  event(EventKind.Put, key, position, isSnapshot);

function drain(queue: WatchQueue): string[] {
  const events: Pushed[] = [];
  for (let next = queue.take(); next !== undefined; next = queue.take()) events.push(next);
  return brief(events.map((pushed) => tell(pushed, json)));
}

describe('the queue of a watch', () => {
  it('hands out in order whatever is taken between', () => {
    const queue = new WatchQueue('gap', 100_000);
    const taken: string[] = [];
    let next = 0;
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < 60; i++) queue.add(put('k', next++));
      for (let i = 0; i < 55; i++) {
        const found = queue.take();
        if (found !== undefined) taken.push(String(found.value));
      }
    }
    taken.push(...drain(queue).map((text) => text.slice('put k='.length)));
    expect(taken).toEqual(Array.from({ length: 6000 }, (_, index) => String(index)));
    expect(queue.isEmpty).toBe(true);
  });

  it('under `gap` drops the changes and says up to where, and leaves the snapshot whole', () => {
    const queue = new WatchQueue('gap', 3);
    for (const key of ['a', 'b', 'c', 'd', 'e']) queue.add(put(key, 1, true));
    queue.add(placeEvent(EventKind.Synced, ORIGIN, 10));
    for (let position = 11; position <= 14; position++)
      expect(queue.add(put('x', position))).toBe(true);
    queue.add(put('y', 15));
    const events: Pushed[] = [];
    for (let next = queue.take(); next !== undefined; next = queue.take()) events.push(next);
    expect(events.map(({ kind, key }) => [kind, key])).toEqual([
      ...['a', 'b', 'c', 'd', 'e'].map((key) => [EventKind.Put, key]),
      [EventKind.Synced, ''],
      [EventKind.Gap, ''],
      [EventKind.Put, 'y'],
    ]);
    expect(events[6]?.position).toBe(14);
  });

  it('merges one gap into the next', () => {
    const queue = new WatchQueue('gap', 2);
    for (let position = 1; position <= 9; position++) queue.add(put('x', position));
    expect(drain(queue).filter((text) => text === 'gap')).toHaveLength(1);
  });

  it('under `coalesce` keeps the newest of each key, and a put before a touch', () => {
    const queue = new WatchQueue('coalesce', 8);
    queue.add(put('a', 1));
    queue.add(put('b', 2));
    queue.add(event(EventKind.Touch, 'b', 3));
    queue.add(event(EventKind.Touch, 'b', 4));
    queue.add(put('a', 5));
    queue.add(put('c', 6));
    queue.add(event(EventKind.Delete, 'c', 7));
    queue.add(put('a', 8));
    queue.add(put('a', 9));
    expect(drain(queue)).toEqual(['put b=2', 'touch b', 'delete c', 'put a=9']);
  });

  it('under `coalesce` falls back to a gap where too many keys have changed', () => {
    const queue = new WatchQueue('coalesce', 8);
    for (let position = 1; position <= 9; position++) queue.add(put(`k${position}`, position));
    expect(drain(queue)).toEqual(['gap']);
  });

  it('under `disconnect` refuses and keeps what is there', () => {
    const queue = new WatchQueue('disconnect', 2);
    expect([1, 2, 3].map((position) => queue.add(put('x', position)))).toEqual([true, true, false]);
    expect(drain(queue)).toEqual(['put x=1', 'put x=2']);
    expect(queue.add(put('x', 4))).toBe(true);
  });

  it('is bounded in bytes, too, and ends at a snapshot that is too large', () => {
    const queue = new WatchQueue('gap', 1000, 1000, 1000);
    const large = { ...put('x', 1), value: 'v'.repeat(600) };
    queue.add(large);
    queue.add({ ...large, position: 2 });
    expect(drain(queue)).toEqual(['gap']);
    expect(queue.add({ ...large, isSnapshot: true })).toBe(true);
    expect(queue.add({ ...large, isSnapshot: true })).toBe(false);
    // Taking makes room again.
    queue.take();
    expect(queue.add({ ...large, isSnapshot: true })).toBe(true);
  });
});

const ORIGIN_PLACE = { ...ORIGIN, position: 1 };

describe('a token', () => {
  it('names node, partitions and position, to the largest', () => {
    const position = 2 ** 53 - 1;
    const token = tokenOf([{ ...ORIGIN, position }]);
    expect(placesOf(token)).toEqual([{ ...ORIGIN, position }]);
    expect(Buffer.from(resumeBytes({ ...ORIGIN, position })).toString('hex')).toBe(
      `ffffffffffff1f0040000000${'00000000'}ffffffffffff1f00`,
    );
  });

  it('names the place at each of several workers', () => {
    const places = [
      { node: 2 ** 53 - 1, partitions: 64, position: 0 },
      { node: 7, partitions: 64, position: 2 ** 53 - 1 },
      { node: 9, partitions: 64, position: 3 },
    ];
    expect(placesOf(tokenOf(places))).toEqual(places);
    expect(placesOf(`${tokenOf(places)}.1`)).toBeUndefined();
    expect(placesOf(tokenOf(Array.from({ length: 65 }, () => ORIGIN_PLACE)))).toBeUndefined();
    expect(placesOf(`2.1s${'.zzzzzzzzzzz'.repeat(4)}`)).toBeUndefined();
  });

  it('is refused where it is none', () => {
    for (const wrong of ['', '1', '1.a.b', '2.a.b.c', '1.a.b.c.d', '1.-1.b.c', '1.A.b.c']) {
      expect([wrong, placesOf(wrong)]).toEqual([wrong, undefined]);
    }
    expect(placesOf(`1.${'z'.repeat(11)}.1.1`)).toBeUndefined();
    expect(placesOf('1.1.zzzzzzzz.1')).toBeUndefined();
    expect(placesOf(7 as unknown as string)).toBeUndefined();
  });

  it('stands for every kind of event that a watch tells', () => {
    expect(isTold(EventKind.Heartbeat)).toBe(false);
    expect(isTold(EventKind.LockChanged)).toBe(true);
    expect(tell(event(EventKind.SessionEnded, '', 3), json)).toMatchObject({
      type: 'sessionEnded',
      session: '00000000000000',
      token: tokenOf([{ ...ORIGIN, position: 3 }]),
    });
  });
});
