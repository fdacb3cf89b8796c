import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { type SelectionInput, selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults } from '../../fixtures/quickstart/make.mjs';
import { digestFolder, filesBelow, runCli } from '../support/cli.js';
import { perturbedCheckpoint } from '../support/perturbed.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

// The quickstart's two bigram models on texts whose truth is known: lessons that neither has counted, and noise.

const storage = localStorage();

interface Row {
  readonly text: string;
  readonly source: string;
}

/** Lessons that no model has counted. */
function lessons(count: number): Row[] {
  const shard = shards.find(({ path }) => path.startsWith('held-out/lessons'));
  if (shard === undefined) throw new Error('the quickstart has no held-out lessons');
  return rowsOf({ ...shard, rows: count }, defaults.seed).map(({ text }) => ({ text, source: 'lessons' }));
}

/** The noise of noisy pages by itself, a document a page. */
function clutter(count: number): Row[] {
  const [web] = shards;
  if (web === undefined) throw new Error('the quickstart has no shards');
  return rowsOf({ ...web, rows: count }, defaults.seed).map(({ text, metadata }) => {
    const bytes = Buffer.from(text);
    const { noise } = JSON.parse(metadata) as { noise: [number, number, string][] };
    const parts = noise.filter(([, , kind]) => /navigation|random-string/.test(kind));
    return {
      text: parts.map(([from, to]) => bytes.subarray(from, to).toString()).join('\n'),
      source: 'clutter',
    };
  });
}

describe('the doctor of a selection', () => {
  const root = temporaryFolder();
  let models: QuickstartInputs;
  let weak = '';
  beforeAll(async () => {
    models = await quickstartInputs(join(root, 'inputs'));
    weak = perturbedCheckpoint(models.current, join(root, 'weak'), 1);
  });

  async function score(name: string, rows: readonly Row[], reference: string, current?: string) {
    const shard = join(root, `${name}.jsonl`);
    writeFileSync(shard, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const out = join(root, name);
    const pipeline = parsePipeline(
      {
        ...{ shards: [shard], reference, out, ...(current !== undefined && { current }) },
        corpus: { keep: ['source'], part_bytes: 16_384 },
        sequence: { length: 256 },
        score: { device: 'cpu' },
        run: { cache: join(root, 'cache'), threads: 1 },
      },
      'test',
    );
    const sink = (): void => undefined;
    await scoreCorpus(pipeline, { storage, sink, signal: new AbortController().signal, replace: false });
    return out;
  }

  async function select(run: string, settings: SelectionInput = {}, out = join(run, 'weighted')) {
    const events: RunEvent[] = [];
    const report = await selectRun(run, out, selectionSettings.parse(settings), {
      storage,
      sink: (event) => events.push(event),
      signal: new AbortController().signal,
      replace: true,
    });
    const warnings = events.flatMap((event) => (event.event === 'warning' ? [event] : []));
    return { report, warnings, codes: warnings.map(({ finding }) => finding?.code) };
  }

  it('says nothing of the quickstart’s pair, on clean pages and on noisy ones', async () => {
    const [web] = shards;
    const noisy = rowsOf({ ...web!, rows: 40 }, defaults.seed).map(({ text }) => ({ text, source: 'web' }));
    for (const [name, rows] of [
      ['good-clean', lessons(50)],
      ['good-noisy', noisy],
    ] as const) {
      const { report, warnings } = await select(await score(name, rows, models.reference, models.current));
      expect(report.findings, name).toEqual([]);
      expect(warnings, name).toEqual([]);
    }
  });

  it('notices two models that are swapped', async () => {
    const run = await score('swapped', lessons(50), models.current, models.reference);
    const { codes, warnings, report } = await select(run);
    expect(codes).toEqual(['reference-weaker', 'kept-negative']);
    expect(report.findings).toEqual(warnings.map(({ finding }) => finding));
    expect(warnings[0]?.message).toMatch(
      /^the current model has the lower loss on \d\d(\.\d)?% of the tokens \(mean excess −\d\.\d+ nats\): either the two models are swapped, .*; if they are swapped, score again/,
    );
    for (const { message } of warnings) expect(message).not.toContain('\n');
    // A control that knows nothing of the excess is not scolded for it.
    expect((await select(run, { method: 'random' })).codes).toEqual([]);
  });

  it('notices a reference that is the weaker model', async () => {
    const { codes } = await select(await score('weak', lessons(50), weak, models.current));
    expect(codes).toEqual(['reference-weaker', 'kept-negative']);
  });

  it('notices one model twice, and in two precisions', async () => {
    const same = await score('equal', lessons(30), models.current, models.current);
    await expect(select(same)).rejects.toMatchObject({ code: 'constant-scores' });
    expect((await select(same, { allow_constant: true })).codes).toEqual(['models-alike']);
    const nearly = perturbedCheckpoint(models.current, join(root, 'nearly'), 0.02);
    const run = await score('nearly-equal', lessons(30), nearly, models.current);
    const { codes, warnings } = await select(run);
    expect(codes).toEqual(['models-alike']);
    expect(warnings[0]?.finding?.figures['spread']).toBeLessThan(0.2);
  });

  it('notices that one source supplies what is kept and another is dropped whole', async () => {
    const rows = [...lessons(40), ...clutter(40)];
    const run = await score('sources', rows, models.reference, models.current);
    const { codes, warnings } = await select(run, { keep: 0.2, scope: 'dataset' });
    // The clutter is short, too.
    expect(codes).toEqual(['one-domain', 'class-dropped', 'class-dropped']);
    expect(warnings.map(({ finding }) => finding?.figures['by'])).toEqual([
      'source',
      'source',
      'document_tokens',
    ]);
    expect(warnings[1]?.message).toContain('all 40 documents of source "clutter" (20% of the tokens)');
    expect(warnings.map(({ message }) => message).join('\n')).toMatch(
      /source "lessons" supplies (over )?9\d(\.\d)?% of what is kept, and is \d\d(\.\d)?% of the tokens/,
    );
    // The same text from one source alone: nothing to tell apart.
    const alone = rows.map(({ text }) => ({ text, source: 'web' }));
    const one = await score('one-source', alone, models.reference, models.current);
    const { codes: found } = await select(one, { keep: 0.2, scope: 'dataset' });
    expect(found).not.toContain('one-domain');
  });

  it('leaves the files as they are, and judges the pair by all parts when some were done before', async () => {
    const run = join(root, 'swapped');
    const out = join(root, 'resumed');
    const first = await select(run, {}, out);
    const whole = digestFolder(out);
    const manifests = filesBelow(out).filter((path) => path.endsWith('.manifest.json'));
    expect(manifests.length).toBeGreaterThan(3);
    rmSync(manifests[1]!);
    const resumed = await select(run, {}, out);
    expect(digestFolder(out)).toEqual(whole);
    expect(resumed.report.resumed).toBe(manifests.length - 1);
    expect(resumed.warnings[0]?.finding?.figures).toEqual(first.warnings[0]?.finding?.figures);
    expect(resumed.warnings[0]?.message).toContain(`of the 1 parts of ${manifests.length} weighed now`);
    // With nothing left to weigh, the manifests still tell of the pair.
    const again = await select(run, {}, out);
    expect(again.codes).toEqual(['reference-weaker']);
    expect(readFileSync(manifests[0]!, 'utf8')).not.toContain('reference-weaker');
  });

  it('tells it on stderr, as JSON with the figures', async () => {
    const run = join(root, 'swapped');
    const { code, stderr } = await runCli(['select', run, '--out', join(root, 'cli'), '--log', 'json']);
    expect(code).toBe(0);
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RunEvent);
    const found = lines.flatMap((line) => (line.event === 'warning' ? [line.finding] : []));
    expect(found.map((finding) => finding?.code)).toEqual(['reference-weaker', 'kept-negative']);
    expect(found[0]?.figures['negative_share']).toBeGreaterThan(0.55);
  });

  it('says nothing of a reference alone', async () => {
    const out = await score('alone', [...lessons(20), ...clutter(20)], models.reference);
    expect((await select(out, { method: 'reference-loss' })).codes).toEqual([]);
  });
});
