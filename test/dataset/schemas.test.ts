import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { datasetSchemas } from '#tokensieve/dataset/schemas-json.js';
import { schemas, textOf } from '../../schemas/generate.mjs';

it('has schemas/ as the sources say: run node schemas/generate.mjs after a change', async () => {
  expect(Object.keys(schemas())).toEqual(expect.arrayContaining(Object.keys(datasetSchemas())));
  for (const [name, schema] of Object.entries(schemas())) {
    const text = await readFile(new URL(`../../schemas/${name}`, import.meta.url), 'utf8');
    expect(text, name).toBe(textOf(schema));
  }
});
