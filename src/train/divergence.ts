/** When to stop: a loss or a gradient that is no number, or a loss that has exploded. */
import { fatalError, type TokensieveError } from '../errors.js';
import type { RowOrigin, StepBatch } from './batch.js';
import type { StepMetrics } from './step-metrics.js';

/** Rows named in the message. */
const NAMED = 3;

const where = ({ shard, part, sequenceId, documents: [first, last] }: RowOrigin): string =>
  `${shard} part ${part} row ${sequenceId} (documents ${first} to ${last})`;

/** The error for a step that went wrong, or null. `lastGood` is the newest checkpoint's folder. */
export function divergence(
  metrics: Pick<StepMetrics, 'step' | 'loss_selected' | 'gradient_norm'>,
  batch: StepBatch,
  maxLoss: number,
  lastGood: string | null,
): TokensieveError | null {
  const { step, loss_selected: loss, gradient_norm: norm } = metrics;
  const found = !Number.isFinite(loss)
    ? `a loss of ${loss}`
    : !Number.isFinite(norm)
      ? `a gradient of norm ${norm}`
      : loss > maxLoss
        ? `a loss of ${loss.toFixed(2)} nats, above ${maxLoss}`
        : null;
  if (found === null) return null;
  const rows = batch.origins.slice(0, NAMED).map(where).join('; ');
  const more = batch.origins.length > NAMED ? ` and ${batch.origins.length - NAMED} more rows` : '';
  const resume =
    lastGood === null ? 'no checkpoint was written yet' : `the last good checkpoint is ${lastGood}`;
  return fatalError(
    'diverged',
    `step ${step}: ${found}; its batch is ${rows}${more}; ${resume}: lower the learning rate, or raise the warm-up, and start again`,
  );
}
