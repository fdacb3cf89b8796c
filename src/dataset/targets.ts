/** Which tokens are targets: the one place that says so for files. */
import { LOSS_COLUMNS } from './schema.js';
import type { SequenceBatch, TokenColumn } from './sequence-batch.js';

/**
 * The column that tells targets: the first loss column, which is NaN where a token is none (all loss columns of a file agree);
 * of packed files, which have no loss, the weight.
 */
export const targetColumnOf = (columns: readonly TokenColumn[]): TokenColumn =>
  LOSS_COLUMNS.find((name) => columns.includes(name)) ?? 'weight';

/**
 * [tokens] 1 for a target: a token with a loss, or in a packed file with a weight above 0. A weight of 0 beside losses is a
 * target that was not kept. Without any column nothing is a target.
 */
export function targetsOf({ columns, inputIds }: Pick<SequenceBatch, 'columns' | 'inputIds'>): Uint8Array {
  const targets = new Uint8Array(inputIds.length);
  const name = targetColumnOf(Object.keys(columns) as TokenColumn[]);
  const values = columns[name];
  if (values === undefined) return targets;
  for (let i = 0; i < targets.length; i++) {
    const value = values[i] as number;
    targets[i] = (name === 'weight' ? value > 0 : !Number.isNaN(value)) ? 1 : 0;
  }
  return targets;
}
