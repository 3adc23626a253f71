// The bounds of a node: peers that do not read, too many operations, connections or bytes. Each is
// answered by itself, and a peer that behaves again is served again.

import { afterEach, describe, expect, it } from 'vitest';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_KEYS_ONLY, TTL_SET } from '../../ts/wire/layout.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import {
  Fixture,
  frameOf,
  pairings,
  type RawClient,
  type Result,
  tick,
  until,
} from './server-fixture.js';

const { Get, Put, Delete, Increment } = OperationCode;
const LARGE = new Uint8Array(100_000).fill(120);

for (const { transport, engine, skip } of pairings()) {
  const name = `limits over ${transport} with the ${engine} engine`;
  if (skip !== undefined) {
    describe(name, () => {
      it.skip(`not here: ${skip}`, () => undefined);
    });
    continue;
  }

  describe(name, () => {
    let fixture: Fixture;

    afterEach(() => fixture.stop());

    const tenLargeGets = (firstId: number) =>
      frameOf(
        Array.from({ length: 10 }, (_, index) => ({
          code: Get,
          key: 'large',
          id: firstId + index,
        })),
      );

    async function paused(): Promise<RawClient> {
      const client = await fixture.greet();
      await client.put('large', LARGE);
      client.socket.pause();
      return client;
    }

    it('answers OVERLOADED while too many operations are unread, and recovers', async () => {
      fixture = await Fixture.start({ transport, engine, outstandingMax: 100 });
      const client = await paused();
      const frames = 40;
      for (let index = 0; index < frames; index++) client.socket.send(tenLargeGets(1 + index * 10));
      const increment = { code: Increment, key: 'counted', value: new Uint8Array(8).fill(1, 0, 1) };
      client.socket.send(frameOf([increment, { ...increment, id: 2 }]));
      const { counters } = fixture.server.worker;
      await until(() => counters.operationsOverloaded % 10 === 2, 'the last frame');

      client.socket.resume();
      const replies: Result[][] = [];
      for (let index = 0; index < frames; index++) replies.push(await client.results());
      const served = replies.filter((results) =>
        results.every(({ status }) => status === Status.Ok),
      );
      const refused = replies.filter((results) => {
        return results.every(({ status }) => status === Status.Overloaded);
      });
      expect(served.length + refused.length).toBe(frames);
      expect(served.length).toBeGreaterThanOrEqual(10);
      expect(refused.length).toBeGreaterThan(0);
      expect(replies.flat().map(({ id }) => id)).toEqual(
        Array.from({ length: frames * 10 }, (_, index) => index + 1),
      );
      const last = await client.results();
      expect(last.map(({ id, status }) => [id, status])).toEqual([
        [1, Status.Overloaded],
        [2, Status.Overloaded],
      ]);
      expect(counters.operationsOverloaded).toBe(refused.length * 10 + 2);

      await until(() => drained(fixture), 'the drain');
      expect((await client.get('counted')).status).toBe(Status.NotFound);
      expect((await client.request(tenLargeGets(1)))[9]?.status).toBe(Status.Ok);
      expect(fixture.takeWarnings()).toMatchObject([{ event: 'operations_overloaded' }]);
    });

    it('refuses a bad frame while overloaded as it does otherwise', async () => {
      fixture = await Fixture.start({ transport, engine, outstandingMax: 20 });
      const client = await paused();
      for (let index = 0; index < 20; index++) client.socket.send(tenLargeGets(1));
      const { counters } = fixture.server.worker;
      await until(() => counters.operationsOverloaded > 0, 'the overload');
      client.socket.send(new Uint8Array(40));
      await until(() => (counters.refused[Status.Malformed] ?? 0) > 0, 'the refusal');
      client.socket.resume();
      expect((await client.closed).code).toBe(CLOSE_CODE_BASE + Status.Malformed);
    });

    it('closes a slow reader with a reason, and gives it what it had asked for', async () => {
      const sendBufferBytesMax = 4 * 1024 * 1024;
      fixture = await Fixture.start({ transport, engine, sendBufferBytesMax });
      const client = await paused();
      const other = await fixture.greet();
      for (let index = 0; index < 40; index++) client.socket.send(tenLargeGets(1));
      const { connections } = fixture.server.worker;
      await until(() => connections.size === 1, 'the close');
      expect(fixture.takeWarnings()).toMatchObject([
        { event: 'connection_refused', status: 'SLOW_READER' },
      ]);
      expect((await other.get('large')).status).toBe(Status.Ok);
      client.socket.resume();
      const { code, reason } = await client.closed;
      expect(code).toBe(CLOSE_CODE_BASE + Status.SlowReader);
      expect(reason).toMatch(/4194304 bytes of replies unread/);
    });

    it('refuses writes beyond the memory bound, and goes on with reads and deletes', async () => {
      fixture = await Fixture.start({ transport, engine, memoryMax: 4_000 });
      const client = await fixture.greet();
      const statuses: number[] = [];
      for (let index = 0; index < 40; index++) {
        statuses.push((await client.put(`key/${index}`, 'x'.repeat(100))).status);
      }
      const fits = statuses.indexOf(Status.ResourceExhausted);
      expect(fits).toBeGreaterThan(10);
      expect(statuses.slice(fits).every((status) => status === Status.ResourceExhausted)).toBe(
        true,
      );
      expect(fixture.server.worker.memoryBytes).toBeLessThanOrEqual(4_000);
      expect((await client.get('key/0')).status).toBe(Status.Ok);
      const [deleted] = await client.request(frameOf([{ code: Delete, key: 'key/0' }]));
      expect(deleted?.status).toBe(Status.Ok);
      expect((await client.put('key/new', 'x'.repeat(100))).status).toBe(Status.Ok);
      fixture.clock.advance(1_000);
      expect(fixture.takeWarnings()).toMatchObject([
        { event: 'operations_refused', status: 'RESOURCE_EXHAUSTED', operations: 40 - fits },
      ]);
    });

    it('answers a frame whose replies exceed one reply frame in several', async () => {
      fixture = await Fixture.start({ transport, engine });
      const client = await fixture.greet();
      await client.put('large', new Uint8Array(900_000));
      const frame = frameOf(Array.from({ length: 20 }, () => ({ code: Get, key: 'large' })));
      client.socket.send(frame);
      const results: Result[] = [];
      let replies = 0;
      while (results.length < 20) {
        results.push(...(await client.results()));
        replies++;
      }
      expect(replies).toBeGreaterThan(1);
      expect(results.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
      expect(results.every(({ value }) => value.length === 900_000)).toBe(true);
    });

    // One frame's replies were all sent at once, so that a peer who asked for more than the bound was
    // closed as a slow reader however fast it read.
    it('paces the replies of one frame by its reader, and answers what comes behind in order', async () => {
      fixture = await Fixture.start({ transport, engine, sendBufferBytesMax: 8 * 1024 * 1024 });
      const client = await fixture.greet();
      const other = await fixture.greet();
      await client.put('large', new Uint8Array(1_000_000));
      client.socket.pause();
      client.socket.send(frameOf(Array.from({ length: 64 }, () => ({ code: Get, key: 'large' }))));
      client.socket.send(frameOf([{ code: Put, key: 'behind', value: LARGE, id: 65 }]));
      client.socket.send(frameOf([{ code: Get, key: 'behind', id: 66 }]));
      await tick(50);
      expect((await other.get('behind')).status).toBe(Status.NotFound);
      client.socket.resume();
      const results: Result[] = [];
      while (results.length < 66) results.push(...(await client.results()));
      expect(results.map(({ id }) => id)).toEqual(Array.from({ length: 66 }, (_, i) => i + 1));
      expect(results.every(({ status }) => status === Status.Ok)).toBe(true);
      expect((await other.get('behind')).status).toBe(Status.Ok);
      expect(fixture.takeWarnings()).toEqual([]);
    });

    it('closes a peer that goes on sending behind a frame whose replies it does not read', async () => {
      fixture = await Fixture.start({ transport, engine, sendBufferBytesMax: 8 * 1024 * 1024 });
      const client = await fixture.greet();
      await client.put('large', new Uint8Array(1_000_000));
      client.socket.pause();
      client.socket.send(frameOf(Array.from({ length: 64 }, () => ({ code: Get, key: 'large' }))));
      const writes = frameOf([{ code: Put, key: 'behind', value: new Uint8Array(1_000_000) }]);
      const { connections } = fixture.server.worker;
      for (let index = 0; index < 30; index++) client.socket.send(writes);
      await until(() => connections.size === 0, 'the close');
      expect(fixture.takeWarnings()).toMatchObject([
        { event: 'connection_refused', status: 'SLOW_READER' },
      ]);
    });

    it('refuses connections beyond the maximum, and takes one when another has left', async () => {
      fixture = await Fixture.start({ transport, engine, connectionsMax: 2 });
      const first = await fixture.greet();
      await fixture.greet();
      await expect(fixture.connect()).rejects.toThrow('503');
      expect(fixture.takeWarnings()).toMatchObject([{ event: 'upgrade_refused', httpStatus: 503 }]);
      first.socket.close();
      await until(() => fixture.server.worker.connections.size === 1, 'the close');
      const third = await fixture.greet();
      expect((await third.get('any')).status).toBe(Status.NotFound);
    });

    it('expires keys that no one asks for, however many fall due at once', async () => {
      fixture = await Fixture.start({ transport, engine });
      const client = await fixture.greet();
      const value = new Uint8Array(1);
      for (let batch = 0; batch < 3; batch++) {
        const operations = Array.from({ length: 3_000 }, (_, index) => {
          return { code: Put, key: `${batch}/${index}`, value, flags: TTL_SET, ttlMs: 100 };
        });
        await client.request(frameOf(operations));
      }
      await client.put('stays', 'here');
      expect(fixture.server.worker.keys).toBe(9_001);
      fixture.clock.advance(99);
      expect(fixture.server.worker.keys).toBe(9_001);
      fixture.clock.advance(51);
      expect(fixture.server.worker.keys).toBe(1);
      expect(fixture.records()).toBe(18_001);
      expect((await client.get('0/0')).status).toBe(Status.NotFound);
      expect((await client.get('stays')).value).toBe('here');
    });

    it('keeps the value out of a keys-only read', async () => {
      fixture = await Fixture.start({ transport, engine });
      const client = await fixture.greet();
      const { revision } = await client.put('a', 'value');
      const [result] = await client.request(
        frameOf([{ code: Get, key: 'a', flags: FLAG_KEYS_ONLY }]),
      );
      expect(result).toMatchObject({ status: Status.Ok, value: '', revision });
      await tick();
    });
  });
}

function drained(fixture: Fixture): boolean {
  return [...fixture.server.worker.connections].every(
    ({ bufferedBytes, data }) => bufferedBytes === 0 && data.outstanding === 0,
  );
}
