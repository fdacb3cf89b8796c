/** The fuzz program: a few inputs of every target, and that it sees what it is there to see. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const project = fileURLToPath(new URL('../..', import.meta.url));

interface Entry {
  readonly kind: 'find' | 'summary';
  readonly find?: string;
  readonly message?: string;
  readonly targets?: Readonly<
    Record<string, { readonly done: number; readonly outcomes: Readonly<Record<string, number>> }>
  >;
}

function fuzz(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['fuzz/run.mjs', ...args], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 26,
  });
  const entries = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry);
  return { status, stderr, entries, finds: entries.filter(({ kind }) => kind === 'find') };
}

const INPUTS = 6;

it('every target takes inputs of a fixed seed without a find', () => {
  const { status, stderr, entries, finds } = fuzz(['--inputs', String(INPUTS), '--seed', '20261127']);
  expect(finds, stderr).toEqual([]);
  expect(status).toBe(0);
  const targets = entries.at(-1)?.targets ?? {};
  expect(Object.keys(targets).length).toBeGreaterThanOrEqual(9);
  for (const [name, { done, outcomes }] of Object.entries(targets)) {
    expect(done, name).toBe(INPUTS);
    expect(
      Object.values(outcomes).reduce((sum, count) => sum + count, 0),
      name,
    ).toBe(INPUTS);
  }
});

it.each([
  [1, null],
  [2, 'crash'],
  [3, 'escape'],
  [4, 'leak'],
  [5, 'escape'],
  [6, 'stray'],
  [7, 'abort'],
  [8, 'memory'],
])('what goes wrong in way %i is seen as %s', (way, kind) => {
  const { status, finds } = fuzz(['--targets', 'check', '--inputs', '1'], { CHECK_WAY: String(way) });
  expect(finds.map(({ find }) => find)).toEqual(kind === null ? [] : [kind]);
  expect(status).toBe(kind === null ? 0 : 1);
});
