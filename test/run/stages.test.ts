import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { auditSchema } from '#tokensieve/audit/report.js';
import { parquetBytes, rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults } from '../../fixtures/quickstart/make.mjs';
import { digestFolder, type Outcome, runCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { tinyLlama } from '../support/training.js';

const folder = temporaryFolder();
const file = join(folder, 'loop.yaml');
const out = (name: string): string => join(folder, name);
const command = ['run', file, '--log', 'none'];
const run = (...more: string[]): Promise<Outcome> => cliHere([...command, ...more]);
/** A stage's line of the output, without its time. */
const lineOf = ({ stdout }: Outcome, name: string): string =>
  stdout.split('\n').find((line) => line.startsWith(`${name} `)) ?? '';

/** The loop of pipelines/quickstart.yaml in small: 30 pages, a model of a few thousand parameters, 12 steps. */
beforeAll(async () => {
  const { reference } = await quickstartInputs(out('inputs'));
  const [web, , , clean] = shards;
  if (web === undefined || clean === undefined) throw new Error('the quickstart has no shards');
  const pages = rowsOf({ ...web, rows: 20 }, defaults.seed);
  writeFileSync(out('base.parquet'), await parquetBytes(pages.slice(0, 10), 'SNAPPY'));
  writeFileSync(out('web.parquet'), await parquetBytes(pages.slice(10), 'SNAPPY'));
  writeFileSync(
    out('clean.parquet'),
    await parquetBytes(rowsOf({ ...clean, rows: 10 }, defaults.seed), 'SNAPPY'),
  );
  writeFileSync(out('config.json'), JSON.stringify({ ...tinyLlama, vocab_size: 512 }));
  writeFileSync(
    out('section.mjs'),
    `export const section = async ({ greeting }) => ({ title: greeting, notes: ['<made> here'] });\n`,
  );
  writeFileSync(
    file,
    `version: 1
shared:
  rows: &rows { tokenizer: { path: ${reference} }, sequence: { length: 32 } }
  train: &train
    batch: { rows: 4, steps: 12 }
    held_out: { sources: { clean: ${out('clean/packed')} }, every: 4, tokens: 500 }
    run: { device: cpu, threads: 1 }
stages:
  - { name: pack-base, pack: { <<: *rows, shards: [${out('base.parquet')}], out: ${out('pages')} } }
  - { name: pack-clean, pack: { <<: *rows, shards: [${out('clean.parquet')}], out: ${out('clean')} } }
  - name: base
    train: { <<: *train, out: ${out('base')}, model: { config: ${out('config.json')}, tokenizer: ${reference} }, data: { sources: [${out('pages/packed')}] } }
  - name: reference
    train: { <<: *train, out: ${out('reference')}, model: { start: ${out('base/model')} }, data: { sources: [${out('clean/packed')}] } }
  - score: { <<: *rows, shards: [${out('web.parquet')}], reference: ${out('reference/model')}, current: ${out('base/model')}, out: ${out('scored')}, score: { device: cpu }, run: { threads: 1, cache: ${out('cache')} } }
  - select: { run: ${out('scored')} }
  - name: clm
    train: &clm { <<: *train, out: ${out('clm')}, model: { start: ${out('base/model')} }, data: { sources: [${out('scored/scored')}] } }
  - { name: slm, train: { <<: *clm, out: ${out('slm')}, loss: { kind: slm } } }
  - eval: { model: ${out('slm/model')}, held_out: { clean: [${out('clean.parquet')}] }, out: ${out('eval.json')}, score: { device: cpu }, run: { threads: 1, cache: ${out('cache')} } }
  - report:
      out: ${out('report.html')}
      arms: { CLM: [${out('clm')}], SLM: [${out('slm')}] }
      baseline: CLM
      start: ${out('base')}
      evaluations: [${out('eval.json')}]
      sections: [{ module: ${out('section.mjs')}, options: { greeting: A section of mine } }]
  - audit: { run: ${out('scored')}, documents: 3 }
`,
  );
});

describe('a pipeline of stages', () => {
  let first: Outcome;
  beforeAll(async () => {
    first = await runCli(command);
  });

  it('runs them in order, a line each, and ends with the report', () => {
    expect(first.code, first.stderr).toBe(0);
    const names = first.stdout.split('\n').map((line) => line.split(' ')[0]);
    expect(names.slice(0, 10)).toEqual([
      'pack-base',
      'pack-clean',
      'base',
      'reference',
      'score',
      'select',
      'clm',
      'slm',
      'eval',
      'report',
    ]);
    expect(lineOf(first, 'slm')).toMatch(/12 steps, .* tokens, held-out loss clean \d\.\d{3}: .*slm\/model$/);
    expect(first.stdout).toMatch(
      /Held-out loss, clean \(nats a token\)\n +tokens +CLM +SLM\n +0 +\d\.\d{3} /,
    );
    expect(first.stdout).toMatch(/SLM is (NOT )?ahead of CLM/);
    expect(first.stdout).toMatch(/A section of mine\n {2}<made> here/);
    expect(first.stdout).toContain(out('scored/weighted'));
    const html = readFileSync(out('report.html'), 'utf8');
    expect(html).toContain('<svg');
    expect(html).toContain('&#60;made&#62; here');
  });

  it('audits the selection, with the text and the models that the run remembers', () => {
    expect(lineOf(first, 'audit')).toMatch(/\d tokens, kept \d\d\.\d%: .*scored\/audit\/report\.html$/);
    expect(readFileSync(out('scored/audit/report.html'), 'utf8')).toMatch(/^<!doctype html>/i);
    const audit = auditSchema.parse(JSON.parse(readFileSync(out('scored/audit/audit.json'), 'utf8')));
    expect(audit.models.map(({ role, name }) => [role, name])).toEqual([
      ['reference', out('reference/model')],
      ['current', out('base/model')],
    ]);
    expect(audit.cost.scoring_flops).toBeGreaterThan(2 * audit.models[0]!.parameters! * audit.totals.tokens);
    expect(audit.sample.documents).toBeGreaterThanOrEqual(3);
    expect(audit.kept_by.map(({ by }) => by)).toContain('token_class');
  });

  it('finds every stage done, and changes nothing', async () => {
    const parts = ['base/model', 'reference/model', 'scored', 'clm/model', 'slm/model'];
    const digests = () => parts.map((part) => digestFolder(out(part)));
    const before = digests();
    const again = await run();
    expect(again.code, again.stderr).toBe(0);
    expect(lineOf(again, 'pack-base')).toMatch(/1 done before/);
    for (const name of ['base', 'reference', 'clm', 'slm'])
      expect(lineOf(again, name)).toMatch(/12 steps, all done before/);
    expect(digests()).toEqual(before);
  });

  it('makes again what is missing, and only what is asked for', async () => {
    const before = digestFolder(out('slm/model'));
    rmSync(out('slm'), { recursive: true });
    rmSync(out('report.html'));
    const only = await run('--only', 'slm');
    expect(only.code, only.stderr).toBe(0);
    expect(digestFolder(out('slm/model'))).toEqual(before);
    expect(existsSync(out('report.html'))).toBe(false);
    const from = await run('--from', 'eval');
    expect(
      from.stdout
        .split('\n')
        .slice(0, 2)
        .map((line) => line.split(' ')[0]),
    ).toEqual(['eval', 'report']);
    expect(existsSync(out('report.html'))).toBe(true);
  });

  it('takes a setting of one stage by its name', async () => {
    const other = await run(
      '--only',
      'clm',
      '--set',
      `clm.out=${out('other')}`,
      '--set',
      'clm.batch.steps=3',
    );
    expect(other.code, other.stderr).toBe(0);
    expect(lineOf(other, 'clm')).toMatch(/ 3 steps, .*other\/model$/);
  });

  it.each<[string, string[], RegExp]>([
    ['an unknown stage', ['--only', 'cml'], /no stage is called cml; the stages are pack-base, /],
    ['flags that could mean any stage', ['--limit', '3'], /--limit is for pipelines of a single run/],
    ['both --from and --only', ['--from', 'clm', '--only', 'slm'], /mutually exclusive/],
  ])('refuses %s', async (_, args, message) => {
    const refused = await run(...args);
    expect(refused.stderr.split('\n')[0]).toMatch(message);
    expect(refused.code).toBe(2);
  });

  it('is planned without being run', async () => {
    const planned = await cliHere(['plan', file, '--tflops', '0.1', '--json']);
    expect(planned.code, planned.stderr).toBe(0);
    const { stages, assumed } = JSON.parse(planned.stdout);
    const slm = stages.find(({ name }: { name: string }) => name === 'slm');
    const parameters = slm.flops / slm.tokens / 6;
    expect(slm).toMatchObject({ tokens: 12 * 4 * 31, unknown: [] });
    expect(Number.isInteger(parameters)).toBe(true);
    expect(slm.seconds).toBeCloseTo(slm.flops / 1e11, 10);
    expect(assumed).toEqual([]);
    const table = await cliHere(['plan', file, '--tflops', '0.1']);
    expect(table.stdout).toMatch(/^slm +train +1488 +\d\.\d\de\+\d+ +\d/m);
  });
});
