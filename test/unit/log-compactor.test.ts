// When compactions start, and what follows one: the older snapshot goes, the log is trimmed; failures are
// tried again later, damage is reported once.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { SimulatedClock } from '../../node/clock.js';
import {
  COMPACTION_RETRY_MS,
  COMPACTION_RETRY_MS_MAX,
  COMPACTION_SEGMENTS_MIN,
} from '../../node/limits.js';
import { CompactionCancelled, type CompactionJob } from '../../node/log/local/compaction.js';
import { Compactor, type CompactorOptions } from '../../node/log/local/compactor.js';
import { DataDamage, unreadable } from '../../node/log/local/data-errors.js';
import { LOG_ID, PARTITIONS, temporaryFolder } from './log-files.js';

const SEGMENT_BYTES = 1000;

function setUp(options: Partial<CompactorOptions> = {}) {
  const folder = temporaryFolder();
  const clock = new SimulatedClock();
  const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const jobs: CompactionJob[] = [];
  const trim = vi.fn(async () => {});
  const onDamage = vi.fn();
  let fails: unknown;
  let waits: Promise<void> | undefined;
  const compactor = new Compactor({
    directory: { snapshot: folder, partitions: PARTITIONS, logId: LOG_ID },
    clock,
    logger,
    segmentBytes: SEGMENT_BYTES,
    snapshot: undefined,
    sealed: [],
    trim,
    onDamage,
    async compact(job, signal) {
      jobs.push(job);
      await waits;
      if (signal.aborted) throw new CompactionCancelled('stopped');
      if (fails !== undefined) throw fails;
      const number = job.segments.at(-1)?.number ?? 0;
      const path = join(folder, `${number}.snap`);
      writeFileSync(path, '');
      return { number, path, bytes: 6500, records: 1 };
    },
    ...options,
  });
  let number = 0;
  return {
    compactor,
    clock,
    logger,
    jobs,
    trim,
    onDamage,
    folder,
    seal(count: number) {
      for (let index = 0; index < count; index++) {
        number++;
        compactor.segmentSealed({
          number,
          path: `${number}.seg`,
          bytes: SEGMENT_BYTES,
          lastBatch: number * 10,
          lastChecksum: BigInt(number),
        });
      }
    },
    fail(error: unknown) {
      fails = error;
    },
    hold() {
      let release = () => {};
      waits = new Promise((resolve) => {
        release = resolve;
      });
      return () => {
        waits = undefined;
        release();
      };
    },
    settle: () => vi.waitFor(() => expect(compactor.isRunning).toBe(false)),
  };
}

describe('the compactor', () => {
  it('waits for enough segments, then trims what the snapshot covers', async () => {
    const { compactor, seal, settle, jobs, trim } = setUp();
    seal(COMPACTION_SEGMENTS_MIN - 1);
    expect(jobs).toEqual([]);
    seal(1);
    await settle();
    expect(jobs).toHaveLength(1);
    expect(jobs[0]).toMatchObject({ snapshot: undefined });
    expect(jobs[0]?.segments.map(({ number }) => number)).toEqual([1, 2, 3, 4]);
    expect(trim.mock.calls).toEqual([[40]]);
    expect(compactor).toMatchObject({ done: 1, sealedBytes: 0 });
  });

  it('waits for as many bytes as the snapshot has, and removes the older one', async () => {
    const { compactor, seal, settle, jobs, folder } = setUp();
    seal(4);
    await settle();
    seal(6);
    expect(jobs).toHaveLength(1);
    seal(1);
    await settle();
    expect(jobs[1]?.snapshot).toBe(join(folder, '4.snap'));
    expect(existsSync(join(folder, '4.snap'))).toBe(false);
    expect(compactor.snapshot?.path).toBe(join(folder, '11.snap'));
  });

  it('runs one at a time, and takes later what was sealed meanwhile', async () => {
    const { compactor, seal, settle, jobs, hold } = setUp();
    const release = hold();
    seal(12);
    expect(jobs).toHaveLength(1);
    release();
    await settle();
    expect(jobs.map(({ segments }) => segments.length)).toEqual([4, 8]);
    expect(compactor.done).toBe(2);
  });

  it('starts by itself with what recovery found', async () => {
    const sealed = [1, 2, 3, 4].map((number) => ({
      number,
      path: '',
      bytes: SEGMENT_BYTES,
      lastBatch: number,
      lastChecksum: 0n,
    }));
    const { jobs, settle } = setUp({ sealed });
    await settle();
    expect(jobs).toHaveLength(1);
  });

  it('tries again after a failure, later each time', async () => {
    const made = setUp();
    const { compactor, clock, seal, settle, fail, jobs, logger, trim } = made;
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    fail(unreadable('x.snap.tmp', 'write', full));
    seal(4);
    await settle();
    expect(logger.warn.mock.calls[0]?.[0].reason).toContain('no space left');
    let wait = COMPACTION_RETRY_MS;
    for (let attempt = 2; attempt <= 9; attempt++) {
      seal(1);
      expect(jobs).toHaveLength(attempt - 1);
      clock.advance(wait - 1);
      expect(jobs).toHaveLength(attempt - 1);
      clock.advance(1);
      expect(jobs).toHaveLength(attempt);
      await settle();
      wait = Math.min(wait * 2, COMPACTION_RETRY_MS_MAX);
    }
    expect(trim).not.toHaveBeenCalled();
    fail(undefined);
    clock.advance(COMPACTION_RETRY_MS_MAX);
    await settle();
    expect(compactor).toMatchObject({ done: 1, failed: 9, sealedBytes: 0 });
  });

  it('reports damage once and stops', async () => {
    const { compactor, clock, seal, settle, fail, jobs, onDamage, logger, trim } = setUp();
    fail(new DataDamage('/d/worker-0/wal/1.seg', 64, 'a batch', 'none'));
    seal(4);
    await settle();
    seal(8);
    clock.advance(COMPACTION_RETRY_MS_MAX * 4);
    expect(jobs).toHaveLength(1);
    expect(onDamage).toHaveBeenCalledTimes(1);
    expect(logger.error).toHaveBeenCalledTimes(1);
    expect(trim).not.toHaveBeenCalled();
    await compactor.close();
  });

  it('stops a compaction at its end, without a word', async () => {
    const { compactor, seal, hold, logger, trim } = setUp();
    const release = hold();
    seal(4);
    const closed = compactor.close();
    release();
    await closed;
    seal(20);
    expect(compactor).toMatchObject({ done: 0, failed: 0, isRunning: false });
    expect(trim).not.toHaveBeenCalled();
    expect(logger.warn).not.toHaveBeenCalled();
  });
});
