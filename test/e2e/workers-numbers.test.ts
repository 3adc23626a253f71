// The number of workers changes while clients live: what they hold and what they put is there under each, and they
// go on.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { connect } from '../../ts/client/index.js';
import { freePort, startTestNode } from './client-node.js';

const KEYS = Array.from({ length: 200 }, (_, index) => [`n/${index}`, index] as const);
const LOCKS = Array.from({ length: 8 }, (_, index) => `lock/${index}`);

it.each(['auto', 'single'] as const)(
  'one, two, four and one worker again: nothing is lost, nothing let go, routing %s',
  { timeout: 240_000 },
  async (routing) => {
    const folder = mkdtempSync(`${tmpdir()}/rondo-numbers-`);
    const port = String(await freePort());
    const start = (workers: number) =>
      startTestNode('--workers', `${workers}`, '--port', port, '--data-dir', folder);
    let node = await start(1);
    const options = { url: node.url, routing, timeoutMs: 100_000, retry: { delayMsMax: 200 } };
    const rondo = connect({ ...options, session: { ttlMs: 240_000 } });
    try {
      await rondo.kv.putMany(KEYS);
      const held = await Promise.all(LOCKS.map((name) => rondo.lock(name)));
      for (const name of LOCKS) await rondo.kv.put(`e/${name}`, 1, { ephemeral: true });
      for (const workers of [2, 4, 1]) {
        await node.stop();
        node = await start(workers);
        expect((await rondo.kv.getMany<number>(KEYS.map(([key]) => key))).size).toBe(KEYS.length);
        const scanned: [string, number][] = [];
        for await (const { key, value } of rondo.kv.scan<number>('n/')) scanned.push([key, value]);
        expect(new Map(scanned)).toEqual(new Map(KEYS));
        await using rival = connect(options);
        for (const lock of held) {
          expect(lock.signal.aborted).toBe(false);
          await expect(rival.lock(lock.name, { waitMs: 0 })).rejects.toMatchObject({
            code: 'LOCK_HELD',
            revision: lock.token,
          });
          await lock.put(`{${lock.name}}/k`, workers);
          expect(await rival.kv.get(`e/${lock.name}`)).toBe(1);
        }
      }
      await rondo.drain();
      await using next = connect(options);
      await Promise.all(LOCKS.map((name) => next.lock(name, { waitMs: 10_000 })));
    } finally {
      await rondo.close();
      await node.stop();
      rmSync(folder, { recursive: true });
    }
  },
);
