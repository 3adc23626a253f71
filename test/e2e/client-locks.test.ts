// Locks of the client against a real node, with each engine: they exclude, hand over in turn, and never wait in
// a circle; a holder that has lost its lock cannot write.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Rondo, RondoError } from '../../ts/client/index.js';
import { startTestNode, type TestNode } from './client-node.js';
import { SETUPS } from './client-setups.js';

const failureOf = async (promise: Promise<unknown>): Promise<RondoError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof RondoError) return error;
  throw new Error(`no RondoError: ${String(error)}`);
};
const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  (await failureOf(promise)).code;

for (const { title, isSkipped, routing, arguments: setup } of SETUPS) {
  describe.skipIf(isSkipped)(`locks of the client with the engine ${title}`, () => {
    let node: TestNode;
    let one: Rondo;
    let two: Rondo;
    beforeAll(async () => {
      node = await startTestNode(...setup);
      one = connect({ url: node.url, routing });
      two = connect({ url: node.url, routing });
    });
    afterAll(async () => {
      await Promise.all([one.close(), two.close()]);
      await node.stop();
    });

    const isWaitedFor = async (name: string): Promise<boolean> => {
      for await (const lock of two.locks(name)) return lock.waits > 0;
      return false;
    };

    it('lose no count of many that write under a lock', async () => {
      const clients = Array.from({ length: 10 }, () => connect({ url: node.url, routing }));
      const tokens: number[] = [];
      const work = async (client: Rondo): Promise<void> => {
        for (let round = 0; round < 20; round++) {
          await using lock = await client.lock('count');
          tokens.push(lock.token);
          const count = (await client.kv.get<number>('counted')) ?? 0;
          await lock.put('counted', count + 1);
        }
      };
      await Promise.all(clients.map(work));
      expect(await one.kv.get('counted')).toBe(200);
      expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
      expect(new Set(tokens).size).toBe(200);
      await Promise.all(clients.map((client) => client.drain()));
    });

    it('are tried, waited for, and given up', async () => {
      await using held = await one.lock('held');
      const refusal = await failureOf(two.lock('held', { waitMs: 0 }));
      expect(refusal).toMatchObject({ code: 'LOCK_HELD', revision: held.token });
      expect(await codeOf(two.lock('held', { waitMs: 30 }))).toBe('LOCK_TIMEOUT');
      const controller = new AbortController();
      const given = codeOf(two.lock('held', { signal: controller.signal }));
      const third = connect({ url: node.url, routing });
      const next = third.lock('held');
      setTimeout(() => controller.abort(), 20);
      expect(await given).toBe('CANCELLED');
      await held.release();
      const after = await next;
      expect(after.token).toBeGreaterThan(held.token);
      await third.drain();
    });

    it('are shared, upgraded and downgraded', async () => {
      const first = await one.lock('shared', { mode: 'shared' });
      const second = await two.lock('shared', { mode: 'shared' });
      const upgraded = first.upgrade();
      while (!(await isWaitedFor('shared'))) await new Promise((resolve) => setTimeout(resolve, 5));
      expect(await codeOf(second.upgrade())).toBe('UPGRADE_CONFLICT');
      await second.release();
      await upgraded;
      expect(await codeOf(two.lock('shared', { mode: 'shared', waitMs: 0 }))).toBe('LOCK_HELD');
      await first.put('under/shared', 1);
      await first.downgrade();
      await (await two.lock('shared', { mode: 'shared', waitMs: 0 })).release();
      expect(await codeOf(first.upgrade({ signal: AbortSignal.abort() }))).toBe('CANCELLED');
      await first.release();
      await (await two.lock('shared', { waitMs: 0 })).release();
    });

    it('are taken again where asked, and released as often', async () => {
      const outer = await one.lock('again', { reentrant: true });
      const inner = await one.lock('again', { reentrant: true });
      expect(inner.token).toBe(outer.token);
      await inner.release();
      expect(await codeOf(two.lock('again', { waitMs: 0 }))).toBe('LOCK_HELD');
      await outer.release();
      await (await two.lock('again', { waitMs: 0 })).release();
    });

    it('name the circle in which they would wait for ever', async () => {
      await using first = await one.lock('left');
      const second = await two.lock('right');
      const waiting = one.lock('right');
      // The wait is there before the lock is asked for that closes the circle.
      expect(await codeOf(one.lock('left', { waitMs: 50 }))).toBe('LOCK_TIMEOUT');
      const deadlock = await failureOf(two.lock('left'));
      expect(deadlock.code).toBe('DEADLOCK');
      expect(deadlock.message).toMatch(/waits for "left".*\n.*waits for "right"/);
      await second.release();
      await (await waiting).release();
      expect(first.signal.aborted).toBe(false);
    });

    it('fence the writes of a holder that is none any more', async () => {
      const lock = await one.lock('fenced');
      const stale = lock.fence;
      await lock.put('{fenced}/a', 1);
      await lock.release();
      const next = await two.lock('fenced');
      for (const key of ['fenced/elsewhere', '{fenced}/a']) {
        await next.put(key, 2);
        const error = await failureOf(one.kv.put(key, 3, { fence: stale }));
        expect(error).toMatchObject({ code: 'FENCED', revision: next.token });
        expect(await codeOf(one.kv.delete(key, { fence: stale }))).toBe('FENCED');
        expect(await one.kv.get(key)).toBe(2);
      }
      await next.increment('fenced/count', 5);
      await next.touch('fenced/count', { ttlMs: 60_000 });
      await next.release();
    });

    it('with a lease end when they are not extended', async () => {
      const lock = await one.lock('leased', { ttlMs: 300 });
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(lock.signal.aborted).toBe(false);
      expect(await codeOf(two.lock('leased', { waitMs: 0 }))).toBe('LOCK_HELD');
      await lock.release();
      await (await two.lock('leased', { waitMs: 0, ttlMs: 300 })).release();
    });

    it('are taken many at a time, all or none', async () => {
      const names = ['many/c', 'many/a', 'many/b'];
      await using set = await one.lockMany(names);
      expect([...set.tokens.keys()]).toEqual(['many/a', 'many/b', 'many/c']);
      expect(await codeOf(two.lockMany(['many/0', 'many/b'], { waitMs: 20 }))).toBe('LOCK_TIMEOUT');
      await (await one.lock('many/0', { waitMs: 0 })).release();
      await set.release();
      await (await two.lockMany(names, { waitMs: 0 })).release();
    });

    it('of a semaphore have as many places as it has', async () => {
      const semaphore = two.semaphore('places', 2);
      const first = await one.semaphore('places', 2).acquire();
      const second = await semaphore.acquire();
      expect(first.mode).toBe('permit');
      expect(await codeOf(semaphore.acquire({ waitMs: 0 }))).toBe('LOCK_HELD');
      const third = semaphore.acquire();
      await first.release();
      await Promise.all([second.release(), (await third).release()]);
    });

    it('elect one leader, and the next when it resigns or its client ends', async () => {
      const third = connect({ url: node.url, routing });
      const first = await third.elect('boss', { value: 'three' });
      expect(await one.kv.get('boss')).toBe('three');
      const next = one.elect('boss', { value: 'one' });
      while (!(await isWaitedFor('boss'))) await new Promise((resolve) => setTimeout(resolve, 5));
      const last = two.elect('boss', { value: 'two' });
      await third.close();
      expect(first.signal.aborted).toBe(true);
      const second = await next;
      expect(second.token).toBeGreaterThan(first.token);
      expect(await two.kv.get('boss')).toBe('one');
      await second.resign();
      const leader = await last;
      expect(await one.kv.get('boss')).toBe('two');
      await leader.resign();
      expect(await one.kv.get('boss')).toBeUndefined();
    });
  });
}
