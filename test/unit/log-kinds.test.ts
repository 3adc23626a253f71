// The records of sessions, locks, fences and ephemeral keys in a log: folded into snapshots in both
// languages, checked, found behind damage, named where they would be lost.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backUp } from '../../node/log/local/backup.js';
import { nativeGather } from '../../node/log/local/native-recovery.js';
import { recover } from '../../node/log/local/recovery.js';
import { repairDirectory } from '../../node/log/local/repair.js';
import { verifyDirectory } from '../../node/log/local/verify.js';
import type { LogError } from '../../node/log/log.js';
import { sessionText } from '../../ts/engine/coordination.js';
import {
  RECORD_FLAG_EPHEMERAL,
  RECORD_HEADER_BYTES,
  RecordReader,
} from '../../ts/engine/records.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { RECORD_KINDS } from '../drive/records.js';
import { Fixtures } from '../fixtures/fixtures.js';
import { seedOf } from '../parity/random.js';
import {
  LogMaker,
  makeDataDirectory,
  RecordMaker,
  START_TIME,
  temporaryFolder,
} from './log-files.js';
import { addon, compactions, inThread, jobOf, never, recovered } from './log-jobs.js';
import { LiveLog } from './log-live.js';
import { MapState, stateOf } from './log-state.js';
import { Historian, history } from './log-steps.js';

const SEED = seedOf(1);
const FIRST = 0x1122334455;
const SECOND = 2 ** 53 - 1;

/** Every kind, in an order in which an engine may make them; the touch takes `eph/b` from its session. */
function everyKind(make: RecordMaker): Uint8Array[] {
  make.isLinked = true;
  const before = [
    make.session(FIRST, 10_000),
    make.session(SECOND, 86_400_000),
    make.put('eph/b', 'before'),
    make.ephemeral('eph/a', '1', FIRST),
    make.ephemeral('eph/b', '2', SECOND),
  ];
  const token = make.nextToken('job');
  before.push(make.hold('job', FIRST, { lease: START_TIME + 500 }));
  const shared = make.nextToken('{a}shared');
  return [
    ...before,
    make.hold('{a}shared', SECOND, { mode: 1 }),
    make.hold('job', FIRST, { token, depth: 2 }),
    make.touch('eph/b', START_TIME + 900),
    make.fence('job', 3, token),
    make.fence('job', 3, token + 4),
    make.fence('job', 2, token),
    make.hold('{a}shared', FIRST, { mode: 1 }),
    make.sessionEnd(SECOND),
    make.holdEnd('{a}shared', shared),
  ];
}

/** The kinds of records, with their keys; `+` marks an ephemeral put. */
function shown(records: Uint8Array): string[] {
  const reader = new RecordReader(records);
  const lines: string[] = [];
  while (!reader.done) {
    if (!reader.next()) throw new Error('malformed');
    const key = Buffer.from(reader.key).toString('latin1');
    const flag = (reader.flags & RECORD_FLAG_EPHEMERAL) === 0 ? '' : '+';
    lines.push(`${RECORD_KINDS[reader.kind]}${flag} ${key.replace(/\p{Cc}/gu, '.')}`);
  }
  return lines;
}

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

describe('verification', () => {
  /** The verdict on a log with this one batch. */
  async function verdictOn(records: readonly Uint8Array[]): Promise<string> {
    const directory = makeDataDirectory();
    new LogMaker(directory).write([records, []]);
    const { damage } = await verifyDirectory(directory.path);
    return damage.map(({ expected }) => expected).join();
  }
  const changed = (record: Uint8Array, at: number, by: number): Uint8Array => {
    const bytes = Uint8Array.from(record);
    bytes[at] = (bytes[at] as number) ^ by;
    return bytes;
  };

  /** An id that ends with a letter, and has the same partition with it as a capital. */
  function capitalId(): number {
    for (let id = 0xa; ; id += 16) {
      const key = Buffer.from(sessionText(id));
      const capitals = Buffer.concat([key.subarray(0, 13), Buffer.from('A')]);
      if (partitionOfKey(key, 0, 14, 4) === partitionOfKey(capitals, 0, 14, 4)) return id;
    }
  }

  it('finds logs and snapshots with every kind whole', async () => {
    expect(await verdictOn(everyKind(new RecordMaker()))).toBe('');
    const log = new LiveLog(1024);
    for (const record of everyKind(log.make)) log.appendBatch([record]);
    log.roll();
    log.compact();
    log.append(1);
    log.mark();
    const { damage, files } = await verifyDirectory(log.paths.path);
    expect(damage).toEqual([]);
    expect(files.find(({ kind }) => kind === 'snapshot')?.records).toBe(7);
  });

  it.each<[string, (make: RecordMaker) => Uint8Array]>([
    ['a session of an id in capitals', (make) => changed(make.session(capitalId(), 9), 53, 0x20)],
    ['a session of the id 0', (make) => make.session(0, 9)],
    ['a session of another partition', (make) => changed(make.session(1, 9), 8, 1)],
    ['a hold of another partition than its lock', (make) => changed(make.hold('a', 1), 8, 1)],
    ['a fence of another partition than its key', (make) => changed(make.fence('a', 2, 1), 8, 1)],
    [
      'a fence of a partition that is not there',
      (make) => {
        const record = changed(make.fence('a', 2, 1), 8, 4);
        return changed(record, RECORD_HEADER_BYTES + 1, 4);
      },
    ],
    ['a session with `back`', (make) => changed(make.session(1, 9), 12, 1)],
    ['a flag that a hold has not', (make) => changed(make.hold('a', 1), 7, 1)],
    ['an ephemeral put of no session', (make) => make.ephemeral('a', '1', 0)],
  ])('refuses %s', async (_, make) => {
    expect(await verdictOn([make(new RecordMaker())])).toBe('records that go on from those before');
  });

  it('refuses a snapshot whose spaces are out of order, or that has removals', async () => {
    const make = new RecordMaker();
    const sorted = [
      make.put('a', '1'),
      make.session(1, 9),
      make.hold('a', 1),
      make.fence('a', 2, 1),
    ];
    const { FoldCheck } = await import('../../node/log/local/fold-check.js');
    const restored = (records: readonly Uint8Array[]) => () => {
      const check = new FoldCheck(4);
      for (const record of records) check.restore(record);
      const whole = new FoldCheck(4);
      whole.restore(Buffer.concat(records));
    };
    expect(restored(sorted)).not.toThrow();
    for (let at = 1; at < sorted.length; at++) {
      const swapped = [...sorted];
      [swapped[at - 1], swapped[at]] = [sorted[at] as Uint8Array, sorted[at - 1] as Uint8Array];
      expect(restored(swapped), `${at}`).toThrow('not whole and valid');
    }
    expect(restored([make.session(1, 9), make.session(1, 9)])).toThrow();
    for (const record of [make.sessionEnd(1), make.holdEnd('a', 1), make.touch('a', 1)]) {
      expect(restored([record])).toThrow();
    }
  });
});

describe('a batch that begins with any kind', () => {
  const kinds = everyKind(new RecordMaker()).map((_, index) => index);

  it.each(kinds)('proves that the one before it was durable: record %i', async (index) => {
    const directory = makeDataDirectory();
    const log = new LogMaker(directory);
    const records = everyKind(new RecordMaker());
    const damaged = log.batch(records.slice(0, index));
    damaged[0] = (damaged[0] as number) ^ 1;
    log.writeBytes([damaged, log.batch(records.slice(index)), new Uint8Array(256)]);
    await expect(recovered(directory)).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
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

describe('repair', () => {
  it('names what would be lost by kind', async () => {
    const log = new LiveLog(4096);
    log.append(1);
    log.mark();
    const backup = join(temporaryFolder(), 'backup');
    await backUp(log.paths.path, backup);
    const damagedAt = log.newest + 1;
    log.append(1);
    for (const record of everyKind(log.make)) log.appendBatch([record]);
    log.mark();
    const bytes = readFileSync(log.activePath);
    const at = bytes.indexOf(`....${(damagedAt - 1) * 7}`);
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0;
    writeFileSync(log.activePath, bytes);
    const error: LogError = await repairDirectory(log.paths.path, backup).then(
      () => {
        throw new Error('was not refused');
      },
      (refused: LogError) => refused,
    );
    expect(error.code).toBe('REPAIR_LOSES');
    expect(error.message).toContain(
      ': 2 session, 3 put, 4 hold, 1 touch, 3 fence, 1 session-end, 1 hold-end)',
    );
    const { lost } = await repairDirectory(log.paths.path, backup, { isDryRun: true });
    expect(lost.map(({ records }) => records.fence)).toEqual([undefined, 3]);
  });
});
