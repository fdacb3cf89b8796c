import { availableParallelism } from 'node:os';
import { expandShards } from '../corpus/expand.js';
import { readShard } from '../corpus/read-shard.js';
import type { ShardPlan } from '../corpus/shard.js';
import { chooseDevice } from '../device/device.js';
import { measureMatmulRate } from '../device/matmul-rate.js';
import { usageError } from '../errors.js';
import type { Device } from '../model/prepared-model.js';
import { planShards, readOptions } from '../pack/work.js';
import type { BrokenShard } from '../parts/parts-job.js';
import type { Pipeline } from '../pipeline/settings.js';
import { type RulesReport, type RunPlaces, rulesOfFolder } from '../rules/run-rules.js';
import { type ModelInputs, openModelInputs } from '../score/open-inputs.js';
import { infosOf } from '../score/score-run.js';
import type { Storage } from '../storage/storage.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { type CostPlan, planCost } from './plan.js';

/** Text tokenized to learn how many bytes a token takes. */
const SAMPLE_BYTES = 1 << 20;
/** Share of the matrix product's rate that whole models reach on the CPU (bench/LOG.md). */
const MODEL_SHARE = 0.75;

export interface RunPlan {
  readonly cost: CostPlan;
  readonly plans: readonly ShardPlan[];
  readonly broken: readonly BrokenShard[];
  readonly device: Device;
  readonly deviceWhy: string;
  /** Where the rate behind `cost.seconds` comes from. */
  readonly rate: string;
  /** Bytes of the models' weights, two a parameter. */
  readonly modelBytes: number;
  /** Of what lies in the output folder already: which of its results changes of the rules since touch; null without parts. */
  readonly rules: RulesReport | null;
}

export interface PlanOptions {
  readonly storage: Storage;
  /** Rate to reckon with, in TFLOP/s that the models really reach; measured on the CPU when absent. */
  readonly tflops?: number;
}

/**
 * What a run would do and cost. Reads footers and about 1 MiB of text for the bytes a token; scores and writes
 * nothing but graphs in the cache folder.
 * @throws TokensieveError as scoring would for its inputs; `nothing-to-plan` (usage) when no shard can be read
 */
export async function planRun(pipeline: Pipeline, { storage, tflops }: PlanOptions): Promise<RunPlan> {
  const shards = await expandShards(storage, pipeline.shards);
  const chosen = chooseDevice(pipeline.score.device);
  const inputs = await openModelInputs(pipeline, chosen.device);
  try {
    const { plans, broken } = await planShards(
      storage,
      shards,
      readOptions(pipeline),
      pipeline.corpus.limit,
      () => {},
    );
    const sample = await sampleText(storage, plans, pipeline, inputs.tokenizer);
    const bytesPerToken = sample.textBytes / sample.tokens;
    const { flopsPerSecond, rate } = await reckonedRate(tflops, chosen.device);
    const cost = planCost({
      plans,
      brokenShards: broken.length,
      models: infosOf(inputs),
      sequenceLength: pipeline.sequence.length,
      partBytes: pipeline.corpus.part_bytes,
      bytesPerToken,
      entropy: pipeline.score.entropy,
      lossBytes: pipeline.score.loss_precision === 'fp16' ? 2 : 4,
      flopsPerSecond,
    });
    return {
      cost,
      rules: await rulesOfFolder(storage, pipeline.out, placesOf(inputs)),
      plans,
      broken,
      device: chosen.device,
      deviceWhy: chosen.why,
      rate,
      modelBytes: Object.values(infosOf(inputs)).reduce((sum, { parameters }) => sum + 2 * parameters, 0),
    };
  } finally {
    await inputs.close();
  }
}

/** Where the pipeline has what a run that is not finished does not name. */
const placesOf = ({ tokenizerPath, models, roles }: ModelInputs): RunPlaces => ({
  tokenizer: tokenizerPath,
  models: roles.flatMap((role) => {
    const folder = models[role]?.info.folder;
    return folder === undefined ? [] : [{ role, folder }];
  }),
});

/** Operations a second to reckon with: as given, or measured on the CPU; null where neither can be. */
export async function reckonedRate(
  tflops: number | undefined,
  device: Device,
): Promise<{ readonly flopsPerSecond: number | null; readonly rate: string }> {
  if (tflops !== undefined) return { flopsPerSecond: tflops * 1e12, rate: `${tflops} TFLOP/s, as given` };
  if (device !== 'cpu') {
    return { flopsPerSecond: null, rate: 'unknown: name what the device reaches with --tflops' };
  }
  const matmul = await measureMatmulRate(availableParallelism());
  return {
    flopsPerSecond: matmul * MODEL_SHARE,
    rate: `${(matmul / 1e9).toFixed(0)} GFLOP/s matrix product measured here, of which models reach about ${MODEL_SHARE * 100}%`,
  };
}

export interface TextSample {
  readonly textBytes: number;
  /** BOS and EOS counted. */
  readonly tokens: number;
  /** What the footer says of the same rows, where a whole part was read: some writers misstate sizes. */
  readonly footerBytes: number | null;
}

/** Tokenizes the first documents of a corpus, about 1 MiB of text or one part. */
export async function sampleText(
  storage: Storage,
  plans: readonly ShardPlan[],
  pipeline: Pick<Pipeline, 'shards' | 'corpus' | 'sequence'>,
  tokenizer: Tokenizer,
): Promise<TextSample> {
  const extra = (tokenizer.bosId === null ? 0 : 1) + (tokenizer.eosId === null ? 0 : 1);
  for (const plan of plans) {
    const texts: string[] = [];
    let textBytes = 0;
    let footerBytes: number | null = null;
    reading: for await (const { rows } of readShard(
      storage,
      plan,
      readOptions(pipeline),
      (part) => part === 0,
    )) {
      for await (const row of rows) {
        if (row.kind !== 'document') continue;
        texts.push(row.text);
        textBytes += row.textBytes;
        if (textBytes >= SAMPLE_BYTES) break reading;
      }
      footerBytes = plan.parts?.[0]?.textBytes ?? null;
      break;
    }
    if (textBytes === 0) continue;
    const encodings = await tokenizer.encode(texts);
    const tokens = encodings.reduce((sum, { ids }) => sum + (ids.length === 0 ? 0 : ids.length + extra), 0);
    if (tokens > 0) return { textBytes, tokens, footerBytes };
  }
  throw usageError(
    'nothing-to-plan',
    `${pipeline.shards.join(', ')}: no usable document found; inspect one of the shards with tokensieve inspect`,
  );
}
