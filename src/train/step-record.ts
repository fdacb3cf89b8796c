/** A step's row of the graph's metrics as the line that is kept. */
import { STEP_METRICS } from './graph/step.js';
import type { StepMetrics } from './step-metrics.js';

/** Sums of one step, by `STEP_METRICS`. */
type Sums = Readonly<Record<(typeof STEP_METRICS)[number], number>>;

export const sumsAt = (metrics: Float64Array, step: number): Sums =>
  Object.fromEntries(
    STEP_METRICS.map((name, index) => [name, metrics[step * STEP_METRICS.length + index] ?? Number.NaN]),
  ) as Record<(typeof STEP_METRICS)[number], number>;

/** Quotient, or `otherwise` where nothing was counted. */
const mean = <T>(sum: number, count: number, otherwise: T): number | T =>
  count > 0 ? sum / count : otherwise;

/**
 * @param divisor what the loss is divided by: Σ w or the number of eligible tokens
 * @param scaled whether steps may be skipped for a gradient that is not finite
 */
export function recordOf(
  sums: Sums,
  divisor: 'weight' | 'eligible',
  rest: Pick<StepMetrics, 'step' | 'tokens' | 'learning_rate' | 'seconds' | 'tokens_per_second'>,
  scaled = false,
): StepMetrics {
  const selected = mean(sums.weighted_loss, divisor === 'weight' ? sums.weight : sums.eligible, 0);
  const known = !Number.isNaN(sums.loss);
  return {
    step: rest.step,
    tokens: rest.tokens,
    // CLM's loss is the loss of all.
    loss: known ? mean(sums.loss, sums.eligible, null) : selected,
    loss_selected: selected,
    loss_unselected: known ? mean(sums.unselected_loss, sums.eligible - sums.kept, null) : null,
    eligible: sums.eligible,
    kept: sums.kept,
    gradient_norm: scaled && !Number.isFinite(sums.gradient_norm) ? null : sums.gradient_norm,
    learning_rate: rest.learning_rate,
    ...(scaled && { loss_scale: sums.loss_scale, skipped_steps: sums.skipped_steps }),
    seconds: rest.seconds,
    tokens_per_second: rest.tokens_per_second,
  };
}
