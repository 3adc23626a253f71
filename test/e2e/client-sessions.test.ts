// Sessions of the client against a real node, with each engine: what outlives a lost connection and a node that
// dies, what is repeated without being done twice, and what is freed when a client is gone.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  type ConnectionStatus,
  type ConnectOptions,
  connect,
  type Rondo,
  type RondoError,
} from '../../ts/client/index.js';
import { freePort, startTestNode, type TestNode } from './client-node.js';
import { SETUPS } from './client-setups.js';

/** A client whose network can be cut, for a moment or until it is mended. */
function cuttable(url: string, options: Partial<ConnectOptions> = {}) {
  const sockets: WebSocket[] = [];
  let isCut = false;
  class Cuttable extends WebSocket {
    constructor(address: string) {
      if (isCut) throw new Error('the network is cut');
      super(address);
      sockets.push(this);
    }
  }
  const seen: ConnectionStatus[] = [];
  const retry = { delayMsMin: 5, delayMsMax: 20 };
  const rondo = connect({ url, retry, ...options, WebSocket: Cuttable });
  void (async () => {
    for await (const status of rondo.status()) seen.push(status);
  })();
  const drop = (): void => {
    for (const socket of sockets.splice(0)) socket.terminate();
  };
  const cut = (): void => {
    isCut = true;
    drop();
  };
  const mend = (): void => {
    isCut = false;
  };
  const sessions = (): { id: number; resumed: boolean }[] =>
    seen.flatMap((status) =>
      status.state === 'connected' && status.session !== undefined ? [status.session] : [],
    );
  return { rondo, drop, cut, mend, sessions };
}

for (const { title, isSkipped, routing, arguments: setup } of SETUPS) {
  describe.skipIf(isSkipped)(`sessions of the client with the engine ${title}`, () => {
    let node: TestNode;
    let other: Rondo;
    beforeAll(async () => {
      node = await startTestNode(...setup);
      other = connect({ url: node.url, routing });
    });
    afterAll(async () => {
      await other.close();
      await node.stop();
    });

    it('go on after a lost connection with locks and ephemeral keys', async () => {
      const { rondo, drop, sessions } = cuttable(node.url, { routing });
      const lock = await rondo.lock('kept');
      await rondo.kv.put('kept/e', 1, { ephemeral: true });
      drop();
      // Of several connections one may come again that another has taken the place of.
      await expect.poll(() => sessions().length).toBeGreaterThan(1);
      const again = { id: sessions()[0]?.id, resumed: true };
      expect(
        new Set(
          sessions()
            .slice(1)
            .map((each) => JSON.stringify(each)),
        ),
      ).toEqual(new Set([JSON.stringify(again)]));
      await lock.put('kept/k', 1);
      expect(await other.kv.get('kept/e')).toBe(1);
      expect(lock.signal.aborted).toBe(false);
      await rondo.drain();
      expect(await other.kv.get('kept/e')).toBeUndefined();
      await (await other.lock('kept', { waitMs: 1000 })).release();
    });

    it('repeat increments without an answer, each of which counts once', async () => {
      const { rondo, drop, sessions } = cuttable(node.url, { routing, timeoutMs: 20_000 });
      await rondo.ready();
      const adds: Promise<bigint>[] = [];
      for (let round = 0; round < 30; round++) {
        await rondo.ready();
        for (let count = 0; count < 50; count++) adds.push(rondo.kv.increment('exactly'));
        // Behind the sending: some were carried out, some were not, and of neither is there an answer.
        await new Promise((resolve) => setTimeout(resolve, round % 3));
        drop();
        await new Promise((resolve) => setTimeout(resolve, 10));
        // A call is repeated a few times at most; on a busy machine none may be answered between two cuts.
        if (round % 4 === 3) await Promise.all(adds);
      }
      const sums = await Promise.all(adds);
      expect(new Set(sums).size).toBe(1500);
      expect(await other.kv.increment('exactly', 0)).toBe(1500n);
      expect(sessions().length).toBeGreaterThan(20);
      expect(new Set(sessions().map(({ id }) => id)).size).toBe(1);
      await rondo.close();
    });

    it('keep the place of those that wait for a lock over a lost connection', async () => {
      const { rondo, drop, sessions } = cuttable(node.url, { routing });
      const held = await other.lock('queue');
      const first = rondo.lock('queue', { waitMs: 20_000 });
      await rondo.kv.get('queue');
      const third = connect({ url: node.url, routing });
      const second = third.lock('queue', { waitMs: 20_000 });
      await third.kv.get('queue');
      drop();
      await held.release();
      await expect.poll(() => sessions().length).toBeGreaterThan(1);
      const lock = await first;
      expect(lock.token).toBeGreaterThan(held.token);
      await lock.release();
      expect((await second).token).toBeGreaterThan(lock.token);
      await Promise.all([third.drain(), rondo.close()]);
    });

    it('are lost on both sides when a client is away for too long', async () => {
      const { rondo, cut, mend, sessions } = cuttable(node.url, {
        routing,
        session: { ttlMs: 1000 },
      });
      const lock = await rondo.lock('lost');
      await rondo.kv.put('lost/e', 1, { ephemeral: true });
      const stale = lock.fence;
      cut();
      const next = await other.lock('lost', { waitMs: 10_000 });
      // About when the node does, and without a word from it: timers of a busy machine may be late.
      await expect.poll(() => lock.signal.aborted, { timeout: 300 }).toBe(true);
      expect((lock.signal.reason as RondoError).code).toBe('SESSION_UNKNOWN');
      // Of another worker, perhaps: each frees what it has in an append of its own.
      await expect.poll(() => other.kv.get('lost/e')).toBeUndefined();
      await next.put('{lost}/k', 1);
      mend();
      await expect.poll(() => sessions().length).toBe(2);
      expect(sessions()[1]?.resumed).toBe(false);
      const late = rondo.kv.put('{lost}/k', 2, { fence: stale });
      await expect(late).rejects.toMatchObject({ code: 'FENCED', revision: next.token });
      await lock.release();
      await next.release();
      await rondo.close();
    });

    it('outlive a node that is killed, with all that they hold', async () => {
      const folder = mkdtempSync(`${tmpdir()}/rondo-session-`);
      const port = String(await freePort());
      const settings = [...setup, '--port', port, '--data-dir', folder];
      const first = await startTestNode(...settings);
      const { rondo, sessions } = cuttable(first.url, {
        routing,
        timeoutMs: 20_000,
        session: { ttlMs: 60_000 },
      });
      let second: TestNode | undefined;
      try {
        const lock = await rondo.lock('durable');
        await rondo.kv.put('durable/e', 1, { ephemeral: true });
        await first.kill();
        const waiting = rondo.lock('durable/later');
        second = await startTestNode(...settings);
        await waiting;
        expect(sessions().at(-1)).toEqual({ id: sessions()[0]?.id, resumed: true });
        expect(lock.signal.aborted).toBe(false);
        expect(await rondo.kv.get('durable/e')).toBe(1);
        await using rival = connect({ url: second.url, routing });
        await expect(rival.lock('durable', { waitMs: 0 })).rejects.toMatchObject({
          code: 'LOCK_HELD',
          revision: lock.token,
        });
        await lock.put('{durable}', 2);
        await lock.release();
        await (await rival.lock('durable', { waitMs: 0 })).release();
      } finally {
        await rondo.close();
        await second?.stop();
        rmSync(folder, { recursive: true });
      }
    });
  });
}
