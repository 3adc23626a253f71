// The file WORKERS and the names and ids that follow from it: what is written once is read for ever.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findWorkerLog } from '../../node/log/local/data-directory.js';
import {
  logIdOf,
  parseWorkerFolder,
  readLayout,
  workerFolder,
} from '../../node/log/local/worker-logs.js';
import { decodePlacement, encodePlacement } from '../../node/log/local/workers-file.js';
import { xxh64 } from '../../node/log/local/xxh64.js';
import { PARTITIONS_MAX, WORKERS_MAX } from '../../ts/wire/limits.js';
import { LOG_ID, makeDataDirectory } from './log-files.js';
import { prepare } from './log-workers.js';

const TEXT = `rondo-workers 1
generation 3
workers 3
worker 0 0-2,5
worker 1 -
worker 2 3-4,6-7
check a8bebac201e521a5
`;
const PLACEMENT = { generation: 3, workers: 3, owners: Uint16Array.of(0, 0, 0, 2, 2, 0, 2, 2) };

describe('WORKERS', () => {
  it('is this text', () => {
    expect(encodePlacement(PLACEMENT)).toBe(TEXT);
    expect(decodePlacement(TEXT, 8)).toEqual(PLACEMENT);
  });

  it('gives back every placement', () => {
    const placement = fc.integer({ min: 1, max: WORKERS_MAX }).chain((workers) =>
      fc.record({
        generation: fc.integer({ min: 1, max: 2 ** 53 - 1 }),
        workers: fc.constant(workers),
        owners: fc
          .array(fc.integer({ min: 0, max: workers - 1 }), { minLength: 1, maxLength: 300 })
          .map((owners) => Uint16Array.from(owners)),
      }),
    );
    fc.assert(
      fc.property(placement, (one) => {
        expect(decodePlacement(encodePlacement(one), one.owners.length)).toEqual(one);
      }),
    );
  });

  it('is read in time, however many partitions and workers there are', () => {
    const owners = Uint16Array.from({ length: PARTITIONS_MAX }, (_, at) => at % WORKERS_MAX);
    const most = { generation: 1, workers: WORKERS_MAX, owners };
    const text = encodePlacement(most);
    expect(text.length).toBeLessThan(1024 * 1024);
    expect(decodePlacement(text, PARTITIONS_MAX)).toEqual(most);
  });

  it('is refused with any character changed, left out or doubled, and for other partitions', () => {
    expect(decodePlacement(TEXT, 7)).toBeUndefined();
    expect(decodePlacement(TEXT, 9)).toBeUndefined();
    for (let at = 0; at < TEXT.length; at++) {
      const [before, character, after] = [TEXT.slice(0, at), TEXT[at] ?? '', TEXT.slice(at + 1)];
      for (const other of [
        String.fromCharCode(character.charCodeAt(0) ^ 1),
        '',
        character + character,
      ]) {
        expect(decodePlacement(before + other + after, 8), `${at}`).toBeUndefined();
      }
    }
  });

  it('is refused with a right checksum where it places a partition twice, or not at all', () => {
    const { generation, workers } = PLACEMENT;
    const twice = encodePlacement({ generation, workers, owners: PLACEMENT.owners });
    for (const [from, to] of [
      ['worker 0 0-2,5', 'worker 0 0-3,5'],
      ['worker 0 0-2,5', 'worker 0 0-2'],
      ['worker 0 0-2,5', 'worker 0 5,0-2'],
      ['worker 1 -', 'worker 1 8'],
      ['workers 3', 'workers 4'],
      ['workers 3', 'workers 0'],
    ] as const) {
      const text = twice.replace(from, to);
      expect(text).not.toBe(twice);
      expect(decodePlacement(withCheck(text), 8), to).toBeUndefined();
    }
    expect(decodePlacement(withCheck(twice), 8)).toEqual(PLACEMENT);
  });

  it('of a later version is not called damaged', async () => {
    const { path } = makeDataDirectory();
    await prepare(path, 2);
    const file = join(path, 'WORKERS');
    writeFileSync(file, readFileSync(file, 'utf8').replace('rondo-workers 1', 'rondo-workers 2'));
    await expect(prepare(path, 2)).rejects.toMatchObject({ code: 'DATA_FORMAT' });
  });
});

describe('the log of a worker', () => {
  it('has this folder and this id', () => {
    const names = [
      [0, 0, 'worker-0'],
      [0, 1, 'worker-0.1'],
      [12, 30, 'worker-12.30'],
    ] as const;
    for (const [worker, generation, name] of names) {
      expect(workerFolder(worker, generation)).toBe(name);
      expect(parseWorkerFolder(name)).toEqual({ worker, generation });
    }
    for (const name of ['worker-', 'worker-0.0', 'worker-0.old', 'worker-0.01', 'xworker-0']) {
      expect(parseWorkerFolder(name)).toBeUndefined();
    }
    expect(logIdOf(LOG_ID, 0, 0)).toBe(LOG_ID);
    expect(logIdOf(LOG_ID, 1, 0).toString(16)).toBe('dcb45853ca92f3c4');
    expect(logIdOf(LOG_ID, 1, 2).toString(16)).toBe('1e36601e9bac9ed7');
  });

  it('is found by who was told for how many workers the directory was prepared', async () => {
    const { path } = makeDataDirectory();
    await prepare(path, 2);
    const { logs, owners } = readLayout(path);
    expect(findWorkerLog(path, 4, { index: 1, workers: 2 })).toEqual({ ...logs[1], owners });
    for (const [partitions, index, workers] of [
      [4, 1, 3],
      [4, 2, 2],
      [8, 0, 2],
    ] as const) {
      expect(() => findWorkerLog(path, partitions, { index, workers })).toThrow(
        /prepared|made for/,
      );
    }
  });
});

/** With the checksum that the text should have. */
function withCheck(text: string): string {
  const [body = ''] = text.split('check ');
  return `${body}check ${xxh64Of(body)}\n`;
}

function xxh64Of(text: string): string {
  const bytes = Buffer.from(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return xxh64(view, 0, bytes.length, 0n).toString(16).padStart(16, '0');
}
