import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { parsePipeline, readPipelineFile } from '#tokensieve/config/load.js';

const folder = fileURLToPath(new URL('../../pipelines/', import.meta.url));
const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));

it('ships the pipelines that the documentation names', () => {
  expect(files.sort()).toEqual(['general-mix.yaml', 'openwebmath-1b.yaml', 'quickstart.yaml']);
});

it.each(files)('%s is a valid pipeline', async (name) => {
  const pipeline = parsePipeline(await readPipelineFile(`${folder}${name}`), name);
  expect(pipeline.version).toBe(1);
  expect(pipeline.reference).toBeDefined();
});
