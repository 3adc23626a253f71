// A loss of power where several batches were written since the last sync: the disk may keep a later one and
// lose an earlier one. That is no damage, unless a batch that was kept calls the lost one synced.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { backUp } from '../../node/log/local/backup.js';
import { compact } from '../../node/log/local/compaction.js';
import { DataDamage } from '../../node/log/local/data-errors.js';
import { FILE_HEADER_BYTES, segmentName } from '../../node/log/local/format.js';
import { type RecoveredLog, recover } from '../../node/log/local/recovery.js';
import { resettle } from '../../node/log/local/resettle.js';
import { verifyDirectory } from '../../node/log/local/verify.js';
import { SECTOR_BYTES } from '../crash/sectors.js';
import { Random, seedOf } from '../parity/random.js';
import {
  LOG_ID,
  LogMaker,
  makeDataDirectory,
  PARTITIONS,
  RecordMaker,
  temporaryFolder,
} from './log-files.js';
import { MapState, stateOf } from './log-state.js';

type Lost = 'zeros' | 'torn';

/**
 * Batches 1 to 3 are kept; 4 is lost, and 5 and 6 are whole, in the same segment or in the next one.
 * `durable`: what 5 and 6 call synced.
 */
function lossOfFour(
  place: 'here' | 'next segment',
  durable: readonly [number, number],
  lost: Lost,
) {
  const paths = makeDataDirectory();
  const log = new LogMaker(paths);
  const make = new RecordMaker();
  const kept = [make.put('a', '1'), make.put('b', '2'), make.put('c', '3')];
  log.write([[kept[0] as Uint8Array]]);
  const front = [log.batch([kept[1] as Uint8Array]), log.batch([kept[2] as Uint8Array])];
  const revisions = make.revisions.slice();
  log.durable = 3;
  const four = log.batch([make.put('d', 'lost')]);
  const left = lost === 'zeros' ? new Uint8Array(four.length) : four.fill(0, 56);
  log.durable = durable[0];
  const five = log.batch([make.put('e', '5')]);
  log.durable = durable[1];
  const behind = [five, log.batch([make.put('f', '6')]), new Uint8Array(256)];
  const file = log.writeBytes([...front, left, ...(place === 'here' ? behind : [])]);
  if (place === 'next segment') log.writeBytes(behind);
  const offset = FILE_HEADER_BYTES + front.reduce((sum, { length }) => sum + length, 0);
  const bytes = [left, ...behind.slice(0, 2)].reduce((sum, { length }) => sum + length, 0);
  return { paths, file, offset, bytes, kept, revisions, last: log.segment - 1 };
}

async function recovered(paths: ReturnType<typeof makeDataDirectory>) {
  const state = new MapState();
  return { result: await recover(paths, state), state: state.state };
}

/** Goes on where recovery ended. */
function goOn(paths: ReturnType<typeof makeDataDirectory>, result: RecoveredLog) {
  const log = new LogMaker(paths);
  Object.assign(log.chain, result.chain);
  log.epoch = result.epoch + 1;
  log.segment = result.nextSegment;
  log.durable = result.chain.next - 1;
  const make = new RecordMaker();
  make.revisions.set(result.revisions);
  make.time += 1000;
  return { log, make };
}

const CASES = (['here', 'next segment'] as const).flatMap((place) =>
  (['zeros', 'torn'] as const).map((lost) => ({ place, lost })),
);

describe.each(CASES)('batch 4 is lost ($lost), 5 and 6 are kept $place', ({ place, lost }) => {
  it('is cut where neither calls it synced, and the log goes on', async () => {
    const made = lossOfFour(place, [3, 3], lost);
    const { paths, kept, file, offset, bytes, last } = made;
    const isHere = place === 'here';
    for (let start = 0; start < 2; start++) {
      // A crash before the first new batch changes nothing.
      const { result, state } = await recovered(paths);
      expect(state).toEqual(stateOf(kept));
      expect(result.chain.next).toBe(4);
      expect(result.cut).toMatchObject({ file, offset, batches: 3 });
      if (isHere) expect(result.cut?.bytes).toBe(bytes);
      expect(result.unused.map(({ number }) => number)).toEqual(isHere ? [] : [last]);
      expect(result.nextSegment).toBe(last + 1);
      await resettle(paths, result.end);
    }
    const { damage, files } = await verifyDirectory(paths.path);
    expect(damage).toEqual([]);
    expect(files.find(({ state }) => state === 'torn')).toMatchObject({ tornAt: offset });
    const target = join(temporaryFolder(), 'backup');
    expect(await backUp(paths.path, target)).toMatchObject({ newestBatch: 3, damage: [] });

    const { result: before } = await recovered(paths);
    const { log, make } = goOn(paths, before);
    // Numbers 4 to 6 are given anew, one after another.
    const records: Uint8Array[] = [];
    const stale = readFileSync(file).subarray(offset);
    for (let batch = 4; batch <= 8; batch++) {
      const record = make.put('new', `batch ${batch}`);
      records.push(record);
      const path = log.writeBytes([log.batch([record]), stale]);
      const { result, state } = await recovered(paths);
      expect(state).toEqual(stateOf([...kept, ...records]));
      expect(result.chain).toEqual(log.chain);
      // What the earlier cut left, here and in files that are used again, is not cut a second time.
      if (batch > 4) expect(result.cut).toBeUndefined();
      expect(result.end?.path).toBe(path);
      log.durable = batch;
      expect((await verifyDirectory(paths.path)).damage).toEqual([]);
    }
    const { result } = await recovered(paths);
    const job = { logId: LOG_ID, partitions: PARTITIONS, snapshot: undefined };
    const bounds = { isBackground: false, runBytes: 1 << 20, runsMax: 4 };
    const segments = result.sealed;
    await compact({ ...job, ...bounds, segments, folder: paths.snapshot }, () => false);
    const compacted = await recovered(paths);
    expect(compacted.state).toEqual(stateOf([...kept, ...records]));
    expect(compacted.result.chain).toEqual(log.chain);
    expect(await backUp(paths.path, `${target}-2`)).toMatchObject({ newestBatch: 8, damage: [] });
  });

  it.each([
    [3, 4],
    [3, 5],
    [4, 5],
  ])('is damage where 5 calls %i synced and 6 calls %i', async (...durable) => {
    const { paths, file, offset } = lossOfFour(place, durable, lost);
    const error = await recover(paths, new MapState()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataDamage);
    expect(error).toMatchObject({ code: 'DATA_DAMAGED', file, offset, expected: 'batch 4' });
    const { damage, newestBatch } = await verifyDirectory(paths.path);
    expect(damage).toHaveLength(1);
    expect(damage[0]).toMatchObject({ file, offset });
    expect(newestBatch).toBe(6);
    const backup = backUp(paths.path, join(temporaryFolder(), 'backup'));
    await expect(backup).rejects.toMatchObject({ code: 'DATA_DAMAGED' });
  });
});

describe('a batch that stands whole in a file of another header', () => {
  it('is damage though none calls it synced: a segment is durable before it is used', async () => {
    const paths = makeDataDirectory();
    const log = new LogMaker(paths);
    const make = new RecordMaker();
    log.write([[make.put('a', '1')]]);
    const path = log.write([[make.put('b', '2')]]);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0, 0, FILE_HEADER_BYTES));
    await expect(recover(paths, new MapState())).rejects.toMatchObject({ file: path, offset: 0 });
  });
});

const SEED = seedOf(20260811);
const ROUNDS = 60;
const OPENINGS = 5;

/** The active segment as the page cache has it, and as the disk had it at the last sync. */
class Active {
  readonly path: string;
  cache: Buffer;
  disk: Buffer;
  at = FILE_HEADER_BYTES;

  constructor(log: LogMaker, stale: Buffer | undefined) {
    this.path = join(log.paths.wal, segmentName(log.segment));
    this.cache = Buffer.alloc(6 * 1024);
    stale?.copy(this.cache);
    Buffer.from(log.header(log.segment)).copy(this.cache);
    this.disk = Buffer.from(this.cache);
    log.segment++;
  }

  write(batch: Uint8Array): void {
    this.cache.set(batch, this.at);
    this.at += batch.length;
  }

  sync(): void {
    this.cache.copy(this.disk);
  }

  /** Each sector as it is in the cache or on the disk. */
  loseAny(random: Random): void {
    const left = Buffer.from(this.disk);
    for (let at = 0; at < left.length; at += SECTOR_BYTES) {
      if (random.below(2) === 0) this.cache.copy(left, at, at, at + SECTOR_BYTES);
    }
    writeFileSync(this.path, left);
  }
}

describe(`a log that is synced at intervals, RONDO_SEED=${SEED}`, () => {
  it('is never refused after a loss of power, and has all that was synced', {
    timeout: 60_000,
  }, async () => {
    const seen = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const random = new Random((SEED + round) >>> 0);
      const paths = makeDataDirectory();
      /** Of the batches that the log has. */
      let batches: Uint8Array[][] = [];
      let made: Buffer[] = [];
      let synced = 0;
      for (let opening = 0; opening < OPENINGS; opening++) {
        const name = `round ${round}, opening ${opening}`;
        const { result, state } = await recovered(paths).catch((cause) => {
          throw new Error(name, { cause });
        });
        if (opening > 0) {
          expect(result.chain.next - 1, name).toBeGreaterThanOrEqual(synced);
          const lost = batches.length - (result.chain.next - 1);
          seen.add(result.cut === undefined ? 'whole' : result.cut.batches > 1 ? 'gap' : 'torn');
          batches = batches.slice(0, batches.length - lost);
          expect(state, name).toEqual(stateOf(batches.flat()));
        }
        const { log, make } = goOn(paths, result);
        const isSync = random.below(3) === 0;
        synced = result.chain.next - 1;
        const old = () =>
          random.below(2) === 0 ? made.at(random.below(Math.max(1, made.length))) : undefined;
        let active = new Active(log, old());
        const files = [active];
        const count = random.between(1, 25);
        for (let step = 0; step < count; step++) {
          const value = 'x'.repeat(random.below(700));
          const isMark = random.below(6) === 0;
          const records = isMark ? [] : [make.put(`key-${random.below(9)}`, value)];
          const sync = () => {
            active.sync();
            synced = log.chain.next - 1;
            log.durable = synced;
          };
          if (isMark) sync();
          const batch = log.batch(records);
          if (active.at + batch.length > active.cache.length) {
            // The batch was sealed with what is synced now.
            log.chain.next--;
            log.chain.before = new DataView(batch.buffer).getBigUint64(8, true);
            sync();
            active = new Active(log, old());
            files.push(active);
            active.write(log.batch(records));
          } else active.write(batch);
          batches.push(records);
          if (isSync || isMark || random.below(5) === 0) sync();
        }
        if (random.below(2) === 0) files.push(new Active(log, old()));
        for (const file of files) file.loseAny(random);
        made = [...made, ...files.map(({ path }) => readFileSync(path))];
      }
    }
    expect([...seen].toSorted()).toEqual(['gap', 'torn', 'whole']);
  });
});
