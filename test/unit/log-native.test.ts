// What only a thread can do wrong: keep the process alive, outlive its environment, swallow what a callback
// throws. Each runs in a process or thread of its own, with the addon alone.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FILE_HEADER_BYTES } from '../../node/log/local/format.js';
import { AppendMaker, temporaryFolder, WRITERS } from '../drive/log.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const folderOfAddon = join(root, 'core-native');
const addon = readdirSync(folderOfAddon).find((name) => name.endsWith('.node')) ?? '';

/** Opens a log on a file of the folder; `log`, `append` and `records` are what a script goes on with. */
function prelude(folder: string): string {
  const maker = new AppendMaker();
  const records = Array.from({ length: 50 }, () => Buffer.from(maker.next(100)).toString('hex'));
  return `
    const fs = require('node:fs');
    const { NativeLog } = require(${JSON.stringify(join(folderOfAddon, addon))});
    const records = ${JSON.stringify(records)}.map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
    const progress = new Float64Array(6);
    let onProgress = () => {};
    const log = new NativeLog(
      { logId: 5n, before: 5n, next: 1, batchBytesMax: 1 << 20, syncIntervalMs: 0, spaceRetryMs: 5 },
      new Float64Array(4), progress, () => onProgress());
    const append = log.appendFunction();
    const flush = log.flushFunction();
    const give = () => log.give(1, fs.openSync(${JSON.stringify(join(folder, 'segment'))}, 'w'), 1 << 20);
  `;
}

describe.skipIf(!WRITERS.includes('native'))('the thread of the log', () => {
  let folder: string;
  let remove: () => void;
  beforeEach(() => {
    ({ folder, remove } = temporaryFolder());
  });
  afterEach(() => remove());

  function run(script: string): { status: number | null; stdout: string; stderr: string } {
    const options = { encoding: 'utf8', timeout: 20_000 } as const;
    return spawnSync(process.execPath, ['-e', prelude(folder) + script], options);
  }

  it('does not keep an idle process alive', () => {
    expect(run('give();')).toMatchObject({ status: 0, stderr: '' });
  });

  it('keeps the process alive until what was flushed is durable', () => {
    const script = `give(); append(records[0], records[0].length); flush();
      onProgress = () => console.log(progress[0]);`;
    const { status, stdout } = run(script);
    expect([status, stdout.trim().split('\n').at(-1)]).toEqual([0, '1']);
  });

  it('ends at close, keeps nothing alive after, and joins twice without harm', () => {
    const script = `give(); append(records[0], records[0].length);
      onProgress = () => {
        if ((progress[5] & 2) === 0) return;
        log.join(); log.join(); log.end(0); log.mark(0); flush();
        console.log('ended', progress[0]);
      };
      log.end(7);`;
    const { status, stdout } = run(script);
    expect([status, stdout.trim()]).toEqual([0, 'ended 1']);
  });

  it('lets a process exit in the midst of everything', () => {
    for (const wait of [0, 1, 3]) {
      const script = `give(); for (const one of records) { append(one, one.length); flush(); }
        setTimeout(() => process.exit(3), ${wait});`;
      expect(run(script)).toMatchObject({ status: 3, stderr: '' });
    }
  });

  it('lets a process exit while it waits for a segment', () => {
    const script =
      'append(records[0], records[0].length); flush(); setTimeout(() => process.exit(3), 5);';
    expect(run(script)).toMatchObject({ status: 3, stderr: '' });
  });

  it('makes an uncaught exception of what the callback throws', () => {
    const script = `give(); append(records[0], records[0].length); flush();
      process.on('uncaughtException', (error) => { console.log(error.message); process.exit(4); });
      onProgress = () => { throw new Error('from the callback'); };`;
    expect(run(script)).toMatchObject({ status: 4, stdout: 'from the callback\n' });
  });

  it('throws on what are no records', () => {
    const script = `for (const values of [[], ['x', 1], [new Float64Array(8), 8], [new ArrayBuffer(8), 8], [records[0]]]) {
        try { append(...values); } catch (error) { console.log(error.message); }
      }
      console.log(append(records[0], -1), append(records[0], 1e9), append(records[1], records[1].length));`;
    const lines = run(script).stdout.trim().split('\n');
    expect(lines).toEqual([
      ...Array<string>(5).fill('append takes a Uint8Array and a number'),
      '-1 -1 -2',
    ]);
  });

  it('ends with the worker that it belongs to', async () => {
    for (let round = 0; round < 5; round++) {
      const script = `${prelude(folder)}
        give();
        let index = 0;
        onProgress = () => {
          if (index === records.length) return;
          append(records[index], records[index++].length);
          flush();
          require('node:worker_threads').parentPort.postMessage(index);
        };
        onProgress();`;
      const worker = new Worker(script, { eval: true });
      await new Promise<void>((resolve) => {
        worker.on('message', (index: number) => {
          if (index > round * 5) resolve();
        });
      });
      expect(await worker.terminate()).toBe(1);
    }
    expect(readFileSync(join(folder, 'segment')).length).toBeGreaterThan(FILE_HEADER_BYTES);
  });
});
