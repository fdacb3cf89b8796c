import { join } from 'node:path';
import { auditRun as auditNumbers } from '#tokensieve/audit/audit-run.js';
import type { ReadingDocument } from '#tokensieve/audit/reading/reading-document.js';
import { type ReadingRequest, sampleDocuments } from '#tokensieve/audit/reading/sample.js';
import type { Audit } from '#tokensieve/audit/report.js';
import { auditSettings } from '#tokensieve/audit/settings.js';
import { expandShards } from '#tokensieve/corpus/expand.js';
import type { Shard } from '#tokensieve/corpus/shard.js';
import { type FinishedPart, readParts } from '#tokensieve/dataset/finished-parts.js';
import { MANIFEST_SUFFIX } from '#tokensieve/dataset/manifest.js';
import { scoredFolder, weightedFolder } from '#tokensieve/dataset/part-files.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
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

/** The audit's numbers of the run, and its documents to read, with the text of the shards unless told otherwise. */
export async function auditAndRead(
  run: AuditRun,
  changes: Partial<ReadingRequest> = {},
): Promise<{ audit: Audit; documents: readonly ReadingDocument[] }> {
  const settings = auditSettings.parse({ run: run.out, tokenizer: run.tokenizer });
  const signal = new AbortController().signal;
  const { audit } = await auditNumbers(settings, { storage, sink: () => undefined, signal });
  const tokenizer = await openTokenizer({ path: run.tokenizer, workers: 1 });
  try {
    const documents = await sampleDocuments({
      storage,
      parts: run.weighted,
      documentsFolder: scoredOf(run),
      shards: run.shards,
      tokenizer,
      tokenBytes: null,
      seed: 1,
      count: 12,
      ...audit.documents,
      ...changes,
    });
    return { audit, documents };
  } finally {
    await tokenizer.close();
  }
}
