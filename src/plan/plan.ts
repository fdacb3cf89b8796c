import type { ShardPlan } from '../corpus/shard.js';
import { forwardFlops } from '../model/forward-flops.js';
import type { ModelInfo } from '../model/prepared-model.js';
import type { ModelRole } from '../score/role.js';

/** What a run would do and cost. Made from footers and sizes alone: nothing is read, scored or written. */
export interface CostPlan {
  readonly shards: number;
  /** Shards that could not be planned. */
  readonly brokenShards: number;
  /** Parts that are known; jsonl shards are counted by their size, since only reading tells. */
  readonly parts: number;
  readonly rows: number | null;
  readonly textBytes: number;
  readonly tokens: number;
  readonly bytesPerToken: number;
  /** Floating-point operations of one forward pass over the corpus, for each model. */
  readonly flops: Readonly<Partial<Record<ModelRole, number>>>;
  readonly totalFlops: number;
  /** Seconds of scoring at `flopsPerSecond`; null when no rate is known. */
  readonly seconds: number | null;
  /** Bytes of scored files, uncompressed. */
  readonly outputBytes: number;
  /**
   * Share of the whole bill, scoring and one training epoch of the current model together, that scoring takes.
   * A training step costs three forward passes (forward, and backward at twice that). `live`: the trainer makes
   * the current loss itself, so only the reference pass is scoring's.
   */
  readonly share: { readonly frozen: number | null; readonly live: number | null };
}

export interface CostInputs {
  readonly plans: readonly ShardPlan[];
  readonly brokenShards: number;
  readonly models: Readonly<Partial<Record<ModelRole, ModelInfo>>>;
  readonly sequenceLength: number;
  readonly partBytes: number;
  /** Measured on a sample of the corpus. */
  readonly bytesPerToken: number;
  readonly entropy: boolean;
  readonly lossBytes: 2 | 4;
  readonly flopsPerSecond: number | null;
}

/** Bytes of a token's id in a scored file. */
const ID_BYTES = 4;

export function planCost(inputs: CostInputs): CostPlan {
  const { plans, models, bytesPerToken } = inputs;
  const textBytes = plans.reduce((sum, plan) => sum + plan.textBytes, 0);
  const tokens = Math.round(textBytes / bytesPerToken);
  const flops: Partial<Record<ModelRole, number>> = {};
  for (const role of ['reference', 'current'] as const) {
    const info = models[role];
    if (info) flops[role] = tokens * forwardFlops(info, inputs.sequenceLength);
  }
  const totalFlops = (flops.reference ?? 0) + (flops.current ?? 0);
  const modelCount = Object.keys(flops).length;
  const training = flops.current === undefined ? null : 3 * flops.current;
  const shareOf = (scoring: number): number | null =>
    training === null ? null : scoring / (scoring + training);
  return {
    shards: plans.length,
    brokenShards: inputs.brokenShards,
    parts: plans.reduce(
      (sum, plan) => sum + (plan.parts?.length ?? Math.max(1, Math.ceil(plan.textBytes / inputs.partBytes))),
      0,
    ),
    rows: plans.some((plan) => plan.rows === null)
      ? null
      : plans.reduce((sum, plan) => sum + (plan.rows ?? 0), 0),
    textBytes,
    tokens,
    bytesPerToken,
    flops,
    totalFlops,
    seconds: inputs.flopsPerSecond === null ? null : totalFlops / inputs.flopsPerSecond,
    outputBytes: tokens * scoredBytes(modelCount, inputs.lossBytes, inputs.entropy),
    share: { frozen: shareOf(totalFlops), live: shareOf(flops.reference ?? 0) },
  };
}

/** Bytes a token of an uncompressed scored file: its id, and losses and entropies under each model. */
export const scoredBytes = (models: number, lossBytes: 2 | 4, entropy: boolean): number =>
  ID_BYTES + models * lossBytes * (entropy ? 2 : 1);
