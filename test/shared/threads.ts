// Starts `thread.ts` as a second thread of a test, compiled as it is now.

import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import type { Task } from './thread.js';

export interface Thread {
  /** It has begun. */
  readonly begun: Promise<void>;
  /** What its task returned. */
  readonly result: Promise<unknown>;
  terminate(): Promise<unknown>;
}

let code: Promise<string> | undefined;

async function compile(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('./thread.ts', import.meta.url))],
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    write: false,
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}

export async function startThread(task: Task): Promise<Thread> {
  code ??= compile();
  const worker = new Worker(await code, { eval: true, workerData: task });
  let onBegun = () => {};
  const begun = new Promise<void>((resolve) => {
    onBegun = resolve;
  });
  const result = new Promise((resolve, reject) => {
    worker.on('message', (message: { begun?: true; result?: unknown }) => {
      if (message.begun) onBegun();
      else resolve(message.result);
    });
    worker.on('error', reject);
  });
  // One that is terminated has no result.
  result.catch(() => {});
  return { begun, result, terminate: () => worker.terminate() };
}
