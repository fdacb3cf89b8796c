import { defineConfig } from 'vitest/config';

// Tests import the compiled package (#tokensieve/* is dist/*): what ships is what is tested, and worker
// threads, which Node 20 cannot start from TypeScript, are the real ones.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/report-skips.ts'],
    pool: 'forks',
    server: { deps: { external: [/\/dist\//] } },
    maxWorkers: 2,
    // Generous: a loaded machine is slow, not wrong.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
