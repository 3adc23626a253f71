// Times recovery and compaction of a log in a temporary folder: `node dist/bench/micro/recovery.js
// [records a batch] [MiB of segments] [keys]`. Records have 128 bytes, puts of random keys. Processor time
// stands beside the wall clock's, because other work on the machine changes only the latter.

import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { COMPACTION_RUN_BYTES, COMPACTION_RUNS_MAX } from '../../node/limits.js';
import { firstChain, sealBatch } from '../../node/log/local/batch.js';
import { type Compact, compact } from '../../node/log/local/compaction.js';
import { type DataPaths, dataPaths } from '../../node/log/local/data-directory.js';
import {
  BATCH_HEADER_BYTES,
  encodeSegmentHeader,
  FILE_HEADER_BYTES,
  segmentName,
} from '../../node/log/local/format.js';
import {
  type NativeRecoveryAddon,
  nativeCompact,
  nativeGather,
} from '../../node/log/local/native-recovery.js';
import { recover } from '../../node/log/local/recovery.js';
import type { EngineKind } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { RECORD_PUT, RecordWriter } from '../../ts/engine/records.js';
import { partitionOfKey } from '../../ts/wire/partition.js';

const PARTITIONS = 64;
const LOG_ID = 7n;
const RECORD_BYTES = 128;
const SEGMENT_BYTES = 64 * 1024 * 1024;
const WRITE_BYTES = 4 * 1024 * 1024;
const OPTIONS = { partitions: PARTITIONS, valueBytesMax: 1024, memoryBytesMax: 0, hashSeed: 5 };

const [perBatch = 120, mebibytes = 256, keys = 1_000_000] = process.argv.slice(2).map(Number);

function writeLog({ wal, snapshot }: DataPaths): void {
  for (const folder of [wal, snapshot]) mkdirSync(folder, { recursive: true });
  const chain = firstChain(LOG_ID);
  const revisions = new Float64Array(PARTITIONS);
  const value = new Uint8Array(72).fill(7);
  const piece = new Uint8Array(WRITE_BYTES);
  const view = new DataView(piece.buffer);
  const batchBytes = BATCH_HEADER_BYTES + perBatch * RECORD_BYTES;
  let seed = 1;
  let time = 1_700_000_000_000;
  const segments = Math.ceil((mebibytes * 1024 * 1024) / SEGMENT_BYTES);
  for (let segment = 1; segment <= segments; segment++) {
    const file = openSync(join(wal, segmentName(segment)), 'w');
    const header = { partitions: PARTITIONS, logId: LOG_ID, segment, epoch: 1 };
    writeSync(file, encodeSegmentHeader(header));
    for (let at = FILE_HEADER_BYTES; at + WRITE_BYTES <= SEGMENT_BYTES; ) {
      let used = 0;
      while (used + batchBytes <= WRITE_BYTES) {
        const body = piece.subarray(used + BATCH_HEADER_BYTES, used + batchBytes);
        const writer = new RecordWriter(body);
        for (let index = 0; index < perBatch; index++) {
          seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
          const key = Buffer.from(`key:${String(seed % keys).padStart(11, '0')}`);
          const partition = partitionOfKey(key, 0, key.length, PARTITIONS);
          const revision = (revisions[partition] ?? 0) + 1;
          revisions[partition] = revision;
          const { length } = key;
          writer.append(RECORD_PUT, partition, revision, time++, 0, key, 0, length, value, 0, 72);
        }
        sealBatch(view, used, writer.length, perBatch, time, chain.next - 1, chain);
        used += batchBytes;
      }
      at += writeSync(file, piece, 0, used);
    }
    closeSync(file);
  }
}

/** Runs a step and prints how many megabytes it took in a second. */
async function time<T>(name: string, bytes: number, step: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const used = process.cpuUsage();
  const answer = await step();
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(used);
  const cpu = (user + system) / 1000;
  const rate = (ms: number) => `${(bytes / 1000 / ms).toFixed(0).padStart(5)} MB/s`;
  console.log(`${name.padEnd(24)} ${rate(wall)}  ${rate(cpu)} of processor time`);
  return answer;
}

const folder = mkdtempSync(join(tmpdir(), 'rondo-recovery-'));
try {
  const paths = dataPaths(folder);
  const directory = { ...paths, partitions: PARTITIONS, logId: LOG_ID };
  writeLog(paths);
  console.log(
    `${perBatch} records of ${RECORD_BYTES} bytes a batch, ${mebibytes} MiB, ${keys} keys`,
  );
  for (const kind of ['native', 'ts'] satisfies EngineKind[]) {
    const { addon: any, create } = chooseEngine(kind);
    const addon = any as unknown as NativeRecoveryAddon | undefined;
    const gather = addon && nativeGather(addon);
    const inThread: Compact = (job, { aborted }) => compact(job, () => aborted);
    const bytes = mebibytes * 1024 * 1024;
    const recoverOnce = async () => {
      const engine = create(OPTIONS);
      const recovered = await recover(directory, engine, { gather });
      engine.close();
      return recovered;
    };
    await recoverOnce();
    const { sealed } = await time(`${kind}: recovery`, bytes, recoverOnce);
    const job = {
      folder: paths.snapshot,
      logId: LOG_ID,
      partitions: PARTITIONS,
      snapshot: undefined,
      segments: sealed,
      isBackground: false,
      runBytes: COMPACTION_RUN_BYTES,
      runsMax: COMPACTION_RUNS_MAX,
    };
    const { signal } = new AbortController();
    const run = addon === undefined ? inThread : nativeCompact(addon);
    const made = await time(`${kind}: compaction`, bytes, () => run(job, signal));
    await time(`${kind}: from the snapshot`, made.bytes, recoverOnce);
    rmSync(made.path);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
