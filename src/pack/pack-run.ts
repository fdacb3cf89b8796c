import { expandShards } from '../corpus/expand.js';
import { packedFolder } from '../dataset/part-files.js';
import type { PartsOptions } from '../parts/parts-job.js';
import { rulesOfNewRun } from '../rules/new-run.js';
import { toColumns } from '../sequence/columns.js';
import { openTokenizer } from '../tokenizer/open.js';
import type { RowStage } from './make-part.js';
import { packingConventions, packingRecipe } from './recipe.js';
import { type OpenRows, type PartsReport, type Rows, rowsJob, runRows } from './rows-job.js';
import type { PackSettings } from './settings.js';
import { tellTokenizer } from './tell-tokenizer.js';

export type PackReport = PartsReport;

/**
 * Packs a corpus into token files for training on every token: a scoring run without a model. The same parts, rows
 * and targets as scoring these shards gives; a target's weight is 1. Resumes as scoring does, and the files are the
 * same bytes for any number of workers.
 * @throws TokensieveError usage errors of the inputs; `stale-parts`, `shard-changed` and `folder-busy` (usage); fatal
 *   errors of the disk
 */
export async function packCorpus(settings: PackSettings, options: PartsOptions): Promise<PackReport> {
  return runRows(await openPacking(settings, options), options);
}

/**
 * A packing run, opened: its shards found, its tokenizer read.
 * @throws TokensieveError usage errors of the inputs
 */
export async function openPacking(
  settings: PackSettings,
  { storage, sink }: Pick<PartsOptions, 'storage' | 'sink'>,
): Promise<OpenRows> {
  const notes: string[] = [];
  const shards = await expandShards(storage, settings.shards, (note) => notes.push(note));
  const tokenizer = await openTokenizer({
    path: settings.tokenizer.path,
    engine: settings.run.tokenizer_engine,
    controlTokens: settings.tokenizer.control_tokens,
    bos: settings.sequence.bos,
    eos: settings.sequence.eos,
  });
  tellTokenizer(tokenizer, sink);
  const { sequence, corpus } = settings;
  const { versions, changes, before } = await rulesOfNewRun({
    tokenizer: settings.tokenizer.path,
    controlTokens: settings.tokenizer.control_tokens,
    sequence,
    marks: tokenizer,
    keep: corpus.keep,
    models: [],
  });
  const rows: Rows = {
    kind: 'packed',
    folder: packedFolder(settings.out),
    settings,
    shards,
    notes,
    tokenizer,
    recipe: packingRecipe(settings, tokenizer, versions, before),
    changes,
    conventions: packingConventions(settings, tokenizer),
    columns: ['weight'],
    lossPrecision: 'fp32',
    compression: settings.compression,
    workers: settings.run.workers,
    open: async () => packingStage,
  };
  return { rows, job: rowsJob(rows, storage), close: () => tokenizer.close() };
}

/** Rows as they are, with weight 1 where a token is a target. */
const packingStage: RowStage = {
  async *batches(sequences) {
    for await (const group of sequences) {
      if (group.length > 0) yield toColumns(group, { weight: (row) => group[row]?.eligible ?? [] });
    }
  },
  close: async () => undefined,
};
