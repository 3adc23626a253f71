// The disk that forgets, by itself: what was not synced is gone after a power cut, what was synced
// stays, and without the shim nothing is gone (the canary: a kill alone loses no bytes).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Random, seedOf } from '../parity/random.js';
import { type Loss, SECTOR_BYTES } from './sectors.js';
import { compileShim, shimAbsence } from './shim.js';
import { VolatileDisk } from './volatile-disk.js';

const SEED = seedOf(20260802);
const WRITER = fileURLToPath(new URL('./disk-writer.mjs', import.meta.url));
const absence = shimAbsence();

describe.skipIf(absence !== undefined)(
  `the volatile disk${absence === undefined ? '' : ` (skipped: ${absence})`}, RONDO_SEED=${SEED}`,
  () => {
    let root: string;
    let library: string;
    let disk: VolatileDisk;
    let count = 0;

    beforeAll(() => {
      root = mkdtempSync(join(tmpdir(), 'rondo-disk-'));
      library = compileShim(root);
    });
    afterAll(() => rmSync(root, { recursive: true }));
    beforeEach(() => {
      const folder = join(root, String(count++));
      mkdirSync(folder);
      disk = new VolatileDisk(folder, library);
    });

    /** Runs one way of changing files up to its end, and kills it. */
    async function killed(way: string, environment = disk.environment()): Promise<void> {
      const child = spawn(process.execPath, [WRITER, way, disk.directory], {
        env: { ...process.env, ...environment },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      const [said] = (await Promise.race([once(child.stdout, 'data'), ended])) as [unknown];
      child.kill('SIGKILL');
      await ended;
      expect(String(said)).toBe('done\n');
    }

    const lose = (loss: Loss = 'everything', seed = SEED) => disk.lose(loss, new Random(seed));
    const content = (name = 'file'): string => readFileSync(join(disk.directory, name), 'latin1');

    it('forgets what was written after the sync', async () => {
      await killed('append');
      expect(content()).toBe('first;second;');
      expect(lose()).toEqual({ changes: 1, names: 0 });
      expect(content()).toBe('first;');
    });

    it('and without the shim a kill forgets nothing', async () => {
      await killed('append', {});
      expect(lose()).toEqual({ changes: 0, names: 0 });
      expect(content()).toBe('first;second;');
    });

    it('restores what was overwritten', async () => {
      await killed('overwrite');
      expect(content()).toBe('aaBBCCDDDDDDDD'.replace('BBB', 'BB'));
      lose();
      expect(content()).toBe('aaaaaaaaaa');
    });

    it('restores sizes, and what a shorter one cut off', async () => {
      await killed('size');
      expect(content()).toHaveLength(2000);
      lose();
      expect(content()).toBe('aaaaaaaaaa');
    });

    it('restores what opening a file cut off', async () => {
      await killed('truncate-on-open');
      expect(content()).toBe('b');
      lose();
      expect(content()).toBe('aaaaaaaaaa');
    });

    it('forgets names whose directory was not synced', async () => {
      await killed('names');
      expect(readdirSync(disk.directory).toSorted()).toEqual([
        'folder',
        'linked',
        'made',
        'replaced',
      ]);
      expect(lose()).toMatchObject({ names: 6 });
      expect(readdirSync(disk.directory).toSorted()).toEqual(['removed', 'renamed', 'replaced']);
      expect(content('replaced')).toBe('replaced;');
      expect(content('renamed')).toBe('renamed;');
      expect(content('removed')).toBe('removed;');
    });

    it('keeps names whose directory was synced', async () => {
      await killed('names-synced');
      expect(lose()).toMatchObject({ names: 0 });
      expect(readdirSync(disk.directory).toSorted()).toEqual([
        'folder',
        'linked',
        'made',
        'replaced',
      ]);
      expect(content('replaced')).toBe('renamed;');
      expect(content('made')).toBe('made;');
      expect(content('folder/within')).toBe('');
    });

    it('forgets across processes: a sync covers the bytes of the process before', async () => {
      await killed('append');
      disk.settle();
      await killed('restart');
      lose();
      expect(content()).toBe('first;');

      await killed('restart');
      disk.settle();
      await killed('restart-and-sync');
      lose();
      expect(content()).toBe('first;third;third;');
    });

    it('covers nothing by a sync after one that failed', async () => {
      await killed('failed-sync', disk.environment({ failSync: 1 }));
      expect(content()).toBe(`${'l'.repeat(600)}kept;`);
      lose();
      // The sector that was written again went to the disk whole.
      expect(content()).toBe(`${'\0'.repeat(SECTOR_BYTES)}${'l'.repeat(600 - SECTOR_BYTES)}kept;`);
    });

    it('sees the threads of libuv', async () => {
      await killed('threads', disk.environment({ syncUs: 2_000 }));
      expect(lose()).toMatchObject({ changes: 8 });
      for (let index = 0; index < 8; index++) {
        expect(content(`file-${index}`)).toBe(`synced-${index};`);
      }
    });

    it.each(['tail', 'scattered'] as const)(
      'keeps what was synced when the rest is torn: %s',
      async (loss) => {
        await killed('large');
        const whole = content();
        expect(lose(loss)).toMatchObject({ changes: 10 });
        expect(content().slice(0, 300)).toBe(whole.slice(0, 300));
      },
    );
  },
);
