// The gate of a whole node, with a log in memory whose progress the test decides: no reply shows what is
// not durable, and none waits for more than what it shows.

import { afterEach, describe, expect, it } from 'vitest';
import { SETTLE_DEADLINE_MS } from '../../node/limits.js';
import { LogError } from '../../node/log/log.js';
import { MemoryLog } from '../../node/log/memory-log.js';
import { openState, type State, type StateOptions } from '../../node/state.js';
import { INPUT_WRITE_REFUSAL } from '../../ts/engine/engine.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { lock, send, withSession } from './coordination-fixture.js';
import { Fixture, frameOf, pairings, type RawClient, tick, until } from './server-fixture.js';

/** Milliseconds in which a reply that may leave does. */
const PATIENCE_MS = 60;

for (const { transport, engine, skip } of pairings()) {
  const name = `the gate over ${transport} with the ${engine} engine`;
  if (skip !== undefined) {
    describe(name, () => {
      it.skip(`not here: ${skip}`, () => undefined);
    });
    continue;
  }

  describe(name, () => {
    let fixture: Fixture;
    let log: MemoryLog;

    afterEach(async () => {
      // Where the log has failed, the stop says so.
      await fixture.stop().catch((error: unknown) => expect(fixture.fatal).toContain(error));
    });

    async function start(
      isWaiting = true,
      onOpen: (made: MemoryLog) => void = () => undefined,
    ): Promise<RawClient> {
      fixture = await Fixture.start({ transport, engine }, { openState: open });
      return fixture.greet();

      async function open(options: StateOptions): Promise<State> {
        const state = await openState(options);
        const { clock, events, settings } = options;
        log = new MemoryLog({ partitions: settings.partitions, clock, events });
        onOpen(log);
        return { ...state, log, isWaiting, close: () => log.close().then(() => state.close()) };
      }
    }

    /** Sends and says whether the reply is held. */
    async function isHeld(client: RawClient, frame: Uint8Array): Promise<boolean> {
      const { held } = fixture.server.worker.gate ?? { held: { count: -1 } };
      const { frames } = fixture.server.worker.counters;
      const before = held.count;
      client.socket.send(frame);
      await until(() => fixture.server.worker.counters.frames === frames + 1, 'the frame');
      return held.count === before + 1;
    }

    it('holds a write until it is durable', async () => {
      const client = await start();
      log.delayMs = 10;
      expect(await isHeld(client, put('a', 'one', 1))).toBe(true);
      const reply = client.results();
      const first = await Promise.race([reply, tick(PATIENCE_MS).then(() => 'nothing yet')]);
      expect(first).toBe('nothing yet');
      fixture.clock.advance(10);
      expect(await reply).toMatchObject([{ id: 1, status: Status.Ok, revision: 1 }]);
    });

    it('lets a read of a settled key pass, and holds one of what is not settled', async () => {
      const client = await start();
      await client.put('settled', 'old');
      await client.put('gone', 'old');
      log.delayMs = 10;
      expect(await isHeld(client, put('fresh', 'new', 1))).toBe(true);
      expect(await isHeld(client, remove('gone', 2))).toBe(true);
      const reader = await fixture.greet();
      expect(await isHeld(reader, get('fresh', 3))).toBe(true);
      expect(await isHeld(reader, get('gone', 4))).toBe(true);
      // Overtakes what is held on its own connection.
      expect(await isHeld(client, get('settled', 5))).toBe(false);
      expect(await client.results()).toMatchObject([{ id: 5, value: 'old' }]);
      expect(await isHeld(reader, get('never', 6))).toBe(false);
      expect(await reader.results()).toMatchObject([{ id: 6, status: Status.NotFound }]);
      fixture.clock.advance(10);
      expect(await reader.results()).toMatchObject([{ id: 3, value: 'new' }]);
      expect(await reader.results()).toMatchObject([{ id: 4, status: Status.NotFound }]);
      // Settled now.
      expect(await isHeld(reader, get('fresh', 7))).toBe(false);
    });

    it('refuses writes and goes on reading while the disk is full', async () => {
      const client = await start();
      await client.put('a', 'one');
      log.refuse('disk_full');
      expect(await client.put('a', 'two')).toMatchObject({ status: Status.DiskFull, revision: 0 });
      expect(await client.get('a')).toMatchObject({ status: Status.Ok, value: 'one' });
      expect(fixture.entries.filter(({ event }) => event === 'writes_refused')).toMatchObject([
        { level: 'warn', status: 'DISK_FULL' },
      ]);
      log.refuse('none');
      expect(await client.put('a', 'two')).toMatchObject({ status: Status.Ok, revision: 2 });
    });

    it('shows nothing unsettled and ends when the log fails', async () => {
      const client = await start();
      await client.put('a', 'one');
      log.delayMs = 10;
      expect(await isHeld(client, put('a', 'two', 1))).toBe(true);
      const reader = await fixture.greet();
      expect(await isHeld(reader, get('a', 2))).toBe(true);
      log.fail(new Error('EIO'));
      for (const peer of [client, reader]) {
        const { code, reason } = await peer.closed;
        expect(code).toBe(CLOSE_CODE_BASE + Status.LogFailed);
        expect(reason).toMatch(/log failed.*unknown/);
        await expect(peer.next()).rejects.toThrow('closed with');
      }
      await fixture.pump(until(() => fixture.fatal.length > 0, 'the end'));
      expect(fixture.fatal[0]).toBeInstanceOf(LogError);
      expect(fixture.fatal[0]).toMatchObject({ code: 'LOG_FAILED' });
      expect(fixture.server.worker.phase).toBe('failed');
    });

    it('paces a frame of many replies that wait for the log, as it does one that waits for its peer', async () => {
      const client = await start();
      log.delayMs = 10;
      const value = 'x'.repeat(500_000);
      expect(await isHeld(client, put('large', value, 1))).toBe(true);
      const { gate } = fixture.server.worker;
      // The first reply shows what is not settled; what comes behind it is up to the node.
      const reader = await fixture.greet();
      const gets = Array.from({ length: 400 }, (_, index) => index + 1);
      reader.socket.send(
        frameOf(gets.map((id) => ({ code: OperationCode.Get, key: 'large', id }))),
      );
      await until(() => (gate?.held.count ?? 0) > 1, 'the first reply');
      await tick(2 * PATIENCE_MS);
      expect(gate?.refusal).toBe(Status.Ok);
      fixture.clock.advance(10);
      const ids: number[] = [];
      while (ids.length < gets.length) {
        for (const { id, status } of await reader.results()) {
          expect(status).toBe(Status.Ok);
          ids.push(id);
        }
      }
      expect(ids).toEqual(gets);
    });

    it('answers what is held before it stops', async () => {
      const client = await start();
      log.delayMs = 25;
      expect(await isHeld(client, put('a', 'one', 1))).toBe(true);
      const reply = client.results();
      await fixture.pump(fixture.server.stop());
      expect(await reply).toMatchObject([{ id: 1, status: Status.Ok }]);
      expect((await client.closed).code).toBe(1001);
    });

    it('executes nothing more while it waits for the log at a stop', async () => {
      const client = await start();
      log.delayMs = 25;
      expect(await isHeld(client, put('a', 'one', 1))).toBe(true);
      const other = await fixture.greet();
      const stopped = fixture.server.stop();
      await tick(PATIENCE_MS);
      other.socket.send(put('b', 'one', 1));
      client.socket.send(put('a', 'two', 2));
      await tick(PATIENCE_MS);
      const executed = fixture.records();
      await fixture.pump(stopped);
      expect(await client.results()).toMatchObject([{ id: 1, status: Status.Ok }]);
      // What has no reply at a 1001 was not executed.
      expect([(await client.closed).code, (await other.closed).code]).toEqual([1001, 1001]);
      expect(executed).toBe(1);
    });

    it('does not begin anew, while it waits for the log at a stop, what would not be durable in time', async () => {
      // Was: a lease that ran out meanwhile had its lock granted, and whoever got it was told LOG_FAILED.
      const client = await start();
      const holder = await withSession(fixture);
      const waiter = await withSession(fixture);
      send(holder.client, lock(1, 'a', { ttlMs: 100 }));
      expect(await holder.client.results()).toMatchObject([{ id: 1, status: Status.Ok }]);
      const { counters } = fixture.server.worker;
      const before = counters.frames;
      send(waiter.client, lock(1, 'a'));
      await until(() => counters.frames === before + 1, 'the wait');
      log.delayMs = 200;
      expect(await isHeld(client, put('a', 'one', 1))).toBe(true);
      await fixture.pump(fixture.server.stop());
      expect(await client.results()).toMatchObject([{ id: 1, status: Status.Ok }]);
      expect([(await client.closed).code, (await waiter.client.closed).code]).toEqual([1001, 1001]);
    });

    it('does not call unexecuted what the log did not take before the stop', async () => {
      const client = await start();
      log.refuse('overloaded');
      log.delayMs = 1;
      fixture.server.worker.engine.input[INPUT_WRITE_REFUSAL] = Status.Ok;
      expect(await isHeld(client, put('a', 'one', 1))).toBe(true);
      const idle = await fixture.greet();
      const stopped = fixture.server.stop();
      await tick(PATIENCE_MS);
      fixture.clock.advance(SETTLE_DEADLINE_MS);
      await fixture.pump(stopped);
      expect((await client.closed).code).toBe(CLOSE_CODE_BASE + Status.LogFailed);
      expect((await idle.closed).code).toBe(1001);
    });

    it('does not stop as if all were well when the log fails meanwhile', async () => {
      const client = await start();
      log.delayMs = 25;
      expect(await isHeld(client, put('a', 'one', 1))).toBe(true);
      const stopped = fixture.server.stop();
      await tick(PATIENCE_MS);
      log.fail(new Error('EIO'));
      await expect(fixture.pump(stopped)).rejects.toMatchObject({ code: 'LOG_FAILED' });
      expect((await client.closed).code).toBe(CLOSE_CODE_BASE + Status.LogFailed);
      expect(fixture.fatal).toMatchObject([{ code: 'LOG_FAILED' }]);
    });

    it('does not start as if all were well when the log fails before it serves', async () => {
      await expect(start(true, (made) => made.fail(new Error('EIO')))).rejects.toMatchObject({
        code: 'LOG_FAILED',
      });
      fixture = await Fixture.start({ transport, engine });
    });

    it('stops at once under interval, however late the next sync', async () => {
      const client = await start(false);
      log.delayMs = 3_600_000;
      expect(await client.put('a', 'one')).toMatchObject({ status: Status.Ok });
      // Time stands still: waiting for the log would wait for good.
      await fixture.server.stop();
      expect((await client.closed).code).toBe(1001);
      expect(log.durable).toBe(1);
    });

    it('holds nothing under interval, and stores all the same', async () => {
      const client = await start(false);
      log.delayMs = 10;
      expect(await client.put('a', 'one')).toMatchObject({ status: Status.Ok });
      expect(await client.get('a')).toMatchObject({ value: 'one' });
      expect([log.appended, log.durable]).toEqual([1, 0]);
      fixture.clock.advance(10);
      expect(log.durable).toBe(1);
    });
  });
}

function put(key: string, value: string, id: number): Uint8Array {
  return frameOf([{ code: OperationCode.Put, key, value: Buffer.from(value), id }]);
}

function get(key: string, id: number): Uint8Array {
  return frameOf([{ code: OperationCode.Get, key, id }]);
}

function remove(key: string, id: number): Uint8Array {
  return frameOf([{ code: OperationCode.Delete, key, id }]);
}
