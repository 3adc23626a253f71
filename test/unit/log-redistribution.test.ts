// The logs of a data directory for another number of workers: all that was there is there afterwards, each thing
// in one log, and whatever ends a redistribution half way leaves the old logs or the new ones whole.

import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDataDirectory } from '../../node/log/local/data-directory.js';
import { listLogFiles } from '../../node/log/local/log-files.js';
import { recover } from '../../node/log/local/recovery.js';
import { prepareWorkers } from '../../node/log/local/redistribution.js';
import { readLayout } from '../../node/log/local/worker-logs.js';
import { everyKind } from './log-every-kind.js';
import { makeDataDirectory, PARTITIONS, RecordMaker, temporaryFolder } from './log-files.js';
import { compactions } from './log-jobs.js';
import { MapState } from './log-state.js';
import { Historian, history } from './log-steps.js';
import {
  append,
  contentsOf,
  LoggedLines,
  lastSegment,
  makerOf,
  optionsOf,
  prepare,
  wholeState,
} from './log-workers.js';

/** Histories, each taken through all numbers of workers: every step of that syncs many files. */
const RUNS = 4;

/** A directory with a record of every kind, and what they fold to. */
async function everyKindIn(workers: number) {
  const { path } = makeDataDirectory();
  const make = new RecordMaker();
  const model = new MapState();
  const records = everyKind(make);
  for (const record of records) model.fold(record);
  await append(readLayout(path), [records.slice(0, 5), records.slice(5)]);
  if (workers === 1) return { path, make, model };
  const layout = await prepare(path, workers);
  const later = [make.put('behind', 'the snapshots'), make.delete('eph/a')];
  for (const record of later) model.fold(record);
  await append(layout, [later]);
  return { path, make, model };
}

describe.each(compactions)('redistribution, compacting in %s', (_, compact) => {
  it('keeps every kind of record through 1, 2, 4, 3, 2 and 1 workers', {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.infiniteStream(history), async (first, later) => {
        const { path } = makeDataDirectory();
        const make = new RecordMaker();
        const historian = new Historian(make);
        const model = new MapState();
        let steps = first;
        for (const workers of [1, 2, 4, 3, 2, 1]) {
          const layout = await prepare(path, workers, { compact });
          expect(await wholeState(path)).toEqual(model.state);
          for (const segment of steps) {
            const batches = segment.map((batch) => historian.recordsOf(batch));
            for (const record of batches.flat()) model.fold(record);
            await append(layout, batches);
          }
          expect(await wholeState(path)).toEqual(model.state);
          steps = later.next().value;
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('divides more than a piece, in order', async () => {
    const { path } = makeDataDirectory();
    const make = new RecordMaker();
    const model = new MapState();
    const batches = Array.from({ length: 30 }, (_, batch) =>
      Array.from({ length: 100 }, (_, key) =>
        make.put(`key-${(batch * 37 + key * 11) % 2500}`, 'v'.repeat((key * 131) % 3000)),
      ),
    );
    for (const record of batches.flat()) model.fold(record);
    await append(readLayout(path), batches);
    for (const workers of [4, 2]) {
      await prepare(path, workers, { compact });
      expect(await wholeState(path)).toEqual(model.state);
    }
  });
});

describe('redistribution', () => {
  it('leaves a directory of these workers as it is', async () => {
    const { path } = await everyKindIn(2);
    const before = contentsOf(path);
    const logger = new LoggedLines();
    const prepared = await prepareWorkers(path, optionsOf(2, { logger }));
    expect(prepared.isRedistributed).toBe(false);
    prepared.close();
    expect(contentsOf(path)).toEqual(before);
    expect(logger.lines).toEqual([]);
  });

  it('takes other owners for another placement', async () => {
    const { path, model } = await everyKindIn(2);
    const owners = Uint16Array.of(1, 0, 1, 0);
    const layout = await prepare(path, 2, { owners });
    expect(layout).toMatchObject({ generation: 2, workers: 2, owners });
    expect(await wholeState(path)).toEqual(model.state);
  });

  it('makes a new directory for several workers, which one without placements refuses', async () => {
    const path = join(temporaryFolder(), 'data');
    const layout = await prepare(path, 3);
    expect(readdirSync(path).sort()).toEqual([
      'FORMAT',
      'WORKERS',
      'worker-0.1',
      'worker-1.1',
      'worker-2.1',
    ]);
    expect(readLayout(path)).toEqual(layout);
    const make = new RecordMaker();
    await append(layout, [everyKind(make)]);
    const state = await wholeState(path);
    expect(state.revisions).toEqual([...make.revisions]);
    await prepare(path, 1);
    expect(readdirSync(path).sort()).toEqual(['FORMAT', 'WORKERS', 'worker-0.2']);
    expect(await wholeState(path)).toEqual(state);
  });

  it('gives every log an id of its own, the first that of the directory', async () => {
    const path = join(temporaryFolder(), 'data');
    const ids = new Set<bigint>();
    for (const workers of [1, 2, 4, 3, 1]) {
      const { logs, id } = await prepare(path, workers);
      if (workers === 1 && ids.size === 0) expect(logs[0]?.logId).toBe(id);
      for (const { logId } of logs) ids.add(logId);
    }
    expect(ids.size).toBe(1 + 2 + 4 + 3 + 1);
    expect(ids.has(0n)).toBe(false);
  });

  it('cuts a torn tail and says so', async () => {
    const { path, make, model } = await everyKindIn(2);
    const [log] = readLayout(path).logs;
    if (log === undefined) throw new Error('no log');
    const maker = await makerOf(log);
    const torn = maker.batch([make.put('torn', 'never there')]);
    maker.writeBytes([torn.subarray(0, torn.length - 8)]);
    const logger = new LoggedLines();
    await prepare(path, 4, { logger });
    expect(logger.lines.find(({ event }) => event === 'log_cut')).toMatchObject({ batches: 1 });
    expect(await wholeState(path)).toEqual(model.state);
  });

  it('ends at damage with nothing changed', async () => {
    const { path } = await everyKindIn(1);
    const file = lastSegment(readLayout(path).logs[0] as never);
    const bytes = readFileSync(file);
    bytes[150] = (bytes[150] as number) ^ 1;
    writeFileSync(file, bytes);
    const before = contentsOf(path);
    await expect(prepare(path, 2)).rejects.toMatchObject({ code: 'DATA_DAMAGED', file });
    expect(contentsOf(path)).toEqual(before);
  });

  it('can be told to stop at any time, with nothing changed', async () => {
    const { path } = await everyKindIn(2);
    const before = contentsOf(path);
    let progressed = 0;
    await prepare(copyOf(path), 3, { onProgress: () => progressed++ });
    expect(progressed).toBeGreaterThan(8);
    for (let at = 1; at <= progressed; at++) {
      const stopping = new AbortController();
      let seen = 0;
      const onProgress = () => {
        if (++seen === at) stopping.abort();
      };
      const step = prepare(path, 3, { onProgress, signal: stopping.signal });
      // The last call comes before the switch, and nothing looks behind it.
      if (at === progressed) {
        await step;
        continue;
      }
      await expect(step).rejects.toMatchObject({ code: 'DATA_CANCELLED' });
      expect(contentsOf(path)).toEqual(before);
    }
  });

  it('reports progress that only grows, up to all there is', async () => {
    const { path } = await everyKindIn(2);
    const seen: number[] = [];
    let total = 0;
    await prepare(path, 4, {
      onProgress: ({ phase, bytesDone, bytesTotal }) => {
        expect(phase).toBe('redistribution');
        expect(bytesDone).toBeLessThanOrEqual(bytesTotal);
        seen.push(bytesDone);
        total = bytesTotal;
      },
    });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
  });
});

/** Without the lock: the copy is one of a process that is gone. */
function copyOf(path: string): string {
  const copy = join(temporaryFolder(), 'data');
  cpSync(path, copy, { recursive: true });
  rmSync(join(copy, 'LOCK'), { force: true });
  return copy;
}

describe.each([
  [1, 2],
  [2, 1],
  [2, 4],
  [4, 3],
  [4, 1],
])('a crash in a redistribution from %i to %i workers', (from, to) => {
  it('leaves the old logs or the new ones whole, at every step', { timeout: 120_000 }, async () => {
    const { path, model } = await everyKindIn(from);
    const old = readLayout(path).generation;
    const crashes: { step: string; copy: string }[] = [];
    await prepare(path, to, {
      onStep(step) {
        crashes.push({ step, copy: copyOf(path) });
      },
    });
    expect(crashes.map(({ step }) => step)).toEqual([
      'announce',
      'folders',
      ...Array.from({ length: from }, (_, log) => [`read ${log}`, `compact ${log}`]).flat(),
      'divide',
      'verify',
      'switch',
      'remove',
    ]);
    // In the midst of the removal of what was.
    const torn = copyOf(crashes.at(-1)?.copy ?? '');
    rmSync(join(torn, old === 0 ? 'worker-0' : `worker-0.${old}`, 'wal'), { recursive: true });
    crashes.push({ step: 'remove', copy: torn });
    for (const { step, copy } of crashes) {
      const isNew = step === 'remove';
      expect(readLayout(copy).generation, step).toBe(isNew ? old + 1 : old);
      expect(await wholeState(copy), step).toEqual(model.state);
      // The start that follows removes what was left, whichever workers it is for.
      const again = copyOf(copy);
      for (const [directory, workers] of [
        [copy, to],
        [again, from],
      ] as const) {
        const layout = await prepare(directory, workers);
        expect(await wholeState(directory), step).toEqual(model.state);
        const folders = layout.logs.map(({ wal }) => wal.split('/').at(-2));
        const names = layout.generation === 0 ? ['FORMAT'] : ['FORMAT', 'WORKERS'];
        expect(readdirSync(directory).sort(), step).toEqual([...names, ...folders]);
      }
    }
  });

  it('is undone where it ends with an error', async () => {
    const { path, model } = await everyKindIn(from);
    const before = contentsOf(path);
    const steps = ['announce', 'folders', 'read 0', 'divide', 'verify', 'switch'];
    for (const failing of steps) {
      const onStep = (step: string) => {
        if (step === failing) throw new Error(`no ${step}`);
      };
      await expect(prepare(path, to, { onStep })).rejects.toThrow(`no ${failing}`);
      expect(contentsOf(path), failing).toEqual(before);
    }
    await prepare(path, to);
    expect(await wholeState(path)).toEqual(model.state);
  });
});

describe('the files of several workers', () => {
  it('are refused without WORKERS, and with one that is damaged', async () => {
    const { path } = await everyKindIn(2);
    const file = join(path, 'WORKERS');
    const text = readFileSync(file, 'utf8');
    for (let at = 0; at < text.length; at += 7) {
      const bytes = Buffer.from(text);
      bytes[at] = (bytes[at] as number) ^ 1;
      writeFileSync(file, bytes);
      const code = /DATA_DAMAGED|DATA_FORMAT/;
      await expect(prepare(path, 1)).rejects.toMatchObject({ code: expect.stringMatching(code) });
    }
    writeFileSync(file, '');
    await expect(prepare(path, 1)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
    rmSync(file);
    const before = contentsOf(path);
    await expect(prepare(path, 1)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
    await expect(prepare(path, 2)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
    expect(contentsOf(path)).toEqual(before);
    writeFileSync(file, text);
    await prepare(path, 1);
  });

  it('are refused where a log lacks its snapshot, once anything was written behind it', async () => {
    const { path, make } = await everyKindIn(2);
    await append(readLayout(path), [[make.put('a', '1')], []]);
    const [log] = readLayout(path).logs;
    rmSync(listLogFiles(log as never).snapshots[0]?.path ?? '');
    await expect(wholeState(path)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
  });

  it('are refused with records of partitions that another worker has', async () => {
    const { path, make } = await everyKindIn(2);
    const [first, second] = readLayout(path).logs;
    if (first === undefined || second === undefined) throw new Error('no logs');
    const maker = await makerOf(first);
    const records = Array.from({ length: 20 }, (_, at) => make.put(`foreign-${at}`, 'x'));
    const foreign = records.filter((record) => first.owners?.[record[8] as number] === 1);
    // Revisions of this log's view begin with 1, so that only the owner is wrong.
    const fresh = new RecordMaker();
    const one = Array.from({ length: 20 }, (_, at) => fresh.put(`foreign-${at}`, 'x')).find(
      (record) => first.owners?.[record[8] as number] === 1 && record[16] === 1,
    );
    expect(foreign.length).toBeGreaterThan(0);
    const file = maker.write([[one as Uint8Array]]);
    const error = await recover(first, new MapState()).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'DATA_DAMAGED', file, offset: 64 });
    expect(error.message).toContain('which worker 1 has');
    await expect(prepare(path, 1)).rejects.toMatchObject({ code: 'DATA_DAMAGED', file });
    await recover(second, new MapState());
  });

  it('keep empty logs apart from lost ones', async () => {
    const path = join(temporaryFolder(), 'data');
    await prepare(path, 4);
    await prepare(path, 2);
    expect((await wholeState(path)).entries).toEqual([]);
    rmSync(join(path, 'worker-1.2'), { recursive: true });
    await expect(prepare(path, 2)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
  });

  it('are made again where a start for other workers was cut short before FORMAT', async () => {
    const path = join(temporaryFolder(), 'data');
    await prepare(path, 4);
    rmSync(join(path, 'FORMAT'));
    await prepare(path, 2);
    expect(readdirSync(path).sort()).toEqual(['FORMAT', 'WORKERS', 'worker-0.1', 'worker-1.1']);
    rmSync(join(path, 'FORMAT'));
    writeFileSync(join(path, 'worker-1.1', 'thesis.txt'), 'text');
    await expect(prepare(path, 2)).rejects.toMatchObject({ code: 'DATA_FORMAT' });
    expect(readFileSync(join(path, 'worker-1.1', 'thesis.txt'), 'utf8')).toBe('text');
  });

  it('go back to a torn WORKERS.tmp as if it were none', async () => {
    const { path, model } = await everyKindIn(2);
    const text = readFileSync(join(path, 'WORKERS'));
    writeFileSync(join(path, 'WORKERS.tmp'), text);
    truncateSync(join(path, 'WORKERS.tmp'), text.length / 2);
    await prepare(path, 2);
    expect(readdirSync(path)).not.toContain('WORKERS.tmp');
    expect(await wholeState(path)).toEqual(model.state);
  });

  it('open with one worker as they always did', () => {
    const path = join(temporaryFolder(), 'data');
    const directory = openDataDirectory(path, { partitions: PARTITIONS });
    expect(directory.layout).toMatchObject({ generation: 0, workers: 1 });
    expect(directory).toMatchObject({ worker: 0, owners: undefined, logId: directory.layout.id });
    directory.close();
    expect(readdirSync(path).sort()).toEqual(['FORMAT', 'worker-0']);
  });
});
