// The client against a real node, with each engine: every operation means what it says, nothing is
// lost under contention, and a node that dies and comes back is a pause and no more.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytes, connect, REMOVE, type Rondo, RondoError, text } from '../../ts/client/index.js';
import { freePort, startTestNode, type TestNode } from './client-node.js';
import { SETUPS } from './client-setups.js';

for (const { title, isSkipped, engine, routing, arguments: setup } of SETUPS) {
  describe.skipIf(isSkipped)(`the client and a node with the engine ${title}`, () => {
    let node: TestNode;
    let rondo: Rondo;
    beforeAll(async () => {
      node = await startTestNode(...setup, '--value-bytes-max', '64KiB');
      rondo = connect({ url: node.url, routing });
    });
    afterAll(async () => {
      await rondo.close();
      await node.stop();
    });
    const code = async (promise: Promise<unknown>): Promise<string> => {
      const error = await promise.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      return error instanceof RondoError ? error.code : `no RondoError: ${String(error)}`;
    };

    it('agree on who they are', async () => {
      const welcome = await rondo.ready();
      expect(welcome).toMatchObject({ engine, durability: 'none', limits: { keyBytesMax: 1024 } });
    });

    it('put, get and delete values of every kind', async () => {
      const { kv } = rondo;
      const value = { text: 'grüße 🎉', list: [1, null, true], deep: { empty: '' } };
      const { revision } = await kv.put('plan/1', value);
      expect(await kv.get('plan/1')).toEqual(value);
      expect(await kv.entry('plan/1')).toEqual({
        key: 'plan/1',
        value,
        revision,
        ttlMs: undefined,
      });
      await kv.as(text).put('text', 'a\u0000b\u{feff}');
      expect(await kv.as(text).get('text')).toBe('a\u0000b\u{feff}');
      const binary = Uint8Array.from({ length: 300 }, (_, index) => index % 256);
      await kv.as(bytes).put('bytes', binary);
      expect(await kv.as(bytes).get('bytes')).toEqual(binary);
      expect(await kv.delete('plan/1')).toBe(true);
      expect(await kv.delete('plan/1')).toBe(false);
      expect(await kv.get('plan/1')).toBeUndefined();
      expect(await code(kv.as(bytes).put('large', new Uint8Array(64 * 1024 + 1)))).toBe(
        'VALUE_TOO_LARGE',
      );
    });

    it('hold to conditions and tell the present revision', async () => {
      const { kv } = rondo;
      const first = await kv.put('cas', 1, { ifAbsent: true });
      const error = await kv.put('cas', 2, { ifAbsent: true }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'ALREADY_EXISTS', revision: first.revision });
      const second = await kv.put('cas', 2, { ifRevision: first.revision });
      expect(await code(kv.put('cas', 3, { ifRevision: first.revision }))).toBe(
        'REVISION_MISMATCH',
      );
      expect(await code(kv.delete('cas', { ifRevision: first.revision }))).toBe(
        'REVISION_MISMATCH',
      );
      expect(await kv.delete('cas', { ifRevision: second.revision })).toBe(true);
    });

    it('count exactly, beyond 2^53, too', async () => {
      const { kv } = rondo;
      const adds = Array.from({ length: 500 }, (_, index) => kv.increment('count', index - 100));
      await Promise.all(adds);
      expect(await kv.increment('count', 0)).toBe(74_750n);
      await kv.increment('big', 2n ** 62n);
      expect(await kv.increment('big', 2n ** 62n - 1n)).toBe(2n ** 63n - 1n);
      expect(await code(kv.increment('big'))).toBe('NUMBER_OVERFLOW');
      await kv.put('word', 'x');
      expect(await code(kv.increment('word'))).toBe('NOT_A_NUMBER');
    });

    it('let keys live as long as they are told', async () => {
      const { kv } = rondo;
      await kv.put('brief', 1, { ttlMs: 60_000 });
      await kv.put('brief', 2, { keepTtl: true });
      expect((await kv.entry('brief'))?.ttlMs).toBeGreaterThan(50_000);
      await kv.touch('brief', { persist: true });
      expect((await kv.entry('brief'))?.ttlMs).toBeUndefined();
      await kv.touch('brief', { ttlMs: 30 });
      await expect.poll(() => kv.get('brief')).toBeUndefined();
      expect(await kv.touch('brief', { ttlMs: 5 })).toBeUndefined();
    });

    it('scan what was put, over pages, in byte order', async () => {
      const { kv } = rondo;
      const names = Array.from({ length: 2500 }, (_, index) => `scan/${(index * 7919) % 2500}`);
      await kv.putMany(names.map((name) => [name, name.length] as const));
      const seen: string[] = [];
      for await (const { key, value } of kv.scan<number>('scan/', { pageSize: 700 })) {
        expect(value).toBe(key.length);
        seen.push(key);
      }
      expect(seen).toEqual([...names].sort());
      expect((await kv.getMany<number>(names)).size).toBe(2500);
      expect(await kv.deleteMany(names)).toBe(2500);
      for await (const { key } of kv.scan('scan/', { keysOnly: true })) expect(key).toBe('gone');
    });

    it('lose no update of several clients that contend', async () => {
      const clients = Array.from({ length: 4 }, () => connect({ url: node.url, routing }));
      const add = async (client: Rondo): Promise<void> => {
        for (let round = 0; round < 50; round++) {
          await client.kv.update<number>('shared', (value) => (value ?? 0) + 1, { attempts: 1000 });
        }
      };
      await Promise.all(clients.map(add));
      expect(await rondo.kv.get('shared')).toBe(200);
      await rondo.kv.update('shared', () => REMOVE);
      expect(await rondo.kv.get('shared')).toBeUndefined();
      await Promise.all(clients.map((client) => client.drain()));
    });

    it('go on after the node was killed and another took its port', async () => {
      // Named from the start: the system keeps a port that it chose itself for a while after a crash.
      const port = String(await freePort());
      const first = await startTestNode(...setup, '--port', port);
      await using client = connect({ url: first.url, routing, timeoutMs: 10_000 });
      await client.kv.put('k', 1);
      await first.kill();
      const waiting = client.kv.put('after', 2);
      const second = await startTestNode(...setup, '--port', port);
      try {
        await waiting;
        expect(await client.kv.get('after')).toBe(2);
        // State is in memory: a new node begins with nothing.
        expect(await client.kv.get('k')).toBeUndefined();
      } finally {
        await client.close();
        await second.stop();
      }
    });

    it('part at a wrong token, for good', async () => {
      const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
      const { tmpdir } = await import('node:os');
      const folder = mkdtempSync(`${tmpdir()}/rondo-token-`);
      writeFileSync(`${folder}/tokens`, 'the-right-token\n', { mode: 0o600 });
      const guarded = await startTestNode(...setup, '--token-file', `${folder}/tokens`);
      try {
        await using wrong = connect({ url: guarded.url, routing, token: 'another-token' });
        expect(await code(wrong.kv.get('k'))).toBe('UNAUTHENTICATED');
        await using right = connect({ url: guarded.url, routing, token: 'the-right-token' });
        expect(await right.kv.get('k')).toBeUndefined();
      } finally {
        await guarded.stop();
        rmSync(folder, { recursive: true });
      }
    });
  });
}
