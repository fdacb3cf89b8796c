import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parsePipelineText, type Settings } from '#tokensieve/config/load.js';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { pipelineSchema } from '#tokensieve/pipeline/settings.js';
import { isStaged, parseStages } from '#tokensieve/pipeline/stages.js';
import { filesBelow } from '../support/cli.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** What an editor has: the schema's text, and nothing of the package. */
const schema: object = JSON.parse(readFileSync(`${root}schemas/pipeline.json`, 'utf8'));
const inEditor = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);

function inLoader(settings: Settings): string | null {
  try {
    if (isStaged(settings)) parseStages(settings, 'it');
    else parseSettings(pipelineSchema, settings, 'it');
    return null;
  } catch (error) {
    return String(error);
  }
}

/** Every pipeline that is published: files, and what the documentation shows of one. */
const files = ['pipelines', 'fixtures']
  .flatMap((folder) => filesBelow(`${root}${folder}`))
  .filter((path) => /\.ya?ml$/.test(path) && !path.endsWith('/deploy/kubernetes.yaml'));
const examples = [`${root}README.md`, ...filesBelow(`${root}docs`), ...filesBelow(`${root}pipelines`)]
  .filter((path) => path.endsWith('.md'))
  .flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/^```ya?ml\n([\s\S]*?)^```/gm)].map(([, text = ''], i) => ({
      name: `${path.slice(root.length)}, example ${i + 1}`,
      text,
    })),
  );

/** The smallest pipeline that a fragment of one stands in; null for what is no part of a pipeline. */
function aroundFragment(settings: Settings): Settings | null {
  if (isStaged(settings) || 'shards' in settings) return settings;
  const stage = { train: { out: 'o', model: { start: 'm' }, data: { sources: ['d'] }, batch: { steps: 1 } } };
  const keys = Object.keys(settings);
  const single = keys.length === 1 ? keys[0] : undefined;
  if (single === 'assume') return { ...settings, stages: [stage] };
  return ['pack', 'train', 'score', 'select', 'eval', 'report', 'audit', 'export', 'import'].includes(
    single ?? '',
  )
    ? { stages: [settings] }
    : null;
}

const published: [name: string, settings: Settings][] = [
  ...files.map((path): [string, Settings] => [
    path.slice(root.length),
    parsePipelineText(readFileSync(path, 'utf8'), path),
  ]),
  ...examples.flatMap(({ name, text }): [string, Settings][] => {
    const settings = aroundFragment(parsePipelineText(text, name));
    return settings === null ? [] : [[name, settings]];
  }),
];

describe('the schema that editors use', () => {
  it('is asked about all that is published', () => {
    const names = published.map(([name]) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'pipelines/general-mix.yaml',
        'pipelines/openwebmath-1b.yaml',
        'pipelines/quickstart.yaml',
        'docs/pipelines.md, example 1',
        'docs/pipelines.md, example 3',
      ]),
    );
  });

  it.each(published)('%s: takes it, as the loader does', (_, settings) => {
    expect(inLoader(settings)).toBe(null);
    expect(inEditor(settings), JSON.stringify(inEditor.errors?.slice(-3))).toBe(true);
  });

  const run = { shards: ['s'], reference: 'r', out: 'o' };
  const train = { out: 'o', model: { start: 'm' }, data: { sources: ['d'] }, batch: { steps: 1 } };
  const stage = (kind: string, settings: object): Settings => ({ stages: [{ [kind]: settings }] });
  const sources = (...given: unknown[]): Settings => stage('train', { ...train, data: { sources: given } });

  it.each<[string, Settings]>([
    ['a folder', sources('runs/a')],
    ['a folder with its ratio', sources('runs/a=3', { path: 'runs/b', ratio: 1 }, { path: 'runs/c' })],
    ['held-out folders by name', stage('train', { ...train, held_out: { sources: { clean: 'c' } } })],
    [
      'held-out folders as texts',
      stage('train', { ...train, held_out: { sources: ['clean=c', 'noisy=n'] } }),
    ],
    ['held-out sets by name', stage('eval', { model: 'm', out: 'o', held_out: { clean: ['c/*.parquet'] } })],
    ['a held-out set as a text', stage('eval', { model: 'm', out: 'o', held_out: 'clean=c/*.parquet' })],
    ['held-out sets as texts', stage('eval', { model: 'm', out: 'o', held_out: ['a=c', 'a=d', 'b=e'] })],
    ['tasks in a list', stage('eval', { model: 'm', out: 'o', task_data: 't', tasks: ['gsm8k', 'svamp'] })],
    ['tasks with commas', stage('eval', { model: 'm', out: 'o', task_data: 't', tasks: 'gsm8k,svamp' })],
    ['a single run', run],
  ])('both take %s', (_, settings) => {
    expect(inLoader(settings)).toBe(null);
    expect(inEditor(settings), JSON.stringify(inEditor.errors?.slice(-3))).toBe(true);
  });

  it.each<[string, Settings]>([
    ['a source that is a number', sources(3)],
    ['a source of an unknown key', sources({ folder: 'runs/a' })],
    ['a ratio of nothing', sources({ path: 'runs/a', ratio: 0 })],
    ['no source', sources()],
    ['an empty path', sources('')],
    ['a held-out folder without a name', stage('train', { ...train, held_out: { sources: ['c'] } })],
    ['a held-out set without a name', stage('eval', { model: 'm', out: 'o', held_out: 'c/*.parquet' })],
    ['a task that is none', stage('eval', { model: 'm', out: 'o', task_data: 't', tasks: 'gsm8k,chess' })],
    ['an unknown setting', { ...run, shard: ['s'] }],
    ['an unknown kind of stage', stage('sing', {})],
    ['a setting of another type', { ...run, sequence: { length: 'long' } }],
    ['no output folder', { shards: ['s'], reference: 'r' }],
  ])('both refuse %s', (_, settings) => {
    expect(inLoader(settings)).not.toBe(null);
    expect(inEditor(settings)).toBe(false);
  });
});
