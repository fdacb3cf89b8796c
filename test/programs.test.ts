import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

// Benchmarks, the fuzz program and the makers of fixtures take from the package what they measure, and are run seldom: what
// moves in `src` must not leave them behind.
const root = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = ['bench', 'fuzz', 'fixtures', 'scripts', 'conformance', 'examples', 'schemas'];

interface Taken {
  readonly program: string;
  /** Path of the package's module, from the root. */
  readonly module: string;
  readonly names: readonly string[];
}

const IMPORT = /import\s+(?:\{([^}]*)\}|\*\s+as\s+\w+)\s+from\s+'([^']+)'/g;
const DYNAMIC = /\{([^{}=]*)\}\s*=\s*await import\(\s*'([^']+)'/g;

function moduleOf(program: string, specifier: string): string | null {
  if (specifier.startsWith('#tokensieve/')) return join('dist', specifier.slice('#tokensieve/'.length));
  if (!specifier.startsWith('.')) return null;
  const path = relative(root, join(root, dirname(program), specifier));
  return path.startsWith('dist/') ? path : null;
}

/** What a program takes of the package, by name. */
function takenBy(program: string, text: string): Taken[] {
  return [IMPORT, DYNAMIC].flatMap((pattern) =>
    [...text.matchAll(pattern)].flatMap(([, list = '', specifier = '']) => {
      const module = moduleOf(program, specifier);
      if (module === null) return [];
      const names = list
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '' && !name.startsWith('type '))
        .map((name) => name.split(/\s+as\s+|\s*:\s*/)[0] as string);
      return { program, module, names };
    }),
  );
}

/** Names that a compiled module exports by itself or from another. */
function exportsOf(module: string): Set<string> {
  const text = readFileSync(join(root, module), 'utf8');
  const own = [...text.matchAll(/^export (?:async )?(?:function\*?|const|let|class) (\w+)/gm)].map(
    ([, name]) => name as string,
  );
  const listed = [...text.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, list = '']) =>
    list.split(',').map(
      (name) =>
        name
          .trim()
          .split(/\s+as\s+/)
          .at(-1) as string,
    ),
  );
  const all = [...text.matchAll(/^export \* from '(\.[^']+)'/gm)].flatMap(([, path = '']) => [
    ...exportsOf(join(dirname(module), path)),
  ]);
  return new Set([...own, ...listed, ...all]);
}

const programs = FOLDERS.filter((folder) => existsSync(join(root, folder))).flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(mjs|js|mts|ts)$/.test(name) && !name.includes('node_modules'))
    .map((name) => join(folder, name)),
);
const taken = programs.flatMap((program) => takenBy(program, readFileSync(join(root, program), 'utf8')));

describe('programs beside the package', () => {
  it('take of it what is there', () => {
    const missing = taken.flatMap(({ program, module, names }) => {
      if (!existsSync(join(root, module))) return `${program}: ${module}`;
      const there = exportsOf(module);
      return names.filter((name) => !there.has(name)).map((name) => `${program}: ${name} of ${module}`);
    });
    expect(missing).toEqual([]);
  });

  it('are seen to take it', () => {
    expect(taken.length).toBeGreaterThan(60);
    expect(new Set(taken.map(({ program }) => program.split('/')[0]))).toEqual(
      new Set(['bench', 'fuzz', 'fixtures', 'schemas', 'scripts']),
    );
    const text = "import { gone, readManifest as read } from '#tokensieve/dataset/manifest.js';\n";
    expect(takenBy('bench/x.mjs', text)).toEqual([
      { program: 'bench/x.mjs', module: 'dist/dataset/manifest.js', names: ['gone', 'readManifest'] },
    ]);
    expect(exportsOf('dist/dataset/manifest.js').has('gone')).toBe(false);
    expect(exportsOf('dist/dataset/manifest.js').has('readManifest')).toBe(true);
  });
});
