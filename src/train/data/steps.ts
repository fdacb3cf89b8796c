import type { DataDescription, SourceDescription } from '../batch.js';
import type { TrainSettings } from '../settings.js';

/**
 * Steps of a run. `tokens` are targets, as metrics count them, at the sources' mean number a row; `epochs` are of the
 * source that ends last. Both are rounded up to whole steps.
 */
export function stepsOf(
  { rows, accumulate, steps, tokens, epochs = 1 }: TrainSettings['batch'],
  { sources }: Pick<DataDescription, 'sources'>,
): number {
  if (steps !== undefined) return steps;
  const whole = sources.reduce((sum, { ratio }) => sum + ratio, 0);
  const share = ({ ratio }: SourceDescription): number => ratio / whole;
  const rowsWanted =
    tokens !== undefined
      ? tokens / sources.reduce((sum, source) => sum + (share(source) * source.targets) / source.rows, 0)
      : Math.max(...sources.map((source) => (epochs * source.rows) / share(source)));
  // A share such as 1/3 must not cost a step by its last bit.
  return Math.max(1, Math.ceil((rowsWanted / (rows * accumulate)) * (1 - 2 ** -50)));
}
