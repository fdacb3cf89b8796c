/**
 * The tests of what one is at: `make test-fast FILES='src/select/scope.ts test/plot'`.
 *
 * A source stands for the tests of its room that import it, directly or not, and with --all for every test that does or
 * that starts a command; a test, a folder or a part of a name for itself. Without FILES: what differs from HEAD. Tests
 * import the compiled package, which is why `vitest --changed` alone, going by sources, finds nothing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { relatedTests } from './related-tests.mjs';

const root = new URL('..', import.meta.url).pathname;
const all = process.argv.includes('--all');
const given = process.argv.slice(2).filter((argument) => argument !== '--all');
const git = (...args) =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean);
const files =
  given.length > 0
    ? given
    : [...git('diff', '--name-only', 'HEAD'), ...git('ls-files', '--others', '--exclude-standard')];

const related = relatedTests(root);
const chosen = new Set();
for (const file of files) {
  const [, source] = /^src\/(.+)\.ts$/.exec(file) ?? [];
  if (source !== undefined) {
    const found = related(`dist/${source}.js`);
    // A file that its own room has no tests of is everybody's.
    const nearest = Math.min(...found.map(({ near }) => near));
    for (const { path, near } of found) if (all || near === nearest) chosen.add(path);
  } else if (/^test\/.*\.test\.ts$/.test(file)) {
    chosen.add(file);
  } else if (given.length > 0) {
    chosen.add(file);
  } else if (/^test\/.*\.ts$/.test(file)) {
    for (const { path } of related(file)) chosen.add(path);
  }
}
if (chosen.size === 0) {
  console.log('nothing differs from HEAD that a test looks at');
} else {
  console.log([...chosen].sort().join('\n'));
  process.exitCode =
    spawnSync('npx', ['vitest', 'run', ...chosen], { cwd: root, stdio: 'inherit' }).status ?? 1;
}
