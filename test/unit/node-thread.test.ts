// How the thread of a worker is started.

import { expect, it, vi } from 'vitest';
import { startThread } from '../../node/thread.js';
import type { ThreadStart } from '../../node/thread-messages.js';

const made = vi.hoisted(() => [] as Record<string, unknown>[]);

vi.mock('node:worker_threads', () => ({
  Worker: class {
    constructor(_file: string, options: Record<string, unknown>) {
      made.push(options);
    }
    on(): void {}
    once(): void {}
  },
}));

it('leaves descriptors alone that the native log was given: it has closed them by the end of the thread', () => {
  startThread({ worker: 1 } as ThreadStart, {
    onMessage: () => {},
    onError: () => {},
    onExit: () => {},
  });
  expect(made).toMatchObject([{ trackUnmanagedFds: false }]);
});
