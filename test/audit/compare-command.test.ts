import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compareRuns } from '#tokensieve/audit/compare/compare-runs.js';
import { tokenDynamics } from '#tokensieve/audit/compare/dynamics.js';
import { evaluationSets } from '#tokensieve/audit/compare/evaluation-sets.js';
import { type Audit, auditSchema } from '#tokensieve/audit/report.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { cliHere } from '../support/cli-here.js';
import { type AuditRun, auditRun, storage } from './audit-run.js';
import { makeDocs, writeRun } from './scan-run.js';

let folder: string;
let run: AuditRun;
const at = (...names: string[]): string => join(folder, ...names);
const options = { storage, sink: () => undefined, signal: new AbortController().signal, replace: false };

/** Scores the run's corpus with one model of the quickstart's as the current one. */
async function checkpoint(name: string, model: string): Promise<void> {
  const pipeline = parsePipeline(
    {
      shards: [run.corpus],
      current: at('inputs/models', model),
      tokenizer: { path: run.tokenizer },
      out: at(name),
      corpus: { part_bytes: 20_000 },
      sequence: { length: 128 },
      score: { device: 'cpu', batch_tokens: 1024 },
      run: { cache: at('cache'), threads: 1 },
    },
    'test',
  );
  await scoreCorpus(pipeline, options);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokensieve-'));
  run = await auditRun(folder);
  await checkpoint('first', 'current');
  await checkpoint('last', 'reference');
  const settings = selectionSettings.parse({ method: 'reference-loss', keep: 0.6 });
  await selectRun(run.out, at('other/weighted'), settings, options);
  await writeFile(
    at('fresh.jsonl'),
    `${JSON.stringify({ question: 'Nothing of this is anywhere. '.repeat(20) })}\n`,
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const audit = (...flags: string[]) =>
  cliHere(['audit', run.out, '--out', at('audit'), '--log', 'json', ...flags]);

it('writes dynamics, overlap and the comparison into the numbers and the page', async () => {
  const { code, stdout, stderr } = await audit(
    ...['--tokenizer', run.tokenizer, '--documents', '2', '--seed', '3'],
    ...['--dynamics', at('first'), at('last')],
    ...[
      '--overlap-reference',
      run.corpus,
      '--overlap-evaluation',
      `own=${run.corpus}`,
      '--overlap-words',
      '5',
    ],
    ...['--compare', at('other')],
  );
  expect(stderr.split('\n').filter((line) => line.startsWith('tokensieve:'))).toEqual([]);
  expect(code).toBe(0);
  const found: Audit = auditSchema.parse(JSON.parse(await readFile(at('audit/audit.json'), 'utf8')));

  const dynamics = await tokenDynamics(storage, [at('first'), at('last')], { seed: 3 });
  const shares = (of: typeof dynamics) => of.classes.map((one) => [one.class, one.tokens, one.losses]);
  expect(shares(found.dynamics!)).toEqual(shares(dynamics));
  expect(found.dynamics!.tokens).toBeGreaterThan(1000);
  expect(found.dynamics!.by_token_class!.some(({ name }) => name === 'word')).toBe(true);
  const spelled = found.dynamics!.classes.flatMap(({ examples }) => examples);
  expect(spelled.length).toBeGreaterThan(3);
  expect(spelled.every(({ text }) => text !== null && text.token !== '')).toBe(true);

  const comparison = await compareRuns(storage, run.out, at('other'), { seed: 3 });
  expect(found.comparison!.selection).toEqual(comparison.selection);
  expect(comparison.selection!.flipped).toBeGreaterThan(100);
  expect(found.comparison!.differ_by.map(({ by }) => by)).toEqual([
    'token_class',
    'host',
    'position',
    'cut_distance',
  ]);
  expect(found.comparison!.examples[0]!.text).not.toBeNull();

  const [own] = found.overlap!.evaluation;
  expect(found.overlap).toMatchObject({ n: 5, words: 'normalised' });
  expect(own).toMatchObject({ name: 'own', share: 1, short_documents: 0 });
  expect(own!.documents_over_half).toBe(own!.documents);

  const page = await readFile(at('audit/report.html'), 'utf8');
  for (const id of ['dynamics', 'overlap', 'comparison']) expect(page).toContain(`<section id="${id}">`);
  expect(stdout).toMatch(/token dynamics over 2 checkpoints: H→H/);
  expect(stdout).toMatch(/overlap of own with the reference data: 100/);
});

it('reads other text columns, and leaves out what was not asked for', async () => {
  const { code } = await audit(
    ...['--documents', '0', '--overlap-reference', run.corpus],
    ...['--overlap-evaluation', at('fresh.jsonl'), '--overlap-evaluation-text', 'question'],
  );
  expect(code).toBe(0);
  const found: Audit = JSON.parse(await readFile(at('audit/audit.json'), 'utf8'));
  expect([found.dynamics, found.comparison]).toEqual([null, null]);
  expect(found.overlap!.evaluation).toMatchObject([{ name: 'fresh', documents: 1, found: 0, share: 0 }]);
  const page = await readFile(at('audit/report.html'), 'utf8');
  expect(page).not.toContain('<section id="dynamics">');
});

it('refuses in one line what cannot be compared, and writes nothing', async () => {
  await rm(at('audit'), { recursive: true, force: true });
  await writeRun(at('foreign'), makeDocs(10), { tokenizerHash: 'f'.repeat(64) });
  const refusal = async (...flags: string[]) => {
    const { code, stderr } = await audit(...flags);
    const lines = stderr.split('\n').filter((line) => line.startsWith('tokensieve:'));
    expect(lines).toHaveLength(1);
    return `${code} ${lines[0]}`;
  };
  expect(await refusal('--dynamics', at('first'))).toMatch(/^2 .*dynamics/);
  expect(await refusal('--overlap-reference', run.corpus)).toMatch(/^2 .*overlap\.evaluation/);
  expect(await refusal('--compare', at('nothing'))).toMatch(/^2 .*nothing: no finished parts/);
  expect(await refusal('--compare', at('foreign'))).toMatch(/^2 .*different tokenizers/);
  // Two runs of one tokenizer, but not of the audited run's, by which their ids would be spelled out.
  const foreign = await refusal('--tokenizer', run.tokenizer, '--dynamics', at('foreign'), at('foreign'));
  expect(foreign).toMatch(/^2 .*out and .*foreign were made with different tokenizers/);
  await expect(readFile(at('audit/audit.json'))).rejects.toThrow(/ENOENT/);
});

it('names evaluation sets', () => {
  const given = ['a/gsm8k.jsonl.gz', 'math=x/*.parquet', 'math=y.jsonl', 'eval/', 'a/lang=en.parquet'];
  expect(evaluationSets.parse(given)).toEqual({
    gsm8k: ['a/gsm8k.jsonl.gz'],
    math: ['x/*.parquet', 'y.jsonl'],
    eval: ['eval/'],
    'lang-en': ['a/lang=en.parquet'],
  });
  expect(evaluationSets.parse({ math: ['x'] })).toEqual({ math: ['x'] });
  expect(evaluationSets.safeParse([]).success).toBe(false);
  expect(evaluationSets.safeParse({ 'a/b': ['x'] }).success).toBe(false);
});
