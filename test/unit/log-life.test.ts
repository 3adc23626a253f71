// A log over several starts: written by the real log, copied as a crash would leave it, compacted while it
// is written, recovered each time. Both writers, both compactions.

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { realClock } from '../../node/clock.js';
import { compact } from '../../node/log/local/compaction.js';
import { Compactor } from '../../node/log/local/compactor.js';
import { dataPaths, openDataDirectory } from '../../node/log/local/data-directory.js';
import { LocalLog } from '../../node/log/local/local-log.js';
import { nativeCompact, nativeGather } from '../../node/log/local/native-recovery.js';
import { recover } from '../../node/log/local/recovery.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { WRITERS } from '../drive/log.js';
import { Random, seedOf } from '../parity/random.js';
import { findAddon } from './log-addon.js';
import { PARTITIONS, RecordMaker, temporaryFolder } from './log-files.js';
import { MapState } from './log-state.js';

const SEED = seedOf(9);
const SEGMENT_BYTES = 16 * 1024;
const silent = { info() {}, warn() {}, error() {} };

describe.each(WRITERS)(`a log written in %s, RONDO_SEED=${SEED}`, (writer) => {
  it('is there after each start, whole', { timeout: 60_000 }, async () => {
    const native = writer === 'native' ? findAddon() : undefined;
    const gather = native && nativeGather(native);
    const path = join(temporaryFolder(), 'data');
    const random = new Random(SEED);
    const make = new RecordMaker();
    const truth = new MapState();
    let compacted = 0;
    for (let start = 0; start < 6; start++) {
      const directory = openDataDirectory(path, { partitions: PARTITIONS, flock: native?.flock });
      const state = new MapState();
      const recovered = await recover(directory, state, { gather });
      expect(state.state, `start ${start}`).toEqual(truth.state);
      expect(recovered.cut).toBeUndefined();
      let compactor: Compactor | undefined;
      const failures: unknown[] = [];
      const log = await LocalLog.open({
        folder: directory.wal,
        partitions: PARTITIONS,
        recovered,
        spare: [...recovered.covered, ...recovered.unused].map((file) => file.path),
        durability: { mode: 'sync' },
        addon: writer === 'native' ? chooseEngine('native').addon : undefined,
        clock: realClock,
        events: {
          onProgress() {},
          onFailure: (error) => failures.push(error),
          onSealed: (segment) => compactor?.segmentSealed(segment),
        },
        bounds: { segmentBytes: SEGMENT_BYTES, reserveBytes: 4096 },
      });
      compactor = new Compactor({
        directory,
        compact: native
          ? nativeCompact(native)
          : (job, signal) => compact(job, () => signal.aborted),
        clock: realClock,
        logger: silent as never,
        segmentBytes: SEGMENT_BYTES,
        snapshot: recovered.snapshot,
        sealed: recovered.sealed,
        trim: (batch) => log.trim(batch),
        onDamage: (error) => failures.push(error),
      });
      for (let append = 0; append < 150; append++) {
        const record = randomRecord(random, make, truth);
        truth.fold(record);
        log.append(log.epoch, record, record.length);
        log.flush();
        if (random.oneIn(3)) await log.settled(log.appended, 10_000);
      }
      await log.settled(log.appended, 10_000);
      if (start % 2 === 0) {
        await compactor.close();
        const copy = dataPaths(join(temporaryFolder(), 'crash'));
        cpSync(path, copy.path, { recursive: true });
        const after = new MapState();
        await recover({ ...directory, ...copy }, after, { gather });
        expect(after.state, `crash ${start}`).toEqual(truth.state);
      }
      await compactor.close();
      expect(failures).toEqual([]);
      compacted += compactor.done;
      await log.close();
      directory.close();
    }
    expect(compacted).toBeGreaterThan(0);
  });
});

function randomRecord(random: Random, make: RecordMaker, truth: MapState): Uint8Array {
  const session = 1 + random.below(20);
  if (random.oneIn(4)) {
    const name = `lock ${session}`;
    const records = [
      () => make.session(session, 1000),
      () => make.sessionEnd(session),
      () => make.hold(name, session),
      () => make.hold(name, session, { token: 1 + random.below(5), depth: 2 }),
      () => make.holdEnd(name, 1 + random.below(5)),
      () => make.fence(name, random.below(PARTITIONS), 1 + random.below(9)),
      () => make.ephemeral(`key ${random.below(40)}`, 'v', session),
    ];
    return (records[random.below(records.length)] as () => Uint8Array)();
  }
  const key = `key ${random.below(40)}`;
  const kind = truth.entries.has(key) ? random.below(5) : 0;
  if (kind === 1) return make.touch(key, make.time + 1000);
  if (kind === 2) return make.delete(key);
  if (kind === 3) return make.expire(key);
  return make.put(key, 'v'.repeat(random.below(900)));
}
