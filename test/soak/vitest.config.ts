// `npm run test:soak`: the parity and mutation runs again, with millions of operations.
// RONDO_SOAK_OPERATIONS, RONDO_SOAK_MUTATIONS and RONDO_SOAK_HISTORIES set how many, RONDO_SEED where to begin.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/soak/**/*.soak.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 3_600_000,
    expect: { requireAssertions: true },
  },
});
