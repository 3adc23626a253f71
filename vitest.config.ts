// Unit, contract, parity and end-to-end tests. At most two workers, each a process of its own, so
// that an engine or transport that takes its process down fails one file and not the run.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/soak/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    // A run that found no test, and a test that asserted nothing, are faults.
    passWithNoTests: false,
    expect: { requireAssertions: true },
  },
});
