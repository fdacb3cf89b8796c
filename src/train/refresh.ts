/** Refreshed selection: the steps ahead are ranked by the weights of now, then trained on as they were ranked. */
import type { StepBatch } from './batch.js';
import type { RankingRule } from './graph/ranking.js';
import { rankTokens } from './rank.js';
import type { TrainSettings } from './settings.js';

export interface RefreshShape {
  readonly rows: number;
  readonly accumulate: number;
  readonly length: number;
}

/** Losses of rows [from, from + B) of a batch, [B · (T − 1)]. */
export type LossesOf = (batch: StepBatch, from: number) => Promise<Float32Array>;

/** Steps between two rankings: `refresh_tokens` in whole steps, at least one. */
export const stepsPerRefresh = (tokens: number, { rows, accumulate, length }: RefreshShape): number =>
  Math.max(1, Math.round(tokens / (rows * accumulate * (length - 1))));

/**
 * The batch with weights ranked by `losses` − reference loss, within a row, a micro-batch or the step.
 */
export async function rankBatch(
  batch: StepBatch,
  shape: RefreshShape,
  scope: TrainSettings['loss']['scope'],
  rule: RankingRule,
  lossesOf: LossesOf,
): Promise<StepBatch> {
  const { rows, accumulate, length } = shape;
  const scores = new Float32Array(batch.ids.length);
  for (let micro = 0; micro < accumulate; micro++) {
    const losses = await lossesOf(batch, micro * rows);
    for (let row = 0; row < rows; row++) {
      for (let t = 1; t < length; t++) {
        const at = (micro * rows + row) * length + t;
        const loss = losses[row * (length - 1) + t - 1] ?? Number.NaN;
        scores[at] = loss - (batch.referenceLoss?.[at] ?? Number.NaN);
      }
    }
  }
  const groupRows = { sequence: 1, microbatch: rows, step: rows * accumulate }[scope];
  return { ...batch, weight: rankTokens(scores, batch.eligible, groupRows * length, rule) };
}
