// Backups of a real node that writes, compacts and uses its segments again: each holds every write that
// was acknowledged before it began, and a node that starts on the last one, restored, serves it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { backUp, restoreBackup } from '../../node/log/local/backup.js';
import { listLogFiles } from '../../node/log/local/log-files.js';
import { recover } from '../../node/log/local/recovery.js';
import { lookAt, verifyDirectory } from '../../node/log/local/verify.js';
import { connect, type Rondo } from '../../ts/client/index.js';
import { temporaryFolder } from '../unit/log-files.js';
import { MapState } from '../unit/log-state.js';
import { nativeAbsence, startTestNode } from './client-node.js';

const BACKUPS = 12;
const KEYS = 32;
/** Milliseconds between two writes of a key. */
const WRITE_INTERVAL_MS = 10;
const PADDING = 'x'.repeat(200);

interface Value {
  readonly n: number;
}

/** Writes ever higher numbers to a few keys; `acknowledged` has the newest of each. */
function writing(rondo: Rondo) {
  const acknowledged = new Map<string, number>();
  let isRunning = true;
  let writes = 0;
  const done = Promise.allSettled(
    Array.from({ length: KEYS }, async (_, index) => {
      for (let n = 1; isRunning; n++) {
        await rondo.kv.put(`key/${index}`, { n, PADDING });
        acknowledged.set(`key/${index}`, n);
        writes++;
        // Not as fast as it can: compaction yields to all that serve, and on a busy machine the log that
        // every backup copies would grow without end.
        await new Promise((resolve) => setTimeout(resolve, WRITE_INTERVAL_MS));
      }
    }),
  );
  const stop = async () => {
    isRunning = false;
    await done;
    return writes;
  };
  return { acknowledged, stop };
}

async function stateOf(path: string): Promise<Map<string, number>> {
  const directory = lookAt(path);
  const state = new MapState(directory.partitions);
  await recover(directory, state, { isReadOnly: true });
  const entries = [...state.entries].map(([key, { value }]): [string, number] => {
    return [key, (JSON.parse(value) as Value).n];
  });
  return new Map(entries);
}

describe.each(['native', 'ts'])('the %s engine', (engine) => {
  it('is backed up while it writes', { timeout: 120_000 }, async (context) => {
    const absence = engine === 'native' ? nativeAbsence() : undefined;
    if (absence !== undefined) return context.skip(absence);
    const folder = temporaryFolder();
    const data = join(folder, 'data');
    const flags = ['--engine', engine, '--log-segment-bytes', '64KiB'];
    const node = await startTestNode('--data-dir', data, ...flags);
    onTestFinished(() => node.kill());
    const rondo = connect({ url: node.url });
    await rondo.ready();
    const { acknowledged, stop } = writing(rondo);
    const newest = () => listLogFiles(lookAt(data)).snapshots[0]?.number ?? 0;
    const deadline = Date.now() + 30_000;
    while (newest() === 0 && Date.now() < deadline) await new Promise((r) => setTimeout(r, 20));
    const snapshotBefore = newest();
    for (let index = 0; index < BACKUPS; index++) {
      const expected = new Map(acknowledged);
      const target = join(folder, `backup-${index}`);
      const made = await backUp(data, target);
      expect(made.damage).toEqual([]);
      const state = await stateOf(target);
      for (const [key, n] of expected) expect(state.get(key), key).toBeGreaterThanOrEqual(n);
      const live = await verifyDirectory(data);
      expect(live.damage.map(({ message }) => message)).toEqual([]);
      expect(live.openIn).toBeGreaterThan(0);
    }
    expect(newest()).toBeGreaterThan(snapshotBefore);
    expect(await stop()).toBeGreaterThan(1000);
    await rondo.close();
    await node.kill();

    const restored = join(folder, 'restored');
    const last = join(folder, `backup-${BACKUPS - 1}`);
    await restoreBackup(last, restored);
    const expected = await stateOf(last);
    const again = await startTestNode('--data-dir', restored, ...flags);
    onTestFinished(() => again.kill());
    const reader = connect({ url: again.url });
    for (const [key, n] of expected) expect((await reader.kv.get<Value>(key))?.n, key).toBe(n);
    expect(expected.size).toBe(KEYS);
    await reader.close();
    await again.stop();
    expect(existsSync(join(restored, 'LOCK'))).toBe(false);
  });
});
