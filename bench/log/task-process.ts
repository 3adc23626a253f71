// Does one task and prints its answer as a line of JSON. The task is the only argument.

import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { makeLog, RecordSource } from './data.js';
import { APPEND_PENDING_BYTES, BATCH_RECORDS, RECORD_BYTES } from './limits.js';
import { compactBy, openLogBy, recoverBy } from './parts.js';
import type { Task, TaskAnswer } from './tasks.js';

type Of<K extends Task['kind']> = Extract<Task, { kind: K }>;

/** Milliseconds after which a lonely append that is not durable is given up. */
const SETTLE_TIMEOUT_MS = 30_000;
const READ_BYTES = 8 * 1024 * 1024;

const task = JSON.parse(process.argv[2] ?? '') as Task;
process.stdout.write(`${JSON.stringify(await run(task))}\n`);

function run(task_: Task): Promise<TaskAnswer> {
  switch (task_.kind) {
    case 'make':
      return make(task_);
    case 'recover':
      return recovery(task_);
    case 'append':
      return append(task_);
    case 'lonely':
      return lonely(task_);
    case 'compact':
      return compaction(task_);
  }
}

async function make({ folder, bytes, isSingle }: Of<'make'>): Promise<TaskAnswer> {
  const began = performance.now();
  const log = makeLog(folder, bytes, isSingle ? 1 : BATCH_RECORDS);
  const seconds = (performance.now() - began) / 1000;
  return { seconds, bytes: log.bytes, records: log.records, log };
}

async function recovery({ by, folder }: Of<'recover'>): Promise<TaskAnswer> {
  readThrough(folder);
  const began = performance.now();
  const { records, bytes } = await recoverBy(by, folder);
  const seconds = (performance.now() - began) / 1000;
  if (records === 0) throw new Error('the recovery found no records');
  return { seconds, records, bytes };
}

async function append({ by, folder, bytes }: Of<'append'>): Promise<TaskAnswer> {
  const batches = Math.ceil(bytes / (BATCH_RECORDS * RECORD_BYTES));
  const source = new RecordSource(batches * BATCH_RECORDS);
  // Made beforehand: what is measured is the log and not the engine.
  const appends = Array.from({ length: batches }, () => source.next(BATCH_RECORDS).slice());
  source.close();
  let failure: Error | undefined;
  const { log, close } = await openLogBy(
    by,
    folder,
    () => undefined,
    (error) => {
      failure = error;
    },
  );
  try {
    const began = performance.now();
    for (const records of appends) {
      while (log.refusal !== 'none' || log.pendingBytes > APPEND_PENDING_BYTES) {
        if (failure !== undefined) throw failure;
        log.flush();
        await turn();
      }
      log.append(log.epoch, records, records.length);
    }
    log.flush();
    await log.settled(log.appended, SETTLE_TIMEOUT_MS);
    const seconds = (performance.now() - began) / 1000;
    const written = batches * BATCH_RECORDS;
    return { seconds, bytes: written * RECORD_BYTES, records: written };
  } finally {
    await close();
  }
}

async function lonely(task_: Of<'lonely'>): Promise<TaskAnswer> {
  const { by, folder, seconds, warmUpSeconds } = task_;
  const source = new RecordSource(BATCH_RECORDS);
  const waiters = { failure: undefined as Error | undefined };
  const { log, close } = await openLogBy(
    by,
    folder,
    () => undefined,
    (error) => {
      waiters.failure = error;
    },
  );
  const latencies: number[] = [];
  try {
    const from = performance.now() + warmUpSeconds * 1000;
    const until = from + seconds * 1000;
    for (let began = performance.now(); began < until; began = performance.now()) {
      const records = source.next(1);
      const start = performance.now();
      const number = log.append(log.epoch, records, records.length);
      log.flush();
      await log.settled(number, SETTLE_TIMEOUT_MS);
      if (start >= from) latencies.push(performance.now() - start);
    }
  } finally {
    source.close();
    await close();
  }
  if (latencies.length === 0) throw new Error('no append became durable in time');
  latencies.sort((left, right) => left - right);
  const at = (share: number): number =>
    (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0) * 1000;
  return {
    seconds,
    bytes: latencies.length * RECORD_BYTES,
    records: latencies.length,
    latencyMicros: { p50: at(0.5), p99: at(0.99), p999: at(0.999) },
  };
}

async function compaction({ by, folder, segments, into }: Of<'compact'>): Promise<TaskAnswer> {
  readThrough(folder);
  const began = performance.now();
  const { records, path, bytes } = await compactBy(by, folder, segments, into);
  return { seconds: (performance.now() - began) / 1000, bytes, records, path };
}

/** Has the system keep the log in memory, so that no disk is measured. */
function readThrough(folder: string): void {
  const buffer = new Uint8Array(READ_BYTES);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(seg|snap)$/.test(entry.name)) continue;
    const file = openSync(join(entry.parentPath, entry.name), 'r');
    try {
      while (readSync(file, buffer) > 0);
    } finally {
      closeSync(file);
    }
  }
}
