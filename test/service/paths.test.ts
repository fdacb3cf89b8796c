import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { pipelineSchema } from '#tokensieve/pipeline/settings.js';
import { STAGE_SCHEMAS } from '#tokensieve/pipeline/stages.js';
import { findArtifact, listArtifacts } from '#tokensieve/service/jobs/artifacts.js';
import { resolvePipeline } from '#tokensieve/service/pipeline/resolve.js';
import { isWithin, openRoots } from '#tokensieve/service/pipeline/roots.js';
import { temporaryFolder } from '../support/quickstart.js';

const base = temporaryFolder();
const at = (...names: string[]): string => join(base, ...names);
const write = (path: string, text = 'x'): string => {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
};

let places: { roots: readonly string[]; jobs: string; job: string };
beforeAll(async () => {
  write(at('secret/key.jsonl'), '{"text":"secret"}');
  write(at('secret/model/config.json'));
  write(at('root/corpus/a.jsonl'), '{"text":"a"}');
  write(at('root/linked/b.jsonl'));
  write(at('root/model/config.json'));
  write(at('root/cache/model/config.json'));
  write(at('second/other/config.json'));
  write(at('root/jobs/20260101t000000-0002/job.json'));
  write(at('root/jobs/20260101t000000-0002/out/scored/a.jsonl/00000.arrow'));
  mkdirSync(at('root/jobs/20260101t000000-0001'), { recursive: true });
  symlinkSync(at('secret'), at('root/way-out'));
  symlinkSync(at('secret/key.jsonl'), at('root/linked/key.jsonl'));
  symlinkSync(at('secret/model/config.json'), at('root/model-linked-config.json'));
  mkdirSync(at('root/half'));
  symlinkSync(at('secret/model/config.json'), at('root/half/config.json'));
  // As in a download cache: links that stay inside.
  mkdirSync(at('root/snapshot'));
  symlinkSync(at('root/cache/model/config.json'), at('root/snapshot/config.json'));
  symlinkSync(at('nowhere'), at('root/dangling'));
  const roots = await openRoots([at('root'), at('second')]);
  const [first = ''] = roots;
  places = { roots, jobs: join(first, 'jobs'), job: join(first, 'jobs/20260101t000000-0001') };
});

const resolve = (settings: Record<string, unknown>) => resolvePipeline(settings, places);
const refusal = async (settings: Record<string, unknown>): Promise<{ code: string; message: string }> => {
  try {
    await resolve(settings);
  } catch (error) {
    return error as { code: string; message: string };
  }
  return { code: 'accepted', message: '' };
};
const score = (more: Record<string, unknown>) => ({
  shards: ['corpus/a.jsonl'],
  reference: 'model',
  ...more,
});

describe('a pipeline of a request', () => {
  it('has its inputs looked for in the roots, in order, and its outputs put into the job’s folder', async () => {
    const { settings, parts, stages, audit } = await resolve(
      score({ current: 'other', reference: 'snapshot', select: { method: 'slm' }, run: { cache: 'graphs' } }),
    );
    expect(settings).toMatchObject({
      shards: [join(places.roots[0] ?? '', 'corpus/a.jsonl')],
      reference: join(places.roots[0] ?? '', 'snapshot'),
      current: join(places.roots[1] ?? '', 'other'),
      out: join(places.job, 'out'),
      run: { cache: join(places.job, 'graphs') },
    });
    expect(stages).toEqual(['score', 'select']);
    expect(parts.map(({ kind }) => kind)).toEqual(['scored', 'weighted']);
    expect(audit?.run).toBe(join(places.job, 'out'));
    // What is run is judged as it is: nothing changes when it is resolved again.
    expect((await resolve(settings)).settings).toEqual(settings);
  });

  it('may write below a root, and read what another job has made', async () => {
    const { settings } = await resolve(score({ out: at('root/runs/one') }));
    expect(settings['out']).toBe(at('root/runs/one'));
    const staged = await resolve({
      stages: [{ select: { run: 'jobs/20260101t000000-0002/out', out: 'weighted' } }],
    });
    expect(staged.settings).toMatchObject({
      stages: [{ select: { out: join(places.job, 'weighted') } }],
    });
  });

  it('has stages find what earlier ones make, though it is not there yet', async () => {
    const { settings, parts, audit, stages } = await resolve({
      stages: [
        { name: 'pack', pack: { shards: ['corpus/*.jsonl'], out: 'packed', tokenizer: { path: 'model' } } },
        {
          name: 'base',
          train: {
            out: 'base',
            model: { config: 'model/config.json' },
            data: { sources: ['packed/packed'] },
            batch: { steps: 1 },
          },
        },
        { name: 'score', score: { shards: ['corpus/a.jsonl'], reference: 'base/model', out: 'scored' } },
        { name: 'select', select: { run: 'scored' } },
      ],
    });
    expect(settings).toMatchObject({
      stages: [
        { pack: { out: join(places.job, 'packed') } },
        { train: { data: { sources: [{ path: join(places.job, 'packed/packed') }] } } },
        { score: { reference: join(places.job, 'base/model') } },
        { select: { run: join(places.job, 'scored'), out: join(places.job, 'scored/weighted') } },
      ],
    });
    expect(stages).toEqual(['pack', 'base', 'score', 'select']);
    expect(parts.map(({ kind, folder }) => [kind, folder.slice(places.job.length)])).toEqual([
      ['packed', '/packed/packed'],
      ['scored', '/scored/scored'],
      ['weighted', '/scored/weighted'],
    ]);
    expect(audit?.run).toContain('scored');
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['a shard above the root', { shards: ['../secret/key.jsonl'] }, 'outside-roots'],
    ['an absolute shard', { shards: ['/etc/passwd'] }, 'outside-roots'],
    ['a glob that begins outside', { shards: [at('secret/*.jsonl')] }, 'outside-roots'],
    ['a glob with a way up in it', { shards: ['corpus/*/../../../secret/*.jsonl'] }, 'outside-roots'],
    ['a glob over a folder with a link out', { shards: ['linked/*.jsonl'] }, 'outside-roots'],
    ['a folder with a link out', { shards: ['linked'] }, 'outside-roots'],
    ['shards behind a link', { shards: ['way-out/key.jsonl'] }, 'outside-roots'],
    ['a model behind a link', { reference: 'way-out/model' }, 'outside-roots'],
    ['a model with a file that is a link out', { reference: 'half' }, 'outside-roots'],
    [
      'a model with a link out in a folder that is an output too',
      { reference: at('root/half'), out: at('root/half') },
      'outside-roots',
    ],
    ['an absolute model', { current: '/' }, 'outside-roots'],
    ['a tokenizer elsewhere', { tokenizer: { path: at('secret/model') } }, 'outside-roots'],
    ['a NUL', { reference: 'model\0' }, 'outside-roots'],
    ['a backslash way up', { reference: 'model\\..\\..\\secret' }, 'outside-roots'],
    ['an output above', { out: '../../..' }, 'outside-roots'],
    ['an absolute output', { out: '/tmp/elsewhere' }, 'outside-roots'],
    ['an output behind a link', { out: at('root/way-out/new') }, 'outside-roots'],
    ['an output that is a link to nothing', { out: at('root/dangling') }, 'outside-roots'],
    ['an output in another job', { out: at('root/jobs/20260101t000000-0002/out') }, 'outside-roots'],
    ['an output that is all jobs', { out: at('root/jobs') }, 'outside-roots'],
    ['an output over all jobs', { out: at('root') }, 'outside-roots'],
    ['a cache elsewhere', { run: { cache: '/tmp/cache' } }, 'outside-roots'],
    ['the job’s folder itself', { out: '.' }, 'reserved-name'],
    ['the service’s own file', { out: 'job.json' }, 'reserved-name'],
    ['below the service’s own file', { out: 'log.jsonl/x' }, 'reserved-name'],
    ['a hidden output', { out: '.process' }, 'reserved-name'],
    ['a method from a file', { select: { method: './method.mjs' } }, 'code-in-request'],
    ['a method by a URL', { select: { method: 'data:text/javascript,x' } }, 'code-in-request'],
    ['an engine of a command', { score: { engine: 'exec:touch x' } }, 'code-in-request'],
    ['an engine in Python', { score: { reference_engine: 'torch' } }, 'code-in-request'],
    ['an interpreter', { run: { python: '/bin/sh' } }, 'code-in-request'],
    ['an input that is not there', { reference: 'missing' }, 'no-such-input'],
    ['shards that are not there', { shards: ['missing/*.jsonl'] }, 'no-such-input'],
    ['a wrong setting', { sequence: { length: 'long' } }, 'bad-settings'],
  ])('is refused for %s', async (_, settings, code) => {
    const refused = await refusal(score(settings));
    expect([refused.code, refused.message.split('\n').length]).toEqual([code, 1]);
    expect(refused.message).not.toContain('accepted');
  });

  it.each<[string, Record<string, unknown>, string]>([
    [
      'a section from a module',
      { report: { out: 'r.html', arms: { A: ['model'] }, baseline: 'A', sections: [{ module: 'x.mjs' }] } },
      'code-in-request',
    ],
    ['a method from a file', { select: { run: 'model', method: '../m.js' } }, 'code-in-request'],
    [
      'a report over a file of a root',
      { report: { out: at('root/model/config.json'), arms: { A: ['model'] }, baseline: 'A' } },
      'outside-roots',
    ],
    [
      'an evaluation over job.json',
      { eval: { out: 'job.json', model: 'model', held_out: { a: ['corpus/a.jsonl'] } } },
      'reserved-name',
    ],
    [
      'held-out text elsewhere',
      { eval: { out: 'e.json', model: 'model', held_out: { a: ['/etc/*.jsonl'] } } },
      'outside-roots',
    ],
    [
      'task files elsewhere',
      { eval: { out: 'e.json', model: 'model', tasks: ['sat'], task_data: '/etc' } },
      'outside-roots',
    ],
    [
      'an arm elsewhere',
      { report: { out: 'r.html', arms: { A: ['/etc'] }, baseline: 'A' } },
      'outside-roots',
    ],
    [
      'weighted files of a run in another job',
      { select: { run: 'jobs/20260101t000000-0002/out' } },
      'outside-roots',
    ],
    ['an audit of a run elsewhere', { audit: { run: '/etc' } }, 'outside-roots'],
    ['an audit with shards elsewhere', { audit: { run: 'model', shards: ['/etc/*'] } }, 'outside-roots'],
    ['an audit against a run elsewhere', { audit: { run: 'model', compare: '../secret' } }, 'outside-roots'],
    [
      'training data elsewhere',
      { train: { out: 't', model: { start: 'model' }, data: { sources: ['/etc=2'] }, batch: { steps: 1 } } },
      'outside-roots',
    ],
    [
      'held-out rows elsewhere',
      {
        train: {
          out: 't',
          model: { start: 'model' },
          data: { sources: ['corpus'] },
          batch: { steps: 1 },
          held_out: { sources: { a: '../secret' } },
        },
      },
      'outside-roots',
    ],
  ])('of stages is refused for %s', async (_, stage, code) => {
    expect((await refusal({ stages: [stage] })).code).toBe(code);
  });

  it('never resolves to a path outside, whatever is asked for', async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '',
        'way-out',
        'corpus',
        'a.jsonl',
        'model',
        'linked',
        '*',
        '**',
        '{..,corpus}',
        '/',
        '\0',
        '~',
        base,
        'secret',
        'key.jsonl',
        '[.][.]',
        '@(..)',
        '%2e%2e',
      ),
      fc.string({ maxLength: 5 }),
    );
    const path = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join('/'));
    const inside = (found: string) => [...places.roots, places.job].some((folder) => isWithin(folder, found));
    await fc.assert(
      fc.asyncProperty(path, path, path, async (shard, model, out) => {
        for (const settings of [score({ shards: [shard] }), score({ reference: model }), score({ out })]) {
          try {
            const { settings: found } = await resolve(settings);
            const {
              shards,
              reference,
              out: folder,
            } = found as { shards: string[]; reference: string; out: string };
            for (const one of [...shards, reference, folder]) {
              expect(inside(one), one).toBe(true);
              expect(isWithin(at('root/way-out'), one), one).toBe(false);
              expect(one.split('/'), one).not.toContain('..');
            }
          } catch (error) {
            expect(error).toMatchObject({ name: 'TokensieveError', reach: 'usage' });
          }
        }
      }),
      // One seed in the suite; others, and more of them, by hand: PATHS_SEED=7 PATHS_RUNS=10000.
      {
        numRuns: Number(process.env['PATHS_RUNS'] ?? 300),
        seed: Number(process.env['PATHS_SEED'] ?? 20261127),
      },
    );
  });
});

describe('settings that are texts', () => {
  /** Settings that are opened as files or folders: each passes through `mapPaths`. */
  const PATHS = new Set(
    'shards reference current out tokenizer.path run.cache model.start model.config model.tokenizer data.sources.path held_out.sources model held_out task_data run arms start evaluations weighted tokenizer dynamics overlap.reference overlap.evaluation compare losses remembered.shards remembered.tokenizer'.split(
      ' ',
    ),
  );
  /** Programs: refused of a request before anything is opened. */
  const PROGRAMS = ['score.engine', 'score.reference_engine', 'score.current_engine', 'run.python'];
  /** Names, columns, titles: never opened. */
  const NAMES = new Set(
    'corpus.text corpus.keep select.method select.scope select.domains method scope domains by title baseline sections.module overlap.reference_text overlap.evaluation_text model_name ids_column losses_column'.split(
      ' ',
    ),
  );

  it.each([['a single run', pipelineSchema] as const, ...Object.entries(STAGE_SCHEMAS)])(
    'of %s are paths that are checked, or names',
    (_, schema) => {
      const json = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
      for (const name of textSettings(json as Json))
        expect(PATHS.has(name) || NAMES.has(name) || PROGRAMS.includes(name), name).toBe(true);
    },
  );
});

type Json = { readonly [key: string]: unknown };

/** Names of the settings that hold free text, lists and maps of texts included; `options` go to methods as they are. */
function textSettings(schema: Json, path: readonly string[] = []): string[] {
  const below = (one: unknown, name?: string) =>
    textSettings((one ?? {}) as Json, name === undefined ? path : [...path, name]);
  if (Array.isArray(schema['anyOf'])) return schema['anyOf'].flatMap((one) => below(one));
  if (schema['type'] === 'array') return below(schema['items']);
  if (schema['type'] === 'object') {
    if (path.at(-1) === 'options') return [];
    const properties = Object.entries((schema['properties'] ?? {}) as Json);
    return [
      ...properties.flatMap(([name, one]) => below(one, name)),
      ...(typeof schema['additionalProperties'] === 'object' ? below(schema['additionalProperties']) : []),
    ];
  }
  if (schema['type'] === 'string' && schema['enum'] === undefined) return [path.join('.')];
  return [];
}

describe('files of a job', () => {
  it('are those of its folder: none hidden, none linked from elsewhere', async () => {
    const job = at('files');
    write(join(job, 'job.json'));
    write(join(job, 'out/scored/part.arrow'));
    write(join(job, 'a b ü.txt'));
    write(join(job, '.process-1.json'));
    write(join(job, 'out/.writers/x.json'));
    symlinkSync(at('secret/key.jsonl'), join(job, 'key.jsonl'));
    symlinkSync(at('secret'), join(job, 'secret'));
    symlinkSync(join(job, 'job.json'), join(job, 'alias.json'));
    symlinkSync(join(job, 'out/scored/part.arrow'), join(job, 'inside.arrow'));
    const { files } = await listArtifacts(job);
    expect(files.map(({ path }) => path)).toEqual(['a b ü.txt', 'out/scored/part.arrow']);
    for (const { path } of files) expect(await findArtifact(job, path)).toBe(path);
    expect(await findArtifact(job, 'inside.arrow')).toBe('out/scored/part.arrow');
    for (const path of [
      'job.json',
      'alias.json',
      '.process-1.json',
      'out/.writers/x.json',
      'key.jsonl',
      'secret/key.jsonl',
      'out',
      '',
      '.',
      '..',
      '../secret/key.jsonl',
      'out/../job.json',
      '/etc/passwd',
      'out//scored/part.arrow',
      'a\0b',
      'out\\scored',
      'missing',
    ])
      expect(await findArtifact(job, path), path).toBe(null);
  });
});

describe('roots', () => {
  it.each(['missing', 'root/corpus/a.jsonl'])('are folders that are there, not %s', async (name) => {
    await expect(openRoots([at(name)])).rejects.toMatchObject({ code: 'bad-root', reach: 'usage' });
  });

  it('have names that no pattern reads otherwise', async () => {
    mkdirSync(at('[a]'));
    await expect(openRoots([at('[a]')])).rejects.toMatchObject({ code: 'bad-root' });
  });
});

describe('a URL', () => {
  it.each([
    ['out', { out: 's3://bucket/run' }],
    ['out', { out: 'S3://bucket/run' }],
    ['out', { out: 's3:/bucket/run' }],
    ['out', { out: 'file:///tmp/run' }],
    ['out', { out: 'hf://datasets/a/b' }],
    ['run.cache', { run: { cache: 'https://example.org/cache' } }],
  ])('is no place for what the service writes: %s %j', async (field, more) => {
    const { code, message } = await refusal(score(more));
    expect(code).toBe('outside-roots');
    expect(message).toMatch(/^(?:out|run\.cache): .*the service writes to its roots only/);
    expect(['out', 'run.cache']).toContain(field);
  });

  it('is none for what it reads', async () => {
    const { message } = await refusal(score({ shards: ['s3://bucket/a.jsonl'] }));
    expect(message).toContain('shards: s3://bucket/a.jsonl: the service reads its roots only');
  });

  it('is none in any stage', async () => {
    const stages = [{ name: 'e', export: { run: 'model', to: 'hf', out: 's3://bucket/out' } }];
    expect((await refusal({ stages })).message).toContain(
      'e.out: s3://bucket/out: the service writes to its roots only',
    );
  });
});
