// Compaction: any prefix compacted, and the rest behind it, gives what the whole log gives, in both
// languages and with the same bytes; damage and cancellation replace nothing.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CompactedSnapshot,
  type CompactionJob,
  compact,
} from '../../node/log/local/compaction.js';
import type { DataFormat, DataPaths } from '../../node/log/local/data-directory.js';
import { DataDamage } from '../../node/log/local/data-errors.js';
import { recover } from '../../node/log/local/recovery.js';
import { RECORD_TOUCH } from '../../ts/engine/records.js';
import { seedOf } from '../parity/random.js';
import { LogMaker, makeDataDirectory, RecordMaker, START_TIME } from './log-files.js';
import { MapState, stateOf } from './log-state.js';

type Compact = (job: CompactionJob, isCancelled: () => boolean) => Promise<CompactedSnapshot>;

const compactions: [string, Compact][] = [['ts', compact]];
const SEED = seedOf(1);
const never = () => false;

/** What of a key to do, and which. */
interface Step {
  readonly kind: 'put' | 'touch' | 'delete' | 'expire';
  readonly key: number;
  readonly size: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('put', 'put', 'touch', 'touch', 'delete', 'expire'),
  key: fc.nat(12),
  size: fc.nat(60),
});

/** Segments of batches of steps. */
const history = fc.array(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 4 }), {
  minLength: 1,
  maxLength: 5,
});

/** Makes the records of a history; a key is touched or removed only where it is there. */
function recordsOf(steps: readonly Step[], make: RecordMaker, live: Set<string>): Uint8Array[] {
  return steps.flatMap(({ kind, key, size }) => {
    const name = `k${'ab'.repeat(key % 3)}\u00ff${key}`;
    if (kind === 'put') {
      live.add(name);
      return [make.put(name, 'v'.repeat(size), size % 2 === 0 ? 0 : START_TIME + size)];
    }
    if (!live.has(name)) return [];
    if (kind === 'touch') return [make.touch(name, START_TIME + size)];
    live.delete(name);
    return [kind === 'delete' ? make.delete(name) : make.expire(name)];
  });
}

function jobOf(
  directory: DataPaths & DataFormat,
  { sealed, snapshot }: Awaited<ReturnType<typeof recover>>,
  runBytes: number,
): CompactionJob {
  const { snapshot: folder, logId, partitions } = directory;
  return { folder, logId, partitions, snapshot: snapshot?.path, segments: sealed, runBytes };
}

async function recovered(directory: DataPaths & DataFormat) {
  const map = new MapState();
  const result = await recover(directory, map);
  return { result, state: map.state };
}

describe.each(compactions)(`compaction in %s, RONDO_SEED=${SEED}`, (_, run) => {
  it('of any prefix, and of its result with more, changes nothing', {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        history,
        history,
        fc.constantFrom(300, 1000, 1 << 20),
        async (first, second, runBytes) => {
          const directory = makeDataDirectory();
          const log = new LogMaker(directory);
          const make = new RecordMaker();
          const live = new Set<string>();
          const all: Uint8Array[] = [];
          for (const segments of [first, second]) {
            for (const batches of segments) {
              log.write(
                batches.map((steps) => {
                  const records = recordsOf(steps, make, live);
                  all.push(...records);
                  return records;
                }),
              );
            }
            const before = await recovered(directory);
            if (before.result.sealed.length === 0) continue;
            const job = jobOf(directory, before.result, runBytes);
            const made = await run(job, never);
            const after = await recovered(directory);
            expect(after.state).toEqual(stateOf(all));
            expect(after.result.snapshot?.path).toBe(made.path);
            expect(after.result.covered.map(({ number }) => number)).toContain(made.number);
            expect(after.result.chain).toEqual(before.result.chain);
            expect(readdirSync(directory.snapshot)).toEqual(
              [job.snapshot, made.path].flatMap((path) => (path ? [basename(path)] : [])),
            );
            for (const { path } of after.result.covered) rmSync(path);
            for (const { path } of after.result.olderSnapshots) rmSync(path);
            expect((await recovered(directory)).state).toEqual(stateOf(all));
            log.segment = made.number + 1;
          }
        },
      ),
      { seed: SEED, numRuns: 150 },
    );
  });
});
