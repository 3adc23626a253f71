// Both writers bring the same appends, in the same groups, to the same bytes. A group is what is appended
// before a flush that is waited for.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { realClock } from '../../node/clock.js';
import { type BatchHeader, readBatchHeader } from '../../node/log/local/batch.js';
import { BATCH_HEADER_BYTES, FILE_HEADER_BYTES } from '../../node/log/local/format.js';
import type { LocalLogOptions } from '../../node/log/local/local-log.js';
import {
  AppendMaker,
  openLocal,
  Recorder,
  readBack,
  temporaryFolder,
  WRITERS,
  type WriterKind,
} from '../drive/log.js';

const clock = { ...realClock, now: () => 1_700_000_123_456 };

async function write(
  writer: WriterKind,
  groups: readonly (readonly number[])[],
  durability: LocalLogOptions['durability'],
  isWaitedFor = true,
): Promise<Map<string, string>> {
  const { folder, remove } = temporaryFolder();
  const maker = new AppendMaker();
  for (let opening = 0; opening < 2; opening++) {
    const { recovered } = readBack(folder);
    const log = await openLocal(writer, folder, new Recorder(), {
      recovered,
      clock,
      durability,
      bounds: { batchBytesMax: 8192, markIdleMs: 60_000 },
    });
    for (const group of groups) {
      for (const valueBytes of group) {
        const records = maker.next(valueBytes, valueBytes % 2 === 0 ? [0, 3] : [1]);
        log.append(log.epoch, records, records.length);
      }
      log.flush();
      if (isWaitedFor) await log.settled(log.appended, 10_000);
    }
    await log.close();
  }
  const names = readdirSync(folder).sort();
  const found = names.map((name): [string, string] => [
    name,
    readFileSync(join(folder, name)).toString('latin1'),
  ]);
  remove();
  return new Map(found);
}

const GROUPS = [
  [16],
  [1, 2, 3, 4, 5],
  [5000, 5000, 5000, 100],
  [200_000],
  [60_000],
  [0],
  [8192, 8191, 1],
  [31_000, 31_001],
];

/** All batches from one flush, so that only the ends of segments are synced meanwhile. */
const BETWEEN_SYNCS = [GROUPS.flat().map((valueBytes) => valueBytes % 7000)];

it
  .skipIf(WRITERS.length < 2)
  .each([{ mode: 'sync' } as const, { mode: 'interval', everyMs: 3 } as const])(
  'the same bytes from both writers, $mode',
  async (durability) => {
    const native = await write('native', GROUPS, durability);
    const ts = await write('ts', GROUPS, durability);
    expect(native.size).toBeGreaterThan(6);
    expect([...native.keys()]).toEqual([...ts.keys()]);
    for (const [name, bytes] of native) expect(bytes === ts.get(name), name).toBe(true);
  },
);

it.skipIf(WRITERS.length < 2)('the same bytes of batches between two syncs', async () => {
  const durability = { mode: 'interval', everyMs: 600_000 } as const;
  const native = await write('native', BETWEEN_SYNCS, durability, false);
  const ts = await write('ts', BETWEEN_SYNCS, durability, false);
  expect([...native.keys()]).toEqual([...ts.keys()]);
  for (const [name, bytes] of native) expect(bytes === ts.get(name), name).toBe(true);
  const [first = ''] = native.values();
  const headers = headersOf(Buffer.from(first, 'latin1'));
  expect(headers.length).toBeGreaterThan(3);
  // A sync comes before its time where much was written, and before the mark at the end.
  const durable = headers.map((header) => header.durable);
  expect(durable).toEqual([...durable].sort((left, right) => left - right));
  expect(durable.slice(0, 2)).toEqual([0, 0]);
  expect(durable.at(-1)).toBe(headers.length - 1);
  expect(headers.some(({ number, durable }) => durable < number - 2)).toBe(true);
});

function headersOf(file: Buffer): BatchHeader[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const headers: BatchHeader[] = [];
  for (let at = FILE_HEADER_BYTES; ; ) {
    const header = readBatchHeader(view, at);
    if (header.number !== headers.length + 1) return headers;
    headers.push(header);
    at += BATCH_HEADER_BYTES + header.bodyLength;
  }
}
