import type { SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { type RowValues, toColumns } from '../sequence/columns.js';
import type { ModelRole } from './role.js';
import type { ScoredSequence } from './scorer.js';

/** The token columns that scoring with these models gives, in file order. */
export function scoredColumns(roles: readonly ModelRole[], entropy: boolean): TokenColumn[] {
  const losses: TokenColumn[] = roles.map((role) => `${role}_loss` as const);
  return entropy ? [...losses, ...roles.map((role) => `${role}_entropy` as const)] : losses;
}

/** Scored sequences side by side, as the columns that the dataset room writes. */
export function toSequenceBatch(
  scored: readonly ScoredSequence[],
  roles: readonly ModelRole[],
  entropy: boolean,
): SequenceBatch {
  const columns: Partial<Record<TokenColumn, RowValues>> = {};
  for (const role of roles) {
    columns[`${role}_loss`] = (row) => scored[row]?.[role]?.loss ?? [];
    if (entropy) columns[`${role}_entropy`] = (row) => scored[row]?.[role]?.entropy ?? [];
  }
  return toColumns(
    scored.map(({ sequence }) => sequence),
    columns,
  );
}
