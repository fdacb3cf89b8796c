import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readDocuments } from '#tokensieve/dataset/documents.js';
import { readManifest } from '#tokensieve/dataset/manifest.js';
import { readSequences } from '#tokensieve/dataset/reader.js';
import type { SequenceBatch } from '#tokensieve/dataset/sequence-batch.js';
import { verifyFolder } from '#tokensieve/dataset/verify.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { type PackReport, packCorpus } from '#tokensieve/pack/pack-run.js';
import { type PackInput, parsePack } from '#tokensieve/pack/settings.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { digestFolder, filesBelow, runCli } from '../support/cli.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';

const storage = localStorage();
const folder = temporaryFolder();
let inputs: QuickstartInputs;
let shards: string;
let runs = 0;

beforeAll(async () => {
  inputs = await quickstartInputs(join(folder, 'inputs'));
  shards = await manySmallParts(join(folder, 'corpus'));
});

const options = (sink: (event: RunEvent) => void = () => undefined) => ({
  storage,
  sink,
  signal: new AbortController().signal,
  replace: false,
});

async function pack(
  changes: Partial<PackInput> = {},
  sink?: (event: RunEvent) => void,
): Promise<PackReport & { out: string }> {
  const settings = parsePack(
    {
      shards: [shards],
      out: join(folder, `run-${runs++}`),
      tokenizer: { path: inputs.reference },
      ...changes,
      corpus: { part_bytes: 8192, ...changes.corpus },
      sequence: { length: 128, ...changes.sequence },
    },
    'test',
  );
  return { ...(await packCorpus(settings, options(sink))), out: settings.out };
}

/** The batches of every part's sequence file, by its name below the folder. */
async function readParts(root: string): Promise<Map<string, SequenceBatch[]>> {
  const parts = new Map<string, SequenceBatch[]>();
  for (const path of filesBelow(root).filter((name) => /\/\d{5}\.arrow$/.test(name))) {
    const batches: SequenceBatch[] = [];
    for await (const batch of (await readSequences(storage, path)).batches()) batches.push(batch);
    parts.set(path.slice(root.length), batches);
  }
  return parts;
}

describe('a packing run', () => {
  it('writes the same bytes for 1 and 2 workers and after a resume, and verify finds them sound', async () => {
    const events: RunEvent[] = [];
    const first = await pack({ corpus: { keep: ['url'] } }, (event) => events.push(event));
    expect(first).toMatchObject({ shards: 3, documents: 88, quarantined: { 'null-text': 2 }, resumed: 0 });
    expect(await verifyFolder(storage, first.out)).toMatchObject({
      findings: [],
      manifests: first.parts,
      tokens: first.tokens,
    });
    const told = events.reduce((sum, event) => sum + (event.event === 'progress' ? event.text_bytes : 0), 0);
    expect(told).toBe(first.textBytes);

    const expected = digestFolder(first.out);
    const two = await pack({ corpus: { keep: ['url'] }, run: { workers: 2 } });
    expect(digestFolder(two.out)).toEqual(expected);

    const manifests = filesBelow(first.out).filter((path) => path.endsWith('.manifest.json'));
    for (const path of manifests.slice(0, 3)) rmSync(path);
    const again = await pack({ corpus: { keep: ['url'] }, out: first.out });
    expect(again).toMatchObject({ resumed: manifests.length - 3, tokens: first.tokens });
    expect(digestFolder(first.out)).toEqual(expected);
  });

  it('makes every token but the first of a part a target exactly once', async () => {
    // A BOS is no target, so the claim is about rows without one.
    const report = await pack({ sequence: { bos: false } });
    let parts = 0;
    for (const [name, batches] of await readParts(report.folder)) {
      const manifest = await readManifest(
        storage,
        join(report.folder, name.replace('.arrow', '.manifest.json')),
      );
      let stream = 0;
      let targets = 0;
      for (const { offsets, inputIds, columns } of batches) {
        for (let row = 0; row + 1 < offsets.length; row++) {
          const [start, end] = [offsets[row]!, offsets[row + 1]!];
          expect(Array.from(columns.weight!.subarray(start, end))).toEqual(
            Array.from({ length: end - start }, (_, i) => (i === 0 ? 0 : 1)),
          );
          // A row's first id stands at the end of the row before.
          if (stream === 0) stream = 1;
          stream += end - start - 1;
          targets += end - start - 1;
        }
        expect(inputIds.length).toBe(offsets.at(-1));
      }
      expect(targets).toBe(stream - 1);
      const documents = await documentTokens(join(report.folder, name));
      expect(stream).toBe(documents);
      expect(manifest.counts).toMatchObject({ eligible: targets, kept: targets, weight_sum: targets });
      parts++;
    }
    expect(parts).toBe(report.parts);
  });

  it.each([
    { packing: 'packed', attention: 'across' },
    { packing: 'packed', attention: 'within' },
    { packing: 'document', attention: 'across' },
  ] as const)('has the rows and targets of a scored run: $packing, $attention', async (rows) => {
    const corpus = { part_bytes: 8192, limit: 12 };
    const packed = await pack({ corpus, sequence: rows });
    const pipeline = parsePipeline(
      {
        shards: [shards],
        reference: inputs.reference,
        out: join(folder, `scored-${rows.packing}-${rows.attention}`),
        corpus,
        sequence: { length: 128, ...rows },
        score: { device: 'cpu', batch_tokens: 1024 },
        run: { cache: join(folder, 'cache'), threads: 1 },
      },
      'test',
    );
    const scored = await scoreCorpus(pipeline, options());
    expect(packed).toMatchObject({ tokens: scored.tokens, eligible: scored.eligible });
    const expected = await readParts(scored.folder);
    const found = await readParts(packed.folder);
    expect([...found.keys()]).toEqual([...expected.keys()]);
    for (const [name, batches] of found) {
      const others = expected.get(name)!;
      const ids = (some: SequenceBatch[]) => some.flatMap(({ inputIds }) => [...inputIds]);
      expect(ids(batches)).toEqual(ids(others));
      expect(batches.flatMap(({ columns }) => [...columns.weight!])).toEqual(
        others.flatMap(({ columns }) =>
          Array.from(columns.reference_loss!, (loss) => (Number.isNaN(loss) ? 0 : 1)),
        ),
      );
      expect(batches.map(({ segments }) => segments)).toEqual(others.map(({ segments }) => segments));
    }
  });

  it('never mixes two settings, and needs a tokenizer by name', async () => {
    const { out } = await pack({ corpus: { limit: 5 } });
    await expect(pack({ corpus: { limit: 5 }, out, sequence: { length: 64 } })).rejects.toMatchObject({
      code: 'stale-parts',
      message: expect.stringContaining('sequence.length: 128 → 64'),
    });
    expect(() => parsePack({ shards, out }, 'job')).toThrow(/^job: .*tokenizer: name a tokenizer\.json/);
    expect(() => parsePack({ shards: [shards], out, tokenizer: {} }, 'job')).toThrow(
      /^job: tokenizer\.path: name a tokenizer\.json/,
    );
  });

  it('is a command, and inspect tells its files', async () => {
    const out = join(folder, 'by-command');
    const args = ['pack', '--shards', shards, '--tokenizer', inputs.reference, '--out', out, '--limit', '5'];
    const { code, stdout, stderr } = await runCli([...args, '--sequence-length', '64', '--log', 'none']);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^packed 15 documents, .* eligible\) in \d+ parts of 3 shards/);
    expect(stdout).toContain(`packed files: ${join(out, 'packed')}`);
    const look = (path: string) => inspect(path, { storage, cacheFolder: null });
    const file = filesBelow(out).find((path) => /\/\d{5}\.arrow$/.test(path))!;
    const { counts } = await readManifest(storage, file.replace('.arrow', '.manifest.json'));
    expect(await look(file)).toMatchObject({
      kind: 'packed',
      lossPrecision: null,
      tokens: counts.tokens,
      eligible: counts.eligible,
      conventions: { method: 'clm' },
    });
    expect(await look(out)).toMatchObject({ kind: 'run', groups: [{ of: 'packed', documents: 15 }] });
  });
});

async function documentTokens(sequences: string): Promise<number> {
  const file = await readDocuments(storage, sequences.replace('.arrow', '.documents.arrow'));
  let tokens = 0;
  for await (const batch of file.batches()) for (const document of batch) tokens += document.tokens;
  return tokens;
}
