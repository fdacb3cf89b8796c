/**
 * Steps that keep no token: there is nothing to learn from, so nothing moves, neither weights nor moments nor the count of steps
 * that AdamW corrects its moments by. Without this they would be shrunk by the decay and pushed on by what the moments hold.
 */
import type { StepBatch } from './batch.js';
import type { Objective } from './graph/step-settings.js';
import type { StepMetrics } from './step-metrics.js';

/**
 * Whether no token of a step has a weight above 0. Live selection keeps one of every group that has a target, so that only
 * a step without a target keeps nothing; as with CLM.
 */
export function isEmptyStep({ eligible, weight }: StepBatch, objective: Objective): boolean {
  const counted = objective.kind === 'frozen' ? (weight ?? eligible) : eligible;
  return !counted.some((value) => value > 0);
}

/** The record of such a step: no loss was computed. */
export const emptyRecord = (
  { eligible }: StepBatch,
  rest: Pick<StepMetrics, 'step' | 'tokens' | 'learning_rate'>,
): StepMetrics => ({
  ...rest,
  loss: null,
  loss_selected: null,
  loss_unselected: null,
  eligible: targetsIn(eligible),
  kept: 0,
  gradient_norm: null,
  seconds: 0,
  tokens_per_second: 0,
});

export const targetsIn = (eligible: Float32Array): number =>
  eligible.reduce((sum, value) => sum + (value > 0 ? 1 : 0), 0);

/** Where a checkpoint's state has the steps so far that kept nothing; absent where there was none. */
const ENTRY = 'empty_steps';

export const emptyEntry = (empty: number): Readonly<Record<string, unknown>> =>
  empty === 0 ? {} : { [ENTRY]: empty };

/** @returns undefined where what the state has is no count of its steps */
export function emptySteps({
  extra,
  step,
}: {
  readonly extra: Readonly<Record<string, unknown>>;
  readonly step: number;
}): number | undefined {
  const found = extra[ENTRY] ?? 0;
  return typeof found === 'number' && Number.isInteger(found) && found >= 0 && found <= step
    ? found
    : undefined;
}
