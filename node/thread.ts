// Starts the thread of a worker, as the supervisor has it.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { FromThread, ThreadStart, ToThread } from './thread-messages.js';

export interface Thread {
  post(message: ToThread): void;
}

export interface ThreadEvents {
  onMessage(message: FromThread): void;
  /** It broke down without a word of its own, as while its code was loaded. */
  onError(error: unknown): void;
  /** Once, and the last: nothing of it is open any more. */
  onExit(): void;
}

export type StartThread = (start: ThreadStart, events: ThreadEvents) => Thread;

export const startThread: StartThread = (start, events) => {
  const thread = new Worker(entry(), {
    workerData: { rondoWorker: start },
    name: `worker ${start.worker}`,
    // The native log closes descriptors that Node has opened. Node does not hear of that, and would close them once
    // more when the thread ends: by then the number may be a file or a socket of another worker.
    trackUnmanagedFds: false,
  });
  thread.on('message', (message: FromThread) => events.onMessage(message));
  thread.on('error', (error) => events.onError(error));
  thread.once('exit', () => events.onExit());
  return { post: (message) => thread.postMessage(message) };
};

/** The compiled entry, also where this module runs from its source, as in tests: threads have no loader. */
function entry(): string {
  const here = fileURLToPath(import.meta.url);
  const folder = dirname(here);
  const compiled = here.endsWith('.ts') ? join(folder, '..', 'dist', 'node') : folder;
  return join(compiled, 'worker-thread.js');
}
