/**
 * Which tokens of a file are targets. Nothing else says so: a selection and the check of values compare what each loss column says
 * against the others, and a manifest's count of targets is that of the values of the first column's histogram.
 */

import type { SequenceBatch } from './sequence-batch.js';
import { LOSS_COLUMNS } from './sequence-batch.js';

/**
 * [tokens] 1 for a target. The first loss column tells, being NaN where a token is none (all loss columns of a file agree); of
 * packed files, which have no loss, the weight, being 0 there. A weight of 0 beside losses is a target that was not kept. Without
 * any of these columns nothing is a target.
 */
export function targetsOf({ columns, inputIds }: Pick<SequenceBatch, 'columns' | 'inputIds'>): Uint8Array {
  const targets = new Uint8Array(inputIds.length);
  const name = LOSS_COLUMNS.find((column) => columns[column] !== undefined) ?? 'weight';
  const values = columns[name];
  if (values === undefined) return targets;
  for (let i = 0; i < targets.length; i++) {
    const value = values[i] as number;
    targets[i] = (name === 'weight' ? value > 0 : !Number.isNaN(value)) ? 1 : 0;
  }
  return targets;
}
