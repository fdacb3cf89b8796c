import { join } from 'node:path';
import { parsePipeline } from '#tokensieve/config/load.js';
import { expandShards } from '#tokensieve/corpus/expand.js';
import type { Shard } from '#tokensieve/corpus/shard.js';
import { type FinishedPart, readParts } from '#tokensieve/dataset/finished-parts.js';
import { MANIFEST_SUFFIX } from '#tokensieve/dataset/manifest.js';
import { scoredFolder, weightedFolder } from '#tokensieve/dataset/part-files.js';
import { scoreCorpus } from '#tokensieve/run/score-run.js';
import { selectRun } from '#tokensieve/run/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { manySmallParts, quickstartInputs } from '../support/quickstart.js';

export const storage = localStorage();

export interface AuditRun {
  readonly out: string;
  /** A model's folder, which holds the tokenizer. */
  readonly tokenizer: string;
  /** Folder of the shards. */
  readonly corpus: string;
  readonly shards: readonly Shard[];
  readonly weighted: readonly FinishedPart[];
}

export interface AuditRunSettings {
  readonly packing?: 'packed' | 'document';
  /** Ids a row. */
  readonly length?: number;
}

export async function partsIn(folder: string): Promise<readonly FinishedPart[]> {
  const paths = (await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX));
  return readParts(storage, folder, paths);
}

/** A small corpus of three shards in many parts, scored by the two bigram models and selected from. */
export async function auditRun(folder: string, settings: AuditRunSettings = {}): Promise<AuditRun> {
  const { reference, current } = await quickstartInputs(join(folder, 'inputs'));
  const corpus = join(folder, 'corpus');
  const pattern = await manySmallParts(corpus);
  const out = join(folder, 'out');
  const options = {
    storage,
    sink: () => undefined,
    signal: new AbortController().signal,
    replace: false,
  };
  const pipeline = parsePipeline(
    {
      shards: [pattern],
      reference,
      current,
      out,
      corpus: { part_bytes: 20_000, keep: ['url'] },
      sequence: { length: settings.length ?? 128, packing: settings.packing ?? 'packed' },
      score: { device: 'cpu', batch_tokens: 1024 },
      run: { cache: join(folder, 'cache'), threads: 1 },
    },
    'test',
  );
  await scoreCorpus(pipeline, options);
  await selectRun(out, weightedFolder(out), selectionSettings.parse({ method: 'slm', keep: 0.6 }), options);
  return {
    out,
    tokenizer: reference,
    corpus,
    shards: await expandShards(storage, [pattern]),
    weighted: await partsIn(weightedFolder(out)),
  };
}

export const scoredOf = (run: AuditRun): string => scoredFolder(run.out);
