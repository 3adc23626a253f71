// Record files written by one engine and folded by another: all pairings. The reader then equals the
// writer and goes on as it does.

import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OUTCOME_COUNT, OUTCOME_NEXT, OUTCOME_RECORD_BYTES } from '../../ts/engine/engine.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { expectFolds } from '../contract/engine/coordination-fold.js';
import { Drive } from '../drive/drive.js';
import { type CreateEngine, findNative } from '../drive/engines.js';
import { encodeRequest } from '../drive/operations.js';
import { CONFIGS } from './configs.js';
import { runLockstep } from './lockstep.js';
import { Random, seedOf } from './random.js';
import { randomSteps } from './steps.js';

const SEED = seedOf(64);
const native = findNative();
const engines: [string, CreateEngine][] = [['ts', createTsEngine]];
if ('create' in native) engines.push(['native', native.create]);
const pairings = engines.flatMap(([writer, write]) =>
  engines.map(([reader, read]) => ({ writer, write, reader, read })),
);
const configs = CONFIGS.filter(
  ({ options, mix }) =>
    options.valueBytesMax <= 1024 * 1024 && !mix.durable && mix.agents === undefined,
);

describe(`record files, RONDO_SEED=${SEED}`, { timeout: 120_000 }, () => {
  it.each(pairings)('written by $writer, folded by $reader', ({ write, read }) => {
    const folder = mkdtempSync(join(tmpdir(), 'rondo-records-'));
    for (const [index, { options, mix, name }] of configs.entries()) {
      const file = join(folder, `${index}.records`);
      writeFileSync(file, '');
      const writer = write(options);
      const append = () =>
        appendFileSync(file, writer.records.subarray(0, writer.outcome[OUTCOME_RECORD_BYTES]));
      let now = 1_000_000;
      for (const step of randomSteps(new Random(SEED), 1500, mix)) {
        now += Math.abs(step.elapsed) % 100;
        if (step.kind === 'advance') {
          writer.advance(now);
          append();
        } else if (step.kind === 'frame') {
          const frame = encodeRequest(step.operations.map(({ operation }) => operation));
          for (let next = 0, count = 1; next < count; ) {
            if (writer.execute(frame, next, now) < 0) break;
            append();
            next = writer.outcome[OUTCOME_NEXT] ?? 0;
            count = writer.outcome[OUTCOME_COUNT] ?? 0;
          }
        }
      }
      const log = readFileSync(file);
      expect(log.length, name).toBeGreaterThan(1000);

      const reader = read(options);
      reader.fold(log);
      const drives = [writer, reader].map((engine) => new Drive(engine));
      for (const drive of drives) drive.now = now;
      const [written, folded] = drives.map((drive) => [
        drive.state(),
        drive.keys,
        drive.memoryBytes,
      ]);
      expect(folded, name).toEqual(written);
      for (let partition = 0; partition < options.partitions; partition++) {
        if (reader.revisionOf(partition) !== writer.revisionOf(partition)) {
          expect.fail(`${name}: revisions of partition ${partition} differ`);
        }
      }
      writer.counters.fill(0);
      reader.counters.fill(0);
      const more = randomSteps(new Random(SEED + 1), 300, mix);
      const makeOnce = () => ({ left: writer, right: reader });
      expect(runLockstep(makeOnce, more, options.partitions), name).toBeUndefined();
    }
    rmSync(folder, { recursive: true });
  });

  it.each(pairings)('of sessions and locks, by $writer, folded by $reader', ({ write, read }) => {
    for (let seed = SEED; seed < SEED + 2; seed++) expectFolds(write, read, seed);
    expect.assertions(10);
  });

  if ('reason' in native) it.skip(native.reason);
});
