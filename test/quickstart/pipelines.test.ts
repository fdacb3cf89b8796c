import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { readPipelineFile } from '#tokensieve/config/load.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { isStaged, parseStages } from '#tokensieve/pipeline/stages.js';

const folder = fileURLToPath(new URL('../../pipelines/', import.meta.url));
const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));

it('ships the pipelines that the documentation names', () => {
  expect(files.sort()).toEqual(['general-mix.yaml', 'openwebmath-1b.yaml', 'quickstart.yaml']);
});

it.each(files)('%s is a valid pipeline', async (name) => {
  const settings = await readPipelineFile(`${folder}${name}`);
  if (isStaged(settings)) {
    const { stages } = parseStages(settings, name);
    expect(stages.map(({ kind }) => kind)).toContain('score');
  } else expect(parsePipeline(settings, name).reference).toBeDefined();
});

it('the quickstart’s CLM and SLM runs differ in the loss alone, three seeds each', async () => {
  const { stages } = parseStages(await readPipelineFile(`${folder}quickstart.yaml`), 'quickstart');
  const settingsOf = (name: string) => {
    const stage = stages.find((one) => one.name === name);
    if (stage?.kind !== 'train') throw new Error(`no training stage ${name}`);
    const { out, loss, ...rest } = stage.settings;
    return { out, loss, rest };
  };
  for (const seed of [1, 2, 3]) {
    const [clm, slm] = [settingsOf(`clm-${seed}`), settingsOf(`slm-${seed}`)];
    expect(clm.loss.kind).toBe('clm');
    expect(slm.loss).toMatchObject({ kind: 'slm', selection: 'live', keep: 0.6 });
    expect(slm.rest).toEqual(clm.rest);
    expect(clm.rest.data.seed).toBe(seed);
    expect(slm.out).not.toBe(clm.out);
  }
});
