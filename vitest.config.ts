import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { pgtapFiles } from './tests/support/pgtap-plugin.ts';
import { LongestFirst } from './tests/support/sequencer.ts';

export default defineConfig({
  plugins: [pgtapFiles()],
  test: {
    include: ['tests/database/**/*.sql', 'tests/api/**/*.test.ts', 'tests/*.test.ts'],
    globalSetup: ['tests/support/global-setup.ts'],
    // Each file has a database, and where it asks for one a stack, of its own, so files run side by side.
    pool: 'forks',
    // A worker goes on from file to file: loading what all of them import would take longer than many a file.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    // Two on two cores: a file waits for the database as often as it works.
    maxWorkers: Math.min(Math.max(availableParallelism(), 2), 8),
    // Enough for a machine under load; nothing waits for this long unless something is wrong.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
  },
});
