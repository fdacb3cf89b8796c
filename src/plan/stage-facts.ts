import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expandShards } from '../corpus/expand.js';
import { findSource } from '../dataset/source.js';
import { TokensieveError } from '../errors.js';
import { readConfiguration } from '../model/configuration.js';
import { planShards, readOptions } from '../pack/work.js';
import type { StagedPipeline } from '../pipeline/stages.js';
import { type RulesReport, rulesOfFolder } from '../rules/run-rules.js';
import { normalPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { openTokenizer } from '../tokenizer/open.js';
import { parametersOf } from '../train/graph/trainable-weights.js';
import { type PlanOptions, reckonedRate, sampleText } from './plan-run.js';
import { type PlannedRows, planStages, type StageCost, type StageFacts } from './plan-stages.js';

export interface StagedPlan {
  readonly stages: readonly (StageCost & { readonly seconds: number | null })[];
  /** Paths whose sizes the pipeline assumes, as their files are not there. */
  readonly assumed: readonly string[];
  /** Where the rate behind `seconds` comes from. */
  readonly rate: string;
  /** Of output folders of stages that hold parts already: which of their results changes of the rules since touch. */
  readonly rules: readonly { readonly stage: string; readonly report: RulesReport }[];
}

/** What the stages of a pipeline would cost. Reads what `gatherFacts` reads; trains, scores and writes nothing. */
export async function planStaged(
  staged: StagedPipeline,
  { storage, tflops }: PlanOptions,
): Promise<StagedPlan> {
  const facts = await gatherFacts(staged, storage);
  const { flopsPerSecond, rate } = await reckonedRate(tflops, 'cpu');
  const stages = planStages(staged.stages, facts).map((stage) => ({
    ...stage,
    seconds: stage.flops === null || flopsPerSecond === null ? null : stage.flops / flopsPerSecond,
  }));
  return { stages, assumed: facts.assumed, rate, rules: await rulesOfStages(staged, storage) };
}

async function rulesOfStages({ stages }: StagedPipeline, storage: Storage): Promise<StagedPlan['rules']> {
  const found: StagedPlan['rules'][number][] = [];
  for (const { kind, name, settings } of stages) {
    if (kind !== 'score' && kind !== 'pack') continue;
    const given = kind === 'score' ? { reference: settings.reference, current: settings.current } : {};
    const models = Object.entries(given).flatMap(([role, folder]) =>
      folder === undefined ? [] : [{ role, folder }],
    );
    const tokenizer = settings.tokenizer.path ?? models[0]?.folder ?? null;
    const report = await rulesOfFolder(storage, settings.out, { tokenizer, models });
    if (report !== null) found.push({ stage: name, report });
  }
  return found;
}

/** Sizes and where they come from: what files say, or else what the pipeline assumes. */
export interface GatheredFacts extends StageFacts {
  /** Paths whose sizes the pipeline assumes. */
  readonly assumed: readonly string[];
}

/**
 * Looks up what a plan of stages needs: configurations, footers, about 1 MiB of text for each corpus, manifests. What
 * is not there, or not yet, is taken from the pipeline's `assume`, or stays unknown.
 */
export async function gatherFacts(
  { stages, assume }: StagedPipeline,
  storage: Storage,
): Promise<GatheredFacts> {
  const parameters = new Map<string, number>();
  const tokens = new Map<string, number>();
  const rows = new Map<string, PlannedRows>();
  const assumed = new Set<string>();

  async function model(path: string | undefined): Promise<void> {
    if (path === undefined || parameters.has(normalPath(path))) return;
    const found = await orNull(() => countParameters(path));
    const size = found ?? assume.parameters[path];
    if (found === null && size !== undefined) assumed.add(path);
    if (size !== undefined) parameters.set(normalPath(path), size);
  }

  for (const stage of stages) {
    if (stage.kind === 'train') {
      const { start, config } = stage.settings.model;
      await model(start ?? config);
      for (const { path } of stage.settings.data.sources) {
        const found = await orNull(() => countRows(storage, path));
        if (found !== null) rows.set(normalPath(path), found);
      }
    }
    if (stage.kind === 'score') {
      await model(stage.settings.reference);
      await model(stage.settings.current);
    }
    if (stage.kind === 'score' || stage.kind === 'pack') {
      const { settings } = stage;
      const models = stage.kind === 'score' ? [stage.settings.reference, stage.settings.current] : [];
      const tokenizer = [settings.tokenizer.path, ...models].find((path) => path !== undefined);
      const found = await orNull(() => countTokens(storage, settings, tokenizer ?? ''));
      const [first = ''] = settings.shards;
      const size = found ?? assume.tokens[first];
      if (found === null && size !== undefined) assumed.add(first);
      if (size !== undefined) tokens.set(keyOf(settings.shards), size);
    }
  }
  return {
    parameters: (path) => parameters.get(normalPath(path)) ?? null,
    shardTokens: (shards) => tokens.get(keyOf(shards)) ?? null,
    rows: (folder) => rows.get(normalPath(folder)) ?? null,
    assumed: [...assumed],
  };
}

const keyOf = (shards: readonly string[]): string => JSON.stringify(shards);

/** What a file that is not there, or is no good, leaves unknown. Only this package's own errors are meant. */
async function orNull<T>(look: () => Promise<T>): Promise<T | null> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof TokensieveError) return null;
    throw error;
  }
}

/** Parameters by config.json alone. @param path a checkpoint folder or a config.json */
async function countParameters(path: string): Promise<number | null> {
  const file = path.endsWith('.json') ? path : join(path, 'config.json');
  if (!existsSync(file)) return null;
  const { decoder } = await readConfiguration(file);
  return parametersOf(decoder).reduce((sum, { length }) => sum + length, 0);
}

type CorpusSettings = Parameters<typeof sampleText>[2] & {
  readonly tokenizer: { readonly control_tokens: 'text' | 'special' };
  readonly sequence: { readonly bos?: boolean | undefined; readonly eos?: boolean | undefined };
};

/** Tokens of a corpus: those of a sample, by the share of all bytes that it is by the footers. */
async function countTokens(storage: Storage, settings: CorpusSettings, path: string): Promise<number> {
  const shards = await expandShards(storage, settings.shards);
  const { plans } = await planShards(storage, shards, readOptions(settings), settings.corpus.limit, () => {});
  const tokenizer = await openTokenizer({
    path,
    engine: 'auto',
    controlTokens: settings.tokenizer.control_tokens,
    bos: settings.sequence.bos,
    eos: settings.sequence.eos,
  });
  try {
    const { textBytes, footerBytes, tokens } = await sampleText(storage, plans, settings, tokenizer);
    const all = plans.reduce((sum, plan) => sum + plan.textBytes, 0);
    return Math.round((all / (footerBytes ?? textBytes)) * tokens);
  } finally {
    await tokenizer.close();
  }
}

/** Tokens of a folder of token files, by its manifests. */
async function countRows(storage: Storage, folder: string): Promise<PlannedRows> {
  const { parts, recipe } = await findSource(storage, folder);
  const tokens = parts.reduce((sum, part) => sum + part.tokens, 0);
  return { tokens, length: recipe.rows.sequence.length ?? null };
}
