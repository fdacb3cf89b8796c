import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { type ScoreReport, scoreCorpus } from '#tokensieve/score/score-run.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { digestFolder } from '../support/cli.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

describe('scoring a jsonl shard', () => {
  const folder = temporaryFolder();
  const shard = join(folder, 'corpus.jsonl');
  let inputs: QuickstartInputs;

  beforeAll(async () => {
    inputs = await quickstartInputs(join(folder, 'inputs'));
    const lines = Array.from({ length: 60 }, (_, i) =>
      JSON.stringify({ text: `The sum of ${i} and 1. `.repeat(5) }),
    );
    writeFileSync(shard, `${lines.join('\n')}\n`);
  });

  const score = (out: string, limit?: number, replace = false): Promise<ScoreReport> =>
    scoreCorpus(
      parsePipeline(
        {
          shards: [shard],
          reference: inputs.reference,
          out: join(folder, out),
          corpus: { part_bytes: 2000, ...(limit !== undefined && { limit }) },
          sequence: { length: 64 },
          score: { device: 'cpu' },
          run: { cache: join(folder, 'cache'), threads: 1 },
        },
        'test',
      ),
      {
        storage: localStorage(),
        sink: () => undefined,
        signal: new AbortController().signal,
        replace,
      },
    );

  it('with a limit, the same command again changes nothing', async () => {
    const first = await score('limited', 30);
    expect(first).toMatchObject({ documents: 30, resumed: 0 });
    const files = digestFolder(join(folder, 'limited'));
    expect(await score('limited', 30)).toMatchObject({
      documents: 30,
      parts: first.parts,
      resumed: first.parts,
    });
    expect(digestFolder(join(folder, 'limited'))).toEqual(files);
  });

  it('notices finished parts beyond its end, and removes them when told to', async () => {
    const { parts } = await score('longer');
    const scored = join(folder, 'longer/scored/corpus.jsonl');
    const files = digestFolder(scored);
    const stem = (part: number) => join(scored, String(part).padStart(5, '0'));
    // What a longer text of the same size would have left: one more part.
    const { digest: _, ...manifest } = JSON.parse(readFileSync(`${stem(parts - 1)}.manifest.json`, 'utf8'));
    writeFileSync(`${stem(parts + 1)}.manifest.json`, JSON.stringify({ ...manifest, part: parts + 1 }));
    copyFileSync(`${stem(parts - 1)}.arrow`, `${stem(parts + 1)}.arrow`);
    await expect(score('longer')).rejects.toMatchObject({ code: 'stale-parts', reach: 'usage' });
    expect(await score('longer', undefined, true)).toMatchObject({ parts, resumed: parts });
    expect(digestFolder(scored)).toEqual(files);
  });

  it('names the rows of a text that the portable tokenizer cannot take', async () => {
    const endless = join(folder, 'endless.jsonl');
    writeFileSync(endless, `{"text": "Short."}\n{"text": "${'a'.repeat(12e6)}"}\n{"text": "After."}\n`);
    const pipeline = parsePipeline(
      {
        shards: [endless],
        reference: inputs.reference,
        out: join(folder, 'endless'),
        score: { device: 'cpu' },
        run: { cache: join(folder, 'cache'), threads: 1, tokenizer_engine: 'portable' },
      },
      'test',
    );
    const { signal } = new AbortController();
    const options = { storage: localStorage(), sink: () => undefined, signal, replace: false };
    await expect(scoreCorpus(pipeline, options)).rejects.toMatchObject({
      reach: 'fatal',
      code: 'unbroken-text',
      message: expect.stringMatching(
        /^endless\.jsonl part 0, rows 0 to 1: a text of 12000000 characters .*--tokenizer-engine native$/,
      ),
    });
  });

  it('notices another text of the same size under a finished part', async () => {
    const { parts } = await score('changing');
    expect(await score('changing')).toMatchObject({ parts, resumed: parts });
    const text = readFileSync(shard, 'utf8');
    writeFileSync(shard, text.replace('The sum of 59', 'The sum of 95'));
    await expect(score('changing')).rejects.toMatchObject({ code: 'shard-changed', reach: 'usage' });
    writeFileSync(shard, text);
  });
});
