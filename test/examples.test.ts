import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { localStorage, readSequences } from '#tokensieve/index.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from './support/quickstart.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = temporaryFolder();
const out = join(folder, 'out');
const build = join(root, 'examples/build');
let shards: string;

const node = (...args: string[]): string =>
  execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** An interpreter that has PyArrow, or null. */
const python = [process.env['PYTHON'], join(root, 'python/.venv/bin/python'), 'python3'].find(
  (name) => name !== undefined && spawnSync(name, ['-c', 'import pyarrow']).status === 0,
);
if (python === undefined)
  console.log('skipped: no Python with pyarrow, examples/read_weighted.py is not run');

const sum = (text: string, pattern: RegExp): number =>
  [...text.matchAll(pattern)].reduce((total, [, count]) => total + Number(count), 0);

/** Sum of the weights of all tokens below a folder. */
async function weightOf(folder: string): Promise<number> {
  const storage = localStorage();
  let sum = 0;
  for (const path of await storage.list(folder)) {
    if (!path.endsWith('.arrow') || path.endsWith('.documents.arrow')) continue;
    for await (const { columns } of (await readSequences(storage, path)).batches())
      for (const weight of columns.weight ?? []) sum += weight;
  }
  return sum;
}

describe('the examples', () => {
  beforeAll(async () => {
    node(join(root, 'node_modules/typescript/bin/tsc'), '-p', 'examples');
    await quickstartInputs(folder);
    shards = await manySmallParts(join(folder, 'small'));
  });

  it('score, select and read what was kept', async () => {
    const models = ['reference', 'current'].map((name) => join(folder, 'models', name));
    const printed = node(join(build, 'score-and-select.js'), shards, ...models, out);
    // A line without a text is set aside, and told.
    expect(printed).toMatch(/more\.jsonl\.gz row \d+: /);
    const [, kept = '', eligible = ''] = /^kept (\d+) of (\d+) tokens$/m.exec(printed) ?? [];
    expect(Number(kept) / Number(eligible)).toBeCloseTo(0.6, 3);
    expect(await weightOf(join(out, 'weighted'))).toBe(Number(kept));
    expect(printed).toContain(`${join(out, 'weighted')}`);
  });

  it('try a method of one’s own in memory, and select by it', async () => {
    const shown = node(join(build, 'own-method.js'), out);
    const own = join(folder, 'own');
    node(
      join(root, 'dist/cli/main.js'),
      ...['select', out, '--method', join(build, 'own-method.js'), '--keep', '0.6'],
      ...['--scope', 'dataset', '--out', own],
    );
    const kept = sum(shown, /: (\d+) tokens kept/g);
    expect(kept).toBeGreaterThan(1000);
    expect(sum(shown, /kept, (\d+) of them by slm/g)).toBeLessThan(kept);
    expect(await weightOf(own)).toBe(kept);
  });

  it.skipIf(python === undefined)('are read in Python', () => {
    expect(existsSync(join(out, 'weighted'))).toBe(true);
    const printed = execFileSync(python ?? '', ['examples/read_weighted.py', out], {
      cwd: root,
      encoding: 'utf8',
    });
    const [, kept = '', targets = ''] = /^all: (\d+) of (\d+) targets kept \(60\.0%\)/m.exec(printed) ?? [];
    expect(Number(kept)).toBe(Math.floor(0.6 * Number(targets)));
  });
});
