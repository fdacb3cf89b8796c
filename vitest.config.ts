import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

const root = import.meta.dirname;

/** Rooms whose tests compute, and leave nothing behind in their process. */
const COMPUTING =
  /^test\/(audit|config|corpus|dataset|evaluate|export|flow|import|inspect|json|model|onnx|plot|quickstart|random|report|score|select|sequence|tokenizer|train)\//;
/**
 * Unless a file changes its process's environment or modules, measures its memory, or may end it; or draws numbers of any
 * size: a session that ran before in the process has had its processor take denormals for 0.
 */
const OF_THE_PROCESS =
  /fc\.(float|double)|\bvi\.|process\.env\[[^\]]+\] *=|Object\.assign\(process\.env|memoryUsage|resourceUsage|heapUsed|\bgc\b|process\.(on|once)\(|node:child_process|playwright|s3-server/;

const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => join('test', name));
const together = tests.filter(
  (path) => COMPUTING.test(path) && !OF_THE_PROCESS.test(readFileSync(join(root, path), 'utf8')),
);
const apart = tests.filter((path) => !together.includes(path));

const literally = (text: string): string => text.replaceAll(/[.+*?^$()[\]{}|\\]/g, '\\$&');

const shared: NonNullable<TestProjectInlineConfiguration['test']> = {
  pool: 'forks',
  // Tests import the compiled package (#tokensieve/* is dist/*): what ships is what is tested, and worker threads,
  // which Node 20 cannot start from TypeScript, are the real ones. Node loads it, not Vite, which would transform it
  // for every file anew.
  server: {
    deps: { external: [new RegExp(`^${literally(join(root, 'dist', '/'))}`)] },
  },
  // Generous: a loaded machine is slow, not wrong.
  testTimeout: 240_000,
  hookTimeout: 240_000,
};

export default defineConfig({
  test: {
    globalSetup: ['test/support/report-skips.ts'],
    // One more than cores: many tests wait, for a process, a lease, a server.
    maxWorkers: Math.min(8, availableParallelism() + 1),
    projects: [
      // A process a file.
      { test: { ...shared, name: 'apart', include: apart } },
      // One process for many files, whose modules are loaded once.
      { test: { ...shared, name: 'together', include: together, isolate: false } },
    ],
  },
});
