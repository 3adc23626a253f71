// Locks over several connections of a whole node: answers that come long after their frame, whoever's call made
// them, and that none leaves before its record is durable.

import { afterEach, describe, expect, it } from 'vitest';
import type { Peer } from '../../node/connection.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_KEYS_ONLY, LOCK_SHARED } from '../../ts/wire/layout.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import {
  lock,
  patiently,
  resumed,
  send,
  startWithLog,
  TTL_MS,
  unlock,
  withSession,
} from './coordination-fixture.js';
import {
  Fixture,
  frameOf,
  pairings,
  type RawClient,
  type Result,
  until,
} from './server-fixture.js';

const { CancelLock, EndSession, Get, Put, Renew, Scan } = OperationCode;

for (const { transport, engine, skip } of pairings()) {
  const name = `locks over ${transport} with the ${engine} engine`;
  if (skip !== undefined) {
    describe(name, () => {
      it.skip(`not here: ${skip}`, () => undefined);
    });
    continue;
  }

  describe(name, () => {
    let fixture: Fixture;

    afterEach(() => fixture.stop());

    const start = async (settings = {}) => {
      fixture = await Fixture.start({ transport, engine, ...settings });
    };

    const connect = async () => (await withSession(fixture)).client;

    /** The only result of the next reply. */
    async function one(client: RawClient): Promise<Result> {
      const results = await client.results();
      expect(results).toHaveLength(1);
      return results[0] as Result;
    }

    async function taken(client: RawClient, key: string, id = 1): Promise<number> {
      send(client, lock(id, key));
      const { status, revision } = await one(client);
      expect(status).toBe(Status.Ok);
      return revision;
    }

    /** Sends, and waits until the node has executed it. */
    async function executed(
      client: RawClient,
      ...operations: Parameters<typeof send>[1][]
    ): Promise<void> {
      const { counters } = fixture.server.worker;
      const before = counters.frames;
      send(client, ...operations);
      await until(() => counters.frames === before + 1, 'the frame');
    }

    const peers = (): Peer[] => [...fixture.server.worker.connections];

    it('are handed on to who waits, in order, with growing tokens', async () => {
      await start();
      const clients = [await connect(), await connect(), await connect()] as const;
      let token = await taken(clients[0], 'jobs');
      await executed(clients[1], lock(7, 'jobs'));
      await executed(clients[2], lock(9, 'jobs'));
      for (const [index, id] of [
        [1, 7],
        [2, 9],
      ] as const) {
        const holder = clients[index - 1] as RawClient;
        send(holder, unlock(50, 'jobs', token));
        expect(await one(holder)).toMatchObject({ id: 50, status: Status.Ok, count: 0 });
        const granted = await one(clients[index]);
        expect(granted).toMatchObject({ id, status: Status.Ok, count: 1 });
        expect(granted.revision).toBeGreaterThan(token);
        token = granted.revision;
      }
    });

    it('that are waited for are missing from the reply, and an empty reply is not sent', async () => {
      await start({ outstandingMax: 4 });
      const holder = await connect();
      const token = await taken(holder, 'a');
      const client = await connect();
      send(client, { code: Get, key: 'x', id: 1 }, lock(2, 'a'), { code: Get, key: 'y', id: 3 });
      expect((await client.results()).map(({ id }) => id)).toEqual([1, 3]);
      for (let id = 10; id < 20; id++) await executed(client, lock(id, 'a'));
      // A wait is no reply that the peer leaves unread: it is not overloaded.
      expect(peers().map(({ data }) => data.outstanding + data.held)).toEqual([0, 0]);
      expect(await client.get('z')).toMatchObject({ status: Status.NotFound });
      send(holder, unlock(2, 'a', token));
      expect(await one(client)).toMatchObject({ id: 2, status: Status.Ok });
    });

    it('time out by themselves, and can be cancelled', async () => {
      await start();
      const holder = await connect();
      await taken(holder, 'a');
      const client = await connect();
      await executed(client, lock(1, 'a', { limit: 500 }), lock(2, 'a'));
      const answer = one(client);
      fixture.clock.advance(400);
      expect(await patiently(answer)).toBe('nothing');
      fixture.clock.advance(200);
      expect(await answer).toMatchObject({ id: 1, status: Status.LockTimeout });
      send(client, { code: CancelLock, key: 'a', id: 3, expectedRevision: 2 });
      expect(await one(client)).toMatchObject({ id: 3, status: Status.Ok });
      expect(await one(client)).toMatchObject({ id: 2, status: Status.LockCancelled });
      send(client, lock(4, 'a', { limit: 0 }));
      expect(await one(client)).toMatchObject({ id: 4, status: Status.LockHeld });
    });

    it('that one call grants to a session are told in one frame', async () => {
      await start();
      const holder = await connect();
      for (const [index, key] of ['a', 'b', 'c'].entries()) await taken(holder, key, index + 1);
      const client = await connect();
      await executed(client, lock(5, 'a'), lock(6, 'b'), lock(7, 'c'));
      send(holder, { code: EndSession, key: '', id: 9 });
      expect((await client.results()).map(({ id, status }) => [id, status])).toEqual([
        [5, Status.Ok],
        [6, Status.Ok],
        [7, Status.Ok],
      ]);
    });

    it('are granted when the session of the holder has ended', async () => {
      await start();
      const holder = await connect();
      await taken(holder, 'a');
      fixture.clock.advance(TTL_MS / 2);
      const client = await connect();
      await executed(client, lock(5, 'a', { flags: LOCK_SHARED }));
      fixture.clock.advance(TTL_MS / 2 + 100);
      expect(await one(client)).toMatchObject({ id: 5, status: Status.Ok });
      expect((await holder.closed).code).toBe(CLOSE_CODE_BASE + Status.SessionUnknown);
    });

    it('answer over the connection that the session has by then', async () => {
      await start();
      const holder = await connect();
      const token = await taken(holder, 'a');
      const { client, welcome } = await withSession(fixture);
      await executed(client, lock(5, 'a'));
      const { client: second } = await resumed(fixture, welcome);
      send(holder, unlock(2, 'a', token));
      expect(await one(second)).toMatchObject({ id: 5, status: Status.Ok });
    });

    it('that were granted while there was no connection are there when asked again', async () => {
      await start();
      const holder = await connect();
      const token = await taken(holder, 'a');
      const { client, welcome } = await withSession(fixture);
      await executed(client, lock(5, 'a'));
      client.socket.close();
      await client.closed;
      await until(() => fixture.server.worker.sessions.connected === 1, 'the close');
      send(holder, unlock(2, 'a', token));
      await one(holder);
      const { client: second } = await resumed(fixture, welcome);
      send(second, lock(5, 'a'));
      const again = await one(second);
      expect(again).toMatchObject({ id: 5, status: Status.Ok });
      expect(again.revision).toBeGreaterThan(token);
    });

    it('name the deadlock that a wait would close', async () => {
      await start();
      const [first, second] = [await connect(), await connect()];
      await taken(first, 'a');
      await taken(second, 'b');
      await executed(first, lock(2, 'b'));
      send(second, lock(2, 'a'));
      const { status, value } = await one(second);
      expect(status).toBe(Status.Deadlock);
      expect(value).toMatch(/waits for "a" held by [0-9a-f]{14}\n/);
    });

    it('know the session in every part of a frame that is answered in parts', async () => {
      await start();
      const client = await connect();
      for (let key = 0; key < 400; key++) await client.put(`k${key}`, '');
      const scans = Array.from({ length: 8 }, (_, index) => ({
        code: Scan,
        key: 'k',
        id: 10_000 + index,
        flags: FLAG_KEYS_ONLY,
        limit: 1000,
      }));
      // Its frames, which have no session, come between the parts.
      const other = await fixture.greet();
      const { frames } = fixture.server.worker.counters;
      const seen: Result[] = [];
      send(client, ...scans, lock(20_000, 'a'), { code: Renew, key: '', id: 20_001 });
      while (seen.at(-1)?.id !== 20_001) {
        other.socket.send(frameOf([{ code: Get, key: 'k1' }]));
        seen.push(...(await client.results()));
      }
      expect(seen.filter(({ id }) => id >= 20_000).map(({ status }) => status)).toEqual([
        Status.Ok,
        Status.Ok,
      ]);
      // It was in parts.
      expect(fixture.server.worker.counters.frames - frames).toBeGreaterThan(3);
    });

    it('show in the metrics', async () => {
      await start();
      const holder = await connect();
      await taken(holder, 'a');
      await executed(await connect(), lock(1, 'a'), lock(2, 'a'));
      const text = await (await fetch(`${fixture.http}/metrics`)).text();
      expect(text).toMatch(/^rondo_lock_holds 1$/m);
      expect(text).toMatch(/^rondo_lock_waits 2$/m);
    });

    it('show nothing that is not durable: neither a grant nor a release', async () => {
      const { fixture: made, log } = await startWithLog({ transport, engine });
      fixture = made;
      const [holder, client] = [await connect(), await connect()];
      const token = await taken(holder, 'a');
      await executed(client, lock(5, 'a'));
      expect(peers().map(({ data }) => data.held)).toEqual([0, 0]);
      log.delayMs = 100;
      const released = one(holder);
      const granted = one(client);
      await executed(holder, unlock(2, 'a', token));
      expect(await patiently(Promise.race([released, granted]))).toBe('nothing');
      expect(peers().map(({ data }) => data.held)).toEqual([1, 1]);
      // Of these two the lock is waited for: it is no reply that is held.
      await executed(
        holder,
        { code: Put, key: 'k', id: 3, value: new Uint8Array(1) },
        lock(4, 'a'),
      );
      expect(peers().map(({ data }) => data.held)).toEqual([2, 1]);
      const appended = log.appended;
      fixture.clock.advance(100);
      expect([(await released).id, (await granted).id]).toEqual([2, 5]);
      expect((await one(holder)).id).toBe(3);
      expect(log.durable).toBeGreaterThanOrEqual(appended);
      expect(peers().map(({ data }) => data.held)).toEqual([0, 0]);
    });

    it('keep a wait that began while the disk was filling, and refuse new grants', async () => {
      const { fixture: made, log } = await startWithLog({ transport, engine });
      fixture = made;
      const [holder, client] = [await connect(), await connect()];
      await taken(holder, 'a');
      await executed(client, lock(5, 'a', { limit: 1_000 }));
      log.refuse('disk_full');
      send(client, lock(6, 'b'));
      expect(await one(client)).toMatchObject({ id: 6, status: Status.DiskFull });
      fixture.clock.advance(1_100);
      expect(await one(client)).toMatchObject({ id: 5, status: Status.LockTimeout });
    });

    it('do not wait for the log under interval', async () => {
      const { fixture: made, log } = await startWithLog({ transport, engine }, false);
      fixture = made;
      log.delayMs = 3_600_000;
      const [holder, client] = [await connect(), await connect()];
      const token = await taken(holder, 'a');
      await executed(client, lock(5, 'a'));
      send(holder, unlock(2, 'a', token), { code: Put, key: 'k', id: 3, value: new Uint8Array(1) });
      expect(await one(client)).toMatchObject({ id: 5, status: Status.Ok });
      expect(log.durable).toBe(0);
    });

    it('let a stop close the connections that wait', async () => {
      await start();
      const holder = await connect();
      await taken(holder, 'a');
      const client = await connect();
      await executed(client, lock(5, 'a'));
      await fixture.pump(fixture.server.stop());
      expect((await client.closed).code).toBe(1001);
    });
  });
}
