import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditSchema } from '#tokensieve/audit/report.js';
import { hashTokenizer } from '#tokensieve/tokenizer/open.js';
import { runCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { temporaryFolder } from '../support/quickstart.js';
import { makeDocs, writeRun } from './scan-run.js';

const TOKENIZER = 'fixtures/tokenizers/byte-level.json';
const folder = temporaryFolder();
const run = join(folder, 'run');
const audit = (...args: string[]) => cliHere(['audit', ...args, '--log', 'none']);

beforeAll(async () => {
  await writeRun(run, makeDocs(120), { tokenizerHash: await hashTokenizer(TOKENIZER) });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('tokensieve audit', () => {
  it('writes the page and the numbers, and says in a screen what they are', async () => {
    const args = ['audit', run, '--tokenizer', TOKENIZER, '--documents', '4', '--log', 'none'];
    const { code, stdout, stderr } = await runCli(args);
    expect(code, stderr).toBe(0);
    const json = auditSchema.parse(JSON.parse(readFileSync(join(run, 'audit/audit.json'), 'utf8')));
    const kept = json.totals.kept! / json.totals.eligible;
    expect(stdout).toContain(`kept ${(100 * kept).toFixed(1)}%`);
    expect(stdout).toContain(json.calibration.sentence);
    expect(stdout).toMatch(/kept by token class: .*word \d/);
    expect(stdout).toMatch(/most dropped: "/);
    expect(stdout).toContain(`report:  ${join(run, 'audit/report.html')}`);
    expect(stdout.trim().split('\n').length).toBeLessThan(24);
    // Whether a number below the least normal one is 0 depends on the process: none is written.
    const quantiles = json.columns.flatMap((column) => column.quantiles.map(({ value }) => Math.abs(value)));
    expect(quantiles.filter((value) => value === 0).length).toBeGreaterThan(0);
    expect(quantiles.filter((value) => value > 0 && value < 2 ** -126)).toEqual([]);
    expect(json.sample).toMatchObject({ seed: 1 });
    expect(json.sample.documents).toBeGreaterThanOrEqual(4);
    expect(json.sample.documents).toBeLessThanOrEqual(44);
    const page = readFileSync(join(run, 'audit/report.html'), 'utf8');
    expect(page).toMatch(/^<!doctype html>/i);
    expect(page.length).toBeLessThan(5e6);
    expect(readdirSync(join(run, 'audit')).sort()).toEqual(['audit.json', 'report.html']);
  });

  it('gives the same bytes again, and audits a run that holds an audit', async () => {
    const files = () =>
      ['audit.json', 'report.html'].map((name) => readFileSync(join(run, 'audit', name), 'utf8'));
    const before = files();
    const { code, stderr } = await audit(run, '--tokenizer', TOKENIZER, '--documents', '4');
    expect(code, stderr).toBe(0);
    expect(files()).toEqual(before);
  });

  it('writes elsewhere, without a tokenizer, and prints the numbers', async () => {
    const out = join(folder, 'elsewhere');
    const { code, stdout, stderr } = await audit(run, '--out', out, '--json', '--by', 'topic', '--by', 'url');
    expect(code, stderr).toBe(0);
    const json = auditSchema.parse(JSON.parse(stdout));
    expect(JSON.parse(readFileSync(join(out, 'audit.json'), 'utf8'))).toEqual(json);
    expect(json.tokenizer.vocabulary).toBeNull();
    expect(json.tokens.most_kept[0]).toMatchObject({ text: null, class: null });
    expect(json.kept_by.map(({ by }) => by)).not.toContain('token_class');
    expect(json.kept_by.map(({ by }) => by)).toEqual(expect.arrayContaining(['topic', 'host']));
  });

  it.each([
    ['an empty folder', [join(folder, 'nothing')], /no finished parts/],
    ['a column that was not kept', [run, '--by', 'nope'], /--by nope: .*url, topic/],
    ['one checkpoint for dynamics', [run, '--dynamics', run], /dynamics/],
    ['half of what overlap needs', [run, '--overlap-reference', 'x.jsonl'], /overlap\.evaluation/],
    ['shards that are not there', [run, '--shards', join(folder, 'no.parquet')], /no\.parquet/],
  ])('refuses %s in one line, with exit code 2, and writes nothing', async (_, args, message) => {
    const out = join(folder, 'refused');
    const { code, stdout, stderr } = await audit(...args, '--out', out);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(message);
    expect(existsSync(out)).toBe(false);
  });
});
