// Compaction on a thread of its own, for where there is no addon: both ends of it. Its thread yields to
// all that serve.

import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { LogError, type LogErrorCode } from '../log.js';
import {
  type Compact,
  type CompactedSnapshot,
  CompactionCancelled,
  type CompactionJob,
  compact,
} from './compaction.js';
import { DataDamage, systemCode } from './data-errors.js';

interface WorkerData {
  readonly rondoCompaction: CompactionJob;
  /** Not 0: stop. */
  readonly cancelled: Int32Array;
}

/** An error as it crosses threads, where classes are lost. */
interface Failure {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly damage: [file: string, offset: number, expected: string, found: string] | undefined;
  readonly cause: { readonly message: string; readonly code: string | undefined } | undefined;
}

type Answer = { readonly done: CompactedSnapshot } | { readonly failure: Failure };

/** `file` is this module, compiled. */
export function compactInWorker(file = fileURLToPath(import.meta.url)): Compact {
  return (job, signal) =>
    new Promise((resolve, reject) => {
      const cancelled = new Int32Array(new SharedArrayBuffer(4));
      const data: WorkerData = { rondoCompaction: job, cancelled };
      const worker = new Worker(file, { workerData: data });
      const cancel = () => Atomics.store(cancelled, 0, 1);
      if (signal.aborted) cancel();
      signal.addEventListener('abort', cancel);
      worker.once('message', (answer: Answer) => {
        if ('done' in answer) resolve(answer.done);
        else reject(errorOf(answer.failure));
      });
      worker.once('error', reject);
      worker.once('exit', (code) => {
        signal.removeEventListener('abort', cancel);
        reject(new Error(`the thread of the compaction ended with code ${code}`));
      });
    });
}

function failureOf(error: unknown): Failure {
  const { name, message, cause } = error as Error;
  const reason =
    cause instanceof Error ? { message: cause.message, code: systemCode(cause) } : undefined;
  const isDamage = error instanceof DataDamage;
  const damage: Failure['damage'] = isDamage
    ? [error.file, error.offset, error.expected, error.found]
    : undefined;
  return { name, message, code: systemCode(error), damage, cause: reason };
}

function errorOf({ name, message, code, damage, cause }: Failure): Error {
  const reason = cause && Object.assign(new Error(cause.message), { code: cause.code });
  if (damage !== undefined) return new DataDamage(...damage, { cause: reason });
  if (name === 'CompactionCancelled') return new CompactionCancelled(message);
  if (name === 'LogError') return new LogError(code as LogErrorCode, message, { cause: reason });
  return new Error(message, { cause: reason });
}

/** The thread's end. */
async function run({ rondoCompaction: job, cancelled }: WorkerData): Promise<void> {
  try {
    // On Linux 0 is the calling thread; elsewhere it would be the whole process.
    if (job.isBackground && process.platform === 'linux')
      setPriority(0, constants.priority.PRIORITY_LOW);
  } catch {
    // Not allowed: it runs as it is.
  }
  let answer: Answer;
  try {
    answer = { done: await compact(job, () => Atomics.load(cancelled, 0) !== 0) };
  } catch (error) {
    answer = { failure: failureOf(error) };
  }
  parentPort?.postMessage(answer);
}

const data = workerData as Partial<WorkerData> | null;
if (!isMainThread && data?.rondoCompaction !== undefined) void run(data as WorkerData);
