// Records of sessions, locks, fences and ephemeral keys where something is amiss: what verification refuses,
// how damage before them is seen, how their loss is named.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { backUp } from '../../node/log/local/backup.js';
import { repairDirectory } from '../../node/log/local/repair.js';
import { verifyDirectory } from '../../node/log/local/verify.js';
import type { LogError } from '../../node/log/log.js';
import { sessionText } from '../../ts/engine/coordination.js';
import { RECORD_HEADER_BYTES } from '../../ts/engine/records.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { everyKind } from './log-every-kind.js';
import { LogMaker, makeDataDirectory, RecordMaker, temporaryFolder } from './log-files.js';
import { recovered } from './log-jobs.js';
import { LiveLog } from './log-live.js';

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
    ['a session that lives for no time', (make) => make.session(1, 0)],
    ['a hold of no session', (make) => make.hold('a', 0)],
    ['a hold without a token', (make) => make.hold('a', 1, { token: 0 })],
    ['a hold of a mode that is none', (make) => make.hold('a', 1, { mode: 3 })],
    ['a hold that is held no times', (make) => make.hold('a', 1, { depth: 0 })],
    ['a hold whose last byte is not zero', (make) => changed(make.hold('a', 1), 40 + 9 + 23, 1)],
    ['a fence of no token', (make) => make.fence('a', 2, 0)],
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
