import type { DataDescription } from '../batch.js';
import type { TrainSettings } from '../settings.js';

/** Steps of a run: as asked for, or from tokens or epochs, in whole steps, rounded up. */
export function stepsOf(batch: TrainSettings['batch'], data: DataDescription): number {
  const rows = batch.rows * batch.accumulate;
  if (batch.steps !== undefined) return batch.steps;
  if (batch.tokens !== undefined) return Math.ceil(batch.tokens / (rows * (data.length - 1)));
  const all = data.sources.reduce((sum, source) => sum + source.rows, 0);
  return Math.ceil(((batch.epochs ?? 1) * all) / rows);
}
