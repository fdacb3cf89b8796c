import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { datasetSchemas } from '#tokensieve/dataset/schemas-json.js';
import { STAGE_SCHEMAS } from '#tokensieve/pipeline/stages.js';
import { schemas, settingsReference, textOf } from '../../schemas/generate.mjs';

it('has schemas/ as the sources say: run node schemas/generate.mjs after a change', async () => {
  expect(Object.keys(schemas())).toEqual(expect.arrayContaining(Object.keys(datasetSchemas())));
  for (const [name, schema] of Object.entries(schemas())) {
    const text = await readFile(new URL(`../../schemas/${name}`, import.meta.url), 'utf8');
    expect(text, name).toBe(textOf(schema));
  }
});

it('has docs/settings.md as the sources say, with every key of every stage and a meaning for each', async () => {
  const page = await readFile(new URL('../../docs/settings.md', import.meta.url), 'utf8');
  expect(page).toBe(settingsReference());
  for (const kind of Object.keys(STAGE_SCHEMAS)) expect(page).toContain(`\n## ${kind}\n`);
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.length).toBeGreaterThan(150);
  expect(rows.filter((line) => / \|\s+\|$/.test(line))).toEqual([]);
  // A few, by hand: a flag, a nested key, a list of choices, what must be given.
  expect(page).toContain('| `keep` | number > 0, ≤ 1 | `0.6` | `--keep` |');
  expect(page).toMatch(/\| `optimizer\.learning_rate` \| number > 0[^|]*\|[^|]*\| `--learning-rate` \|/);
  expect(page).toMatch(/\| `sequence\.packing` \| `packed` `document` \| `"packed"` \| `--packing` \|/);
});

it('is named by the first line of every pipeline that is shipped', async () => {
  for (const name of ['quickstart', 'openwebmath-1b', 'general-mix']) {
    const text = await readFile(new URL(`../../pipelines/${name}.yaml`, import.meta.url), 'utf8');
    const [, path = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
    const schema = await readFile(new URL(path, new URL('../../pipelines/', import.meta.url)), 'utf8');
    expect(JSON.parse(schema)).toMatchObject({ title: 'tokensieve pipeline' });
  }
});
