// Verification: it refuses what recovery refuses, whatever byte is changed, and says where.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeVerification } from '../../node/cli/log-table.js';
import { snapshotName } from '../../node/log/local/format.js';
import { LockFile } from '../../node/log/local/lock-file.js';
import { recover } from '../../node/log/local/recovery.js';
import { verifyDirectory } from '../../node/log/local/verify.js';
import { LogError } from '../../node/log/log.js';
import { LiveLog } from './log-live.js';
import { MapState } from './log-state.js';

/** Segments 1 and 2 folded into a snapshot, batches in segments 3 to 5, a mark at the end. */
function smallLog(segmentBytes = 768): LiveLog {
  const log = new LiveLog(segmentBytes);
  while (log.pathOf(3) !== log.activePath) log.append(2);
  log.compact();
  while (log.pathOf(5) !== log.activePath) log.append(2);
  log.append(1);
  log.mark();
  log.close();
  return log;
}

const verify = (log: LiveLog) => verifyDirectory(log.paths.path);

describe('verification', () => {
  it('of a whole log lists each file with what it holds', async () => {
    const log = smallLog();
    const found = await verify(log);
    expect(found.damage).toEqual([]);
    expect(found.newestBatch).toBe(log.newest);
    const [snapshot, ...segments] = found.files;
    expect(snapshot).toMatchObject({ kind: 'snapshot', state: 'whole', records: 10, from: 1 });
    expect(segments.map(({ state }) => state)).toEqual(['whole', 'whole', 'whole']);
    const numbers = segments.map(({ from, to, batches }) => [from, to, batches]);
    expect(segments[0]?.from).toBe((snapshot?.to ?? 0) + 1);
    expect(numbers.every(([from = 0, to = 0, batches]) => to - from + 1 === batches)).toBe(true);
    expect(segments.at(-1)?.to).toBe(log.newest);
    const records = segments.reduce((sum, report) => sum + report.records, 0);
    expect(records).toBe(log.batches.slice(snapshot?.to).flat().length);
    expect(describeVerification(found).at(-1)).toContain(`Batches up to ${log.newest}`);
  });

  it('refuses every changed byte that recovery refuses, and leaves the file alone', {
    timeout: 120_000,
  }, async () => {
    const log = smallLog(400);
    const { files } = await verify(log);
    let refused = 0;
    for (const { file } of files) {
      const whole = readFileSync(file.path);
      for (let at = 0; at < whole.length; at++) {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
        writeFileSync(file.path, changed);
        const error = await recover(log.paths, new MapState(), { isReadOnly: true }).then(
          () => undefined,
          (thrown: unknown) => thrown as LogError,
        );
        const found = await verify(log);
        const name = `${file.path}, byte ${at}`;
        expect(found.damage.length > 0, name).toBe(error !== undefined);
        if (error !== undefined) {
          refused++;
          const damaged = found.files.filter(({ damage }) => damage.length > 0);
          expect(
            damaged.map((report) => report.file.path),
            name,
          ).toEqual([file.path]);
        }
        expect(readFileSync(file.path).equals(changed)).toBe(true);
      }
      writeFileSync(file.path, whole);
    }
    expect(refused).toBeGreaterThan(500);
  });

  it('goes on past damage and finds the rest', async () => {
    const log = smallLog();
    for (const segment of [3, 4]) {
      const bytes = readFileSync(log.pathOf(segment));
      bytes[110] = (bytes[110] ?? 0) ^ 1;
      bytes[430] = (bytes[430] ?? 0) ^ 1;
      writeFileSync(log.pathOf(segment), bytes);
    }
    const found = await verify(log);
    expect(found.damage).toHaveLength(4);
    expect(found.files.map(({ state }) => state)).toEqual(['whole', 'damaged', 'damaged', 'whole']);
    expect(found.newestBatch).toBe(log.newest);
    const lines = describeVerification(found).join('\n');
    expect(lines).toContain('DAMAGED at byte 64: expected batch');
    expect(lines).toContain('DAMAGED in 4 places');
  });

  it('names files that are missing', async () => {
    const log = smallLog();
    rmSync(log.pathOf(4));
    const found = await verify(log);
    expect(found.files.map(({ state }) => state)).toEqual(['whole', 'whole', 'missing', 'whole']);
    expect(found.damage[0]?.file).toBe(log.pathOf(4));
    rmSync(join(log.paths.snapshot, snapshotName(2)));
    expect((await verify(log)).damage.map(({ file }) => file)).toEqual([
      log.pathOf(1),
      log.pathOf(2),
      log.pathOf(4),
    ]);
  });

  it('misses no segment for the many batches that it held', async () => {
    // The search for batches behind the end once passed over numbers that one segment could not reach.
    const log = new LiveLog(512);
    while (log.activePath !== log.pathOf(12)) log.append(1);
    log.append(1);
    for (let segment = 2; segment < 12; segment++) rmSync(log.pathOf(segment));
    const found = await verify(log);
    expect(found.files.filter(({ state }) => state === 'missing')).toHaveLength(10);
    await expect(recover(log.paths, new MapState())).rejects.toThrow('segment 2');
  });

  it('tells a torn tail and what a crash leaves from damage', async () => {
    const log = new LiveLog();
    log.append(2);
    log.tear();
    writeFileSync(log.pathOf(2), new Uint8Array(4096));
    writeFileSync(join(log.paths.wal, 'x.seg.tmp'), 'x');
    const found = await verify(log);
    expect(found.damage).toEqual([]);
    expect(found.files.map(({ state }) => state)).toEqual(['torn', 'unused']);
    expect(readFileSync(join(log.paths.wal, 'x.seg.tmp'), 'utf8')).toBe('x');
  });

  it('of a directory in use takes the end as one that moves', { timeout: 60_000 }, async () => {
    const log = new LiveLog(64 * 1024);
    const lock = LockFile.acquire(log.paths.path);
    let isRunning = true;
    const writing = (async () => {
      for (let step = 0; isRunning; step++) {
        log.append(20);
        if (step % 50 === 0) log.compact(2);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let attempt = 0; attempt < 30; attempt++) {
      const before = log.newest;
      const found = await verify(log);
      expect(found.damage).toEqual([]);
      expect(found.openIn).toBe(process.pid);
      expect(found.newestBatch).toBeGreaterThanOrEqual(before);
    }
    isRunning = false;
    await writing;
    lock.release();
  });

  it('needs a data directory', async () => {
    await expect(verifyDirectory('/nonexistent')).rejects.toMatchObject({ code: 'DATA_FORMAT' });
    expect(new LogError('DATA_FORMAT', '').maybeApplied).toBe(false);
  });
});
