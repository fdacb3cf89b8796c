/** When to stop: a loss or a gradient that is no number, a loss that has exploded, or a loss scale that has fallen to its least. */
import { fatalError, type TokensieveError } from '../errors.js';
import type { RowOrigin, StepBatch } from './batch.js';
import { SCALING } from './graph/step-settings.js';
import type { StepMetrics } from './step-metrics.js';

/** Rows named in the message. */
const NAMED = 3;

const where = ({ shard, part, sequenceId, documents: [first, last] }: RowOrigin): string =>
  `${shard} part ${part} row ${sequenceId} (documents ${first} to ${last})`;

/** The error for a step that went wrong, or null. `lastGood` is the newest checkpoint's folder. */
export function divergence(
  metrics: Pick<StepMetrics, 'step' | 'loss_selected' | 'gradient_norm' | 'loss_scale'>,
  batch: StepBatch,
  maxLoss: number,
  lastGood: string | null,
): TokensieveError | null {
  const { step, loss_selected: loss, gradient_norm: norm, loss_scale: scale = 1 } = metrics;
  // A step that kept nothing has neither.
  if (loss === null) return null;
  const found = !Number.isFinite(loss)
    ? `a loss of ${loss}`
    : norm !== null && !Number.isFinite(norm)
      ? `a gradient of norm ${norm}`
      : loss > maxLoss
        ? `a loss of ${loss.toFixed(2)} nats, above ${maxLoss}`
        : norm === null && scale / 2 <= SCALING.min
          ? `a gradient that is not finite, with the loss scale down to its least, ${SCALING.min}`
          : null;
  if (found === null) return null;
  const advice =
    norm === null
      ? 'train in bf16 or fp32 (--precision), or lower the learning rate'
      : 'lower the learning rate, or raise the warm-up';
  const rows = batch.origins.slice(0, NAMED).map(where).join('; ');
  const more = batch.origins.length > NAMED ? ` and ${batch.origins.length - NAMED} more rows` : '';
  const resume =
    lastGood === null ? 'no checkpoint was written yet' : `the last good checkpoint is ${lastGood}`;
  return fatalError(
    'diverged',
    `step ${step}: ${found}; its batch is ${rows}${more}; ${resume}: ${advice}, and start again`,
  );
}
