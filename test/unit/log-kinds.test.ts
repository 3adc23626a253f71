// The records of sessions, locks, fences and ephemeral keys in a log: folded into snapshots in both
// languages with the same bytes, and read again.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nativeGather } from '../../node/log/local/native-recovery.js';
import { recover } from '../../node/log/local/recovery.js';
import {
  OUTCOME_HOLDS,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_POSITION,
  OUTCOME_SESSIONS,
} from '../../ts/engine/engine.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { Drive } from '../drive/drive.js';
import { findNative } from '../drive/engines.js';
import { Fixtures } from '../fixtures/fixtures.js';
import { seedOf } from '../parity/random.js';
import { everyKind, FIRST, shown } from './log-every-kind.js';
import { LogMaker, makeDataDirectory, PARTITIONS, RecordMaker, START_TIME } from './log-files.js';
import { addon, compactions, inThread, jobOf, never, recovered } from './log-jobs.js';
import { MapState, stateOf } from './log-state.js';
import { Historian, history } from './log-steps.js';

const SEED = seedOf(1);
const native = findNative();
const ENGINES = [
  ['ts', createTsEngine] as const,
  ...('create' in native ? [['native', native.create] as const] : []),
];
const OPTIONS = { partitions: PARTITIONS, valueBytesMax: 65536, memoryBytesMax: 0, hashSeed: 7 };

/** Takes what is restored, as it comes. */
class Restored extends MapState {
  readonly pieces: Uint8Array[] = [];
  override restore(records: Uint8Array): void {
    this.pieces.push(records.slice());
    super.restore(records);
  }
}

describe('compaction of every kind', () => {
  it.each(compactions)('in %s restores space by space', async (_, run) => {
    for (const runBytes of [100, 300, 1 << 20]) {
      const directory = makeDataDirectory();
      const log = new LogMaker(directory);
      const records = everyKind(new RecordMaker());
      log.write(records.slice(0, 7).map((record) => [record]));
      log.write([records.slice(7), []]);
      const { result, state } = await recovered(directory);
      expect(state).toEqual(stateOf(records));
      await run(jobOf(directory, result, runBytes), never);
      const restored = new Restored();
      await recover(directory, restored);
      expect(restored.state).toEqual(state);
      expect(shown(Buffer.concat(restored.pieces))).toEqual([
        'put+ eph/a',
        'put eph/b',
        'session 00001122334455',
        'hold job........',
        'hold {a}shared........',
        'fence job....',
        'fence job....',
      ]);
      // The touched one has the touch's expiry and no flag, and is as far from the one before as it was.
      const touched = restored.entries.get('eph/b');
      expect(touched).toMatchObject({ expiresAt: START_TIME + 900, isEphemeral: false, back: 1 });
      expect(restored.entries.get('eph/a')).toMatchObject({ expiresAt: FIRST, isEphemeral: true });
    }
  });

  it.each(compactions)('in %s: a touch takes the flag wherever the put is', async (_, run) => {
    const directory = makeDataDirectory();
    const log = new LogMaker(directory);
    const make = new RecordMaker();
    log.write([[make.ephemeral('old', '1', 7), make.ephemeral('stays', '2', 7)], []]);
    const before = await recovered(directory);
    await run(jobOf(directory, before.result, 1 << 20), never);
    log.write([[make.touch('old', 0), make.ephemeral('run', '3', 7)]]);
    log.write([[make.put('fill', 'x'.repeat(300)), make.touch('run', START_TIME + 5)], []]);
    for (const { path } of before.result.sealed) rmSync(path);
    const { result, state } = await recovered(directory);
    await run(jobOf(directory, result, 200), never);
    const after = await recovered(directory);
    expect(after.state).toEqual(state);
    expect(after.state.entries.map(([key, entry]) => [key, entry.isEphemeral])).toEqual([
      ['fill', false],
      ['old', false],
      ['run', false],
      ['stays', true],
    ]);
  });

  it.skipIf(addon === undefined)(
    `writes the same bytes in both languages, RONDO_SEED=${SEED}`,
    { timeout: 60_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(
          history,
          fc.constantFrom(200, 700, 1 << 20),
          async (segments, runBytes) => {
            const directory = makeDataDirectory();
            const log = new LogMaker(directory);
            const historian = new Historian(new RecordMaker());
            for (const batches of segments) {
              log.write(batches.map((steps) => historian.recordsOf(steps)));
            }
            const { result } = await recovered(directory);
            if (result.sealed.length === 0) return;
            const bytes: string[] = [];
            for (const [, run] of compactions) {
              const { path } = await run(jobOf(directory, result, runBytes), never);
              bytes.push(readFileSync(path, 'hex'));
              rmSync(path);
            }
            expect(bytes[1]).toBe(bytes[0]);
          },
        ),
        { seed: SEED, numRuns: 60 },
      );
    },
  );
});

describe('the bytes', () => {
  it('of records of every kind stay', () => {
    const fixtures = new Fixtures('records.txt');
    const made = Buffer.concat(everyKind(new RecordMaker()));
    fixtures.expectBytes(
      'coordination',
      'Sessions, ephemeral keys with a touch, holds of locks, fences, and the ends of some',
      made,
    );
    expect(
      new Set(shown(fixtures.bytesOf('coordination')).map((line) => line.split(' ')[0])),
    ).toEqual(
      new Set(['session', 'put', 'put+', 'hold', 'touch', 'fence', 'hold-end', 'session-end']),
    );
  });

  it.each(compactions)('of a snapshot of them stay, in %s', async (_, run) => {
    const directory = makeDataDirectory();
    new LogMaker(directory).write([everyKind(new RecordMaker()), []]);
    const { result, state } = await recovered(directory);
    const { path } = await run(jobOf(directory, result, 1000), never);
    const fixtures = new Fixtures('log-files.txt');
    fixtures.expectBytes(
      'snapshot-coordination',
      'Of the records "coordination" of records.txt: two keys, a session, two holds, two fences',
      readFileSync(path),
    );
    writeFileSync(path, fixtures.bytesOf('snapshot-coordination'));
    for (const gather of [undefined, addon && nativeGather(addon)]) {
      const map = new MapState();
      await recover(directory, map, { gather });
      expect(map.state).toEqual(state);
    }
  });
});

describe('the engines', () => {
  // To be enabled with the engines that know these kinds.
  it.each(ENGINES)('%s restores what it folds', async (_, create) => {
    for (const runBytes of [200, 1 << 20]) {
      const directory = makeDataDirectory();
      new LogMaker(directory).write([everyKind(new RecordMaker()), []]);
      const engines = [create(OPTIONS), create(OPTIONS)] as const;
      await recover(directory, engines[0]);
      const { result } = await recovered(directory);
      await inThread(jobOf(directory, result, runBytes), never);
      await recover(directory, engines[1]);
      const [folded, restored] = engines.map((engine) => {
        const state = new Drive(engine).state();
        const figures = [OUTCOME_SESSIONS, OUTCOME_HOLDS, OUTCOME_POSITION, OUTCOME_MEMORY_BYTES];
        return { state, figures: figures.map((index) => engine.outcome[index]) };
      });
      expect(restored).toEqual(folded);
      expect(folded?.figures.slice(0, 3)).toEqual([1, 2, 15]);
      for (const engine of engines) engine.close();
    }
  });
});

describe('the records behind the snapshot', () => {
  it('are shown at recovery, in order and with their positions', async () => {
    const directory = makeDataDirectory();
    const log = new LogMaker(directory);
    const make = new RecordMaker();
    const first = everyKind(make);
    log.write([first, []]);
    const before = await recovered(directory);
    await inThread(jobOf(directory, before.result, 1000), never);
    const later = [make.put('a', '1'), make.session(5, 1000), make.delete('a')];
    log.write([later.slice(0, 2), [], later.slice(2)]);
    const last = make.put('b', 'x'.repeat(100));
    log.write([[last], []]);

    const seen: { bytes: Uint8Array; position: number }[] = [];
    const map = new MapState();
    await recover(directory, map, {
      onRecords: (records, position) => {
        // They are folded by then.
        const revisions = map.revisions.reduce((sum, revision) => sum + revision, 0);
        expect(revisions).toBe(position + shown(records).length);
        seen.push({ bytes: records.slice(), position });
      },
    });
    expect(seen.map(({ position }) => position)).toEqual([first.length, first.length + 3]);
    expect(Buffer.concat(seen.map(({ bytes }) => bytes))).toEqual(Buffer.concat([...later, last]));

    const all: number[] = [];
    for (const { path } of before.result.sealed) rmSync(path);
    rmSync(join(directory.snapshot, readdirSync(directory.snapshot)[0] ?? ''));
    const refused = recover(directory, new MapState(), {
      onRecords: (_, position) => all.push(position),
    });
    await expect(refused).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
    expect(all).toEqual([]);
  });
});
