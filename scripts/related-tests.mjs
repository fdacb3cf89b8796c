/**
 * Which test files a compiled file can be seen by: those that import it, directly or not, and those that start a
 * process or a thread that does. Like `vitest related`, which does not know the latter.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const NAMED = /(?:\bfrom\s*|\bimport\s*\(\s*|\bimport\s+|\bnew URL\(\s*|\bfork\(\s*)['"]([^'"\n]+)['"]/g;

/** @param {string} tree @returns {(file: string) => string[]} test files by nearness: its room's, importers, starters */
export function relatedTests(tree) {
  /** @type {Map<string, string[]>} */
  const edges = new Map();
  const edgesOf = (file) => {
    let known = edges.get(file);
    if (known === undefined) {
      const code = /\.m?[jt]s$/.test(file) ? readFileSync(join(tree, file), 'utf8') : '';
      known = [...code.matchAll(NAMED)].flatMap(([, name]) => resolved(tree, file, name ?? ''));
      edges.set(file, known);
    }
    return known;
  };
  const reach = (from, skip = '') => {
    const seen = new Set([from]);
    for (const file of seen) for (const next of edgesOf(file)) if (next !== skip) seen.add(next);
    return seen;
  };
  const tests = readdirSync(join(tree, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('test', name))
    .sort()
    .map((path) => ({ path, all: reach(path), imported: reach(path, 'dist/cli/main.js') }));
  return (file) => {
    const room = file.split('/')[1];
    const nearness = ({ path, imported }) =>
      imported.has(file) ? (path.startsWith(`test/${room}/`) ? 0 : 1) : 2;
    return tests
      .filter(({ all }) => all.has(file))
      .map((test) => ({ path: test.path, near: nearness(test) }))
      .sort((a, b) => a.near - b.near || (a.path < b.path ? -1 : 1));
  };
}

function resolved(tree, file, name) {
  const path = name.startsWith('#tokensieve/')
    ? join('dist', name.slice('#tokensieve/'.length))
    : name.startsWith('.')
      ? relative('.', join(dirname(file), name))
      : null;
  if (path === null) return [];
  return [path, path.replace(/\.js$/, '.ts')].filter(
    (one) => /\.(m?js|ts)$/.test(one) && existsSync(join(tree, one)),
  );
}
