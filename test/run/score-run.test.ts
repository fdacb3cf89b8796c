import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { weightedFolder } from '#tokensieve/dataset/part-files.js';
import { readSequences } from '#tokensieve/dataset/reader.js';
import type { SequenceBatch } from '#tokensieve/dataset/sequence-batch.js';
import { verifyFolder } from '#tokensieve/dataset/verify.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import type { PipelineInput } from '#tokensieve/pipeline/settings.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { type ScoreReport, scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { writeRandomCheckpoint } from '../support/checkpoints.js';
import { digestFolder, filesBelow, runCli } from '../support/cli.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';

const storage = localStorage();

describe('a scoring run', () => {
  const folder = temporaryFolder();
  let inputs: QuickstartInputs;
  let shards: string;
  let runs = 0;

  beforeAll(async () => {
    inputs = await quickstartInputs(join(folder, 'inputs'));
    shards = await manySmallParts(join(folder, 'corpus'));
  });

  type Settings = Omit<PipelineInput, 'shards' | 'out'> & Partial<Pick<PipelineInput, 'shards' | 'out'>>;

  /** Scores the small corpus with the quickstart's models unless told otherwise. */
  async function score(
    changes: Partial<Settings> = {},
    options: { replace?: boolean; sink?: (event: RunEvent) => void } = {},
  ): Promise<ScoreReport & { out: string }> {
    const pipeline = parsePipeline(
      {
        shards: [shards],
        reference: inputs.reference,
        current: inputs.current,
        out: join(folder, `run-${runs++}`),
        ...changes,
        corpus: { part_bytes: 8192, ...changes.corpus },
        sequence: { length: 128, ...changes.sequence },
        score: { device: 'cpu', batch_tokens: 1024, ...changes.score },
        run: { cache: join(folder, 'cache'), threads: 1, ...changes.run },
      },
      'test',
    );
    const report = await scoreCorpus(pipeline, {
      storage,
      sink: options.sink ?? (() => undefined),
      signal: new AbortController().signal,
      replace: options.replace ?? false,
    });
    return { ...report, out: pipeline.out };
  }

  const select = (run: string, settings: object, out = weightedFolder(run)) =>
    selectRun(run, out, selectionSettings.parse(settings), {
      storage,
      sink: () => undefined,
      signal: new AbortController().signal,
      replace: false,
    });

  async function readAll(scored: string): Promise<SequenceBatch[]> {
    const batches: SequenceBatch[] = [];
    for (const path of filesBelow(scored).filter((name) => /\/\d{5}\.arrow$/.test(name))) {
      for await (const batch of (await readSequences(storage, path)).batches()) batches.push(batch);
    }
    return batches;
  }

  it('writes files that verify finds sound, sets unusable rows aside, and says so', async () => {
    const events: RunEvent[] = [];
    const report = await score(
      { corpus: { keep: ['url', 'date'] } },
      { sink: (event) => events.push(event) },
    );
    expect(report).toMatchObject({
      shards: 3,
      quarantinedRows: 2,
      quarantined: { 'null-text': 2 },
      documents: 88,
    });
    const verified = await verifyFolder(storage, report.out);
    expect(verified.findings).toEqual([]);
    expect(verified).toMatchObject({ manifests: report.parts, tokens: report.tokens });
    const reports = filesBelow(report.out).filter((path) => path.endsWith('.quarantine.jsonl'));
    const rows = reports.flatMap((path) =>
      readFileSync(path, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
    expect(rows.map(({ row }) => row)).toEqual([7, 27]);
    // Progress adds up to the text there was.
    const told = events.reduce((sum, event) => sum + (event.event === 'progress' ? event.text_bytes : 0), 0);
    expect(told).toBe(report.textBytes);
  });

  it('gives the same bytes for any number of workers, threads and either tokenizer engine', async () => {
    const one = digestFolder((await score()).out);
    expect(Object.keys(one).length).toBeGreaterThan(20);
    expect(digestFolder((await score({ run: { workers: 3 } })).out)).toEqual(one);
    expect(digestFolder((await score({ run: { threads: 2 } })).out)).toEqual(one);
    expect(digestFolder((await score({ run: { tokenizer_engine: 'portable' } })).out)).toEqual(one);
  });

  it('resumes: finished parts are not redone, missing ones are', async () => {
    const first = await score();
    const expected = digestFolder(first.out);
    const manifests = filesBelow(first.out).filter((path) => path.endsWith('.manifest.json'));
    for (const path of manifests.slice(0, 3)) rmSync(path);
    const started: string[] = [];
    const again = await score(
      { out: first.out },
      { sink: (event) => event.event === 'part-started' && started.push(`${event.shard}/${event.part}`) },
    );
    expect(again).toMatchObject({
      resumed: manifests.length - 3,
      parts: manifests.length,
      tokens: first.tokens,
    });
    expect(started).toHaveLength(3);
    expect(digestFolder(first.out)).toEqual(expected);
  });

  it('refuses parts of other settings by name of what changed, and redoes them when told to', async () => {
    const { out } = await score({ corpus: { limit: 20 } });
    await expect(score({ out, corpus: { limit: 20 }, sequence: { length: 64 } })).rejects.toMatchObject({
      code: 'stale-parts',
      reach: 'usage',
      message: expect.stringContaining('sequence.length: 128 → 64'),
    });
    await expect(score({ out, corpus: { limit: 20 }, current: inputs.reference })).rejects.toThrow(
      /models\.current/,
    );
    const redone = await score({ out, corpus: { limit: 20 }, sequence: { length: 64 } }, { replace: true });
    expect((await verifyFolder(storage, out)).findings).toEqual([]);
    const fresh = await score({ corpus: { limit: 20 }, sequence: { length: 64 } });
    expect(redone.resumed).toBe(0);
    expect(digestFolder(out)).toEqual(digestFolder(fresh.out));
  });

  it('refuses parts of shards it does not name, and removes them when told to', async () => {
    const corpus = join(folder, 'renamed');
    await manySmallParts(corpus);
    const { out } = await score({ shards: [join(corpus, 'a/*.parquet')] });
    const before = filesBelow(out);
    // The same file under another name, since the glob begins a folder higher.
    const wider = { shards: [join(corpus, '*/web.parquet')], out };
    await expect(score(wider)).rejects.toMatchObject({
      code: 'stale-parts',
      reach: 'usage',
      message: expect.stringMatching(/6 finished part\(s\) of shards that this command does not name/),
    });
    expect(filesBelow(out)).toEqual(before);
    // What another command wrote below the folder is not this one's to remove.
    const foreign = join(out, 'scored/notes/00000.manifest.json');
    mkdirSync(join(foreign, '..'));
    writeFileSync(foreign, '{"mine": true}');
    await score(wider, { replace: true });
    expect(readFileSync(foreign, 'utf8')).toBe('{"mine": true}');
    rmSync(foreign);
    expect(digestFolder(out)).toEqual(digestFolder((await score({ shards: wider.shards })).out));
  });

  it('removes the parts that a shard which shrank has no more', async () => {
    const corpus = join(folder, 'shrinking');
    await manySmallParts(corpus);
    const glob = [join(corpus, '**/*.{parquet,jsonl.gz}')];
    const first = await score({ shards: glob, corpus: { part_bytes: 2048 } });
    const smaller = { shards: glob, corpus: { part_bytes: 2048, limit: 5 } };
    const again = await score({ ...smaller, out: first.out }, { replace: true });
    expect(again.parts).toBeLessThan(first.parts);
    expect(digestFolder(first.out)).toEqual(digestFolder((await score(smaller)).out));
  });

  it('does not score again what another process finished in the meantime', async () => {
    const { out } = await score();
    const expected = digestFolder(out);
    const path = join(out, 'scored/a/web.parquet/00001.manifest.json');
    const manifest = readFileSync(path);
    rmSync(path);
    const started: number[] = [];
    const again = await score(
      { out },
      {
        sink: (event) => {
          if (event.event === 'planned') writeFileSync(path, manifest);
          if (event.event === 'part-started') started.push(event.part);
        },
      },
    );
    expect(started).toEqual([]);
    expect(again.documents).toBe(88);
    expect(digestFolder(out)).toEqual(expected);
  });

  it('a loss that is no number names the part, the row and the model', async () => {
    const damaged = join(folder, 'damaged');
    writeRandomCheckpoint(damaged, {
      architecture: 'LlamaForCausalLM',
      seed: 6,
      overrides: { vocab_size: 512 },
    });
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      cpSync(join(inputs.reference, name), join(damaged, name));
    const weights = join(damaged, 'model.safetensors');
    const bytes = readFileSync(weights);
    bytes.fill(0xff, 8 + Number(bytes.readBigUInt64LE(0)));
    writeFileSync(weights, bytes);
    await expect(score({ current: damaged })).rejects.toMatchObject({
      code: 'loss-not-finite',
      message: expect.stringMatching(
        /^a\/web\.parquet part 0: sequence \d+, .*document row \d+.*current loss is NaN/,
      ),
    });
  });

  it('notices a shard that changed', async () => {
    const corpus = join(folder, 'changing');
    await manySmallParts(corpus);
    const glob = [join(corpus, 'a/*.parquet')];
    const { out } = await score({ shards: glob });
    cpSync(join(corpus, 'b/web.parquet'), join(corpus, 'a/web.parquet'));
    await expect(score({ shards: glob, out })).rejects.toThrow(/input\.footer_sha256/);
  });

  it('two copies of one model: excess 0 for every eligible token, and nothing to select by', async () => {
    const copy = join(folder, 'copy-of-reference');
    cpSync(inputs.reference, copy, { recursive: true });
    const { out, folder: scored, eligible } = await score({ current: copy });
    let zeros = 0;
    for (const { columns } of await readAll(scored)) {
      const { reference_loss: reference, current_loss: current } = columns;
      if (!reference || !current) throw new Error('both columns are written');
      reference.forEach((loss, i) => {
        expect(Object.is(loss, current[i])).toBe(true);
        if (!Number.isNaN(loss)) zeros++;
      });
    }
    expect(zeros).toBe(eligible);
    await expect(select(out, { method: 'slm' })).rejects.toMatchObject({
      code: 'constant-scores',
      message: expect.stringContaining('nothing to select by'),
    });
    const forced = await select(out, { method: 'slm', allow_constant: true });
    expect(forced.kept).toBeGreaterThan(0);
  });

  it('one model alone stores its losses, and methods that need no other work', async () => {
    const report = await score({ current: undefined });
    const [batch] = await readAll(report.folder);
    expect(Object.keys(batch?.columns ?? {})).toEqual(['reference_loss']);
    await expect(select(report.out, { method: 'slm' })).rejects.toThrow(/current_loss/);
    const kept = await select(report.out, { method: 'reference-loss', keep: 0.25 });
    expect(kept.kept / kept.eligible).toBeCloseTo(0.25, 2);
  });

  it('selection keeps the ratio, resumes, and never mixes two settings', async () => {
    const { out } = await score();
    const report = await select(out, { method: 'slm', keep: 0.6, scope: 'dataset' });
    expect(report.kept).toBe(Math.floor((600_000 * report.eligible) / 1_000_000));
    expect((await verifyFolder(storage, out)).findings).toEqual([]);
    const again = await select(out, { method: 'slm', keep: 0.6, scope: 'dataset' });
    expect(again).toMatchObject({ resumed: report.parts, kept: report.kept });
    await expect(select(out, { method: 'slm', keep: 0.5, scope: 'dataset' })).rejects.toThrow(
      /select\.keep: 0\.6 → 0\.5/,
    );
    await select(out, { method: 'slm', keep: 0.5 }, join(out, 'weighted-half'));
  });

  it('refuses models of two tokenizers, and rows longer than the model takes', async () => {
    const other = join(folder, 'other-tokenizer');
    cpSync(inputs.current, other, { recursive: true });
    const file = join(other, 'tokenizer.json');
    const tokenizer = JSON.parse(readFileSync(file, 'utf8'));
    tokenizer.model.merges.pop();
    writeFileSync(file, JSON.stringify(tokenizer));
    await expect(score({ current: other })).rejects.toMatchObject({
      code: 'tokenizers-differ',
      reach: 'usage',
    });
    await expect(score({ sequence: { length: 4096 } })).rejects.toMatchObject({ code: 'sequence-too-long' });
  });

  it('packing and attention agree where they should: a document alone is a document within its row', async () => {
    const model = join(folder, 'random-llama');
    writeRandomCheckpoint(model, {
      architecture: 'LlamaForCausalLM',
      seed: 5,
      overrides: { vocab_size: 512, max_position_embeddings: 8192 },
    });
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      cpSync(join(inputs.reference, name), join(model, name));
    const losses = async (sequence: Settings['sequence']): Promise<Map<string, number>> => {
      const common = { reference: model, current: undefined, corpus: { limit: 3, part_bytes: 1 << 20 } };
      const { folder: scored } = await score({ ...common, sequence });
      const found = new Map<string, number>();
      let shard = 0;
      for (const { offsets, columns, segments, sequenceIds } of await readAll(scored)) {
        if (sequenceIds[0] === 0n) shard++;
        for (let row = 0; row < sequenceIds.length; row++) {
          for (let s = segments.offsets[row] ?? 0; s < (segments.offsets[row + 1] ?? 0); s++) {
            const start = (offsets[row] ?? 0) + (segments.tokenStart[s] ?? 0);
            for (let i = 0; i < (segments.tokenCount[s] ?? 0); i++) {
              const loss = columns.reference_loss?.[start + i];
              if (loss !== undefined && !Number.isNaN(loss))
                found.set(`${shard} ${segments.document[s]} ${i}`, loss);
            }
          }
        }
      }
      return found;
    };
    // Rows long enough that no document is cut.
    const alone = await losses({ length: 4096, packing: 'document' });
    const within = await losses({ length: 4096, packing: 'packed', attention: 'within' });
    const across = await losses({ length: 4096, packing: 'packed', attention: 'across' });
    expect(alone.size).toBeGreaterThan(1000);
    let compared = 0;
    let different = 0;
    for (const [key, loss] of alone) {
      const other = within.get(key);
      if (other === undefined) continue;
      compared++;
      expect(Math.abs(other - loss), key).toBeLessThan(2e-5);
      if (Math.abs((across.get(key) ?? Number.NaN) - loss) > 1e-3) different++;
    }
    expect(compared).toBeGreaterThan(0.5 * alone.size);
    // Across, a document sees the ones before it: most losses must differ, or the test compares nothing.
    expect(different).toBeGreaterThan(0.5 * compared);
  });

  it('a broken shard is set aside alone', async () => {
    const corpus = join(folder, 'partly-broken');
    await manySmallParts(corpus);
    mkdirSync(join(corpus, 'c'), { recursive: true });
    writeFileSync(join(corpus, 'c/broken.parquet'), 'PAR1 this is not parquet');
    const out = join(folder, 'broken-run');
    const { code, stdout, stderr } = await runCli([
      ...['score', '--shards', join(corpus, '**/*.parquet'), '--reference', inputs.reference, '--out', out],
      ...['--sequence-length', '128', '--device', 'cpu', '--cache', join(folder, 'cache'), '--log', 'json'],
    ]);
    expect(code, stderr).toBe(3);
    expect(stdout).toContain('c/broken.parquet');
    expect((await verifyFolder(storage, out)).findings).toEqual([]);
  });

  it('a full disk ends the run in one clear line, with whole files alone under final names', async (ctx) => {
    const disk = join(folder, 'small-disk');
    mkdirSync(disk, { recursive: true });
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', disk]);
    if (mounted.status !== 0) ctx.skip('mounting a tmpfs needs root');
    try {
      const args = [
        'score',
        '--shards',
        shards,
        '--reference',
        inputs.reference,
        '--current',
        inputs.current,
      ];
      const settings = [
        '--sequence-length',
        '128',
        '--part-bytes',
        '8192',
        '--device',
        'cpu',
        '--log',
        'json',
      ];
      const run = await runCli([
        ...args,
        ...settings,
        '--out',
        join(disk, 'out'),
        '--cache',
        join(folder, 'cache'),
      ]);
      expect(run.code).toBe(1);
      const message = run.stderr.trim().split('\n').at(-1) ?? '';
      expect(message).toMatch(/^tokensieve: .*(no space|full)/i);
      const left = filesBelow(disk);
      expect(left.length).toBeGreaterThan(0);
      for (const path of left.filter((name) => /\/\d{5}\.arrow$/.test(name))) {
        expect((await readSequences(storage, path)).batchCount).toBeGreaterThan(0);
      }
      expect(left.filter((path) => path.includes('staging'))).toEqual([]);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('two processes on one folder leave the bytes of one', async () => {
    const alone = digestFolder((await score()).out);
    const out = join(folder, 'shared-out');
    const args = [
      ...[
        'score',
        '--shards',
        shards,
        '--reference',
        inputs.reference,
        '--current',
        inputs.current,
        '--out',
        out,
      ],
      ...['--sequence-length', '128', '--batch-tokens', '1024', '--part-bytes', '8192', '--device', 'cpu'],
      ...['--cache', join(folder, 'cache'), '--log', 'json', '--threads', '1'],
    ];
    const both = await Promise.all([runCli(args), runCli(args)]);
    expect(both.map(({ code }) => code)).toEqual([3, 3]);
    expect(digestFolder(out)).toEqual(alone);
  });
});
