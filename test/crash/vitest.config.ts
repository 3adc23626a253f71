// `npm run test:crash`: the crash loop at length. RONDO_CRASH_ROUNDS sets how many rounds in all,
// RONDO_SEED where to begin.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/crash/**/*.loop.ts'],
    pool: 'forks',
    // One node and one load at a time: two cores.
    maxWorkers: 1,
    testTimeout: 3_600_000,
    expect: { requireAssertions: true },
  },
});
