import { fatalError } from '../errors.js';
import type { SequenceBatch, TokenColumn } from './sequence-batch.js';
import { LOSS_COLUMNS } from './sequence-batch.js';

/** A value that no sequence file may hold. */
export interface BadValue {
  readonly column: TokenColumn;
  /** Index over the batch's tokens. */
  readonly token: number;
  readonly reason: string;
}

const CANONICAL_NAN = 0x7fc00000;
const INFINITY_BITS = 0x7f800000;

/**
 * The first value that breaks the rules of sequence files: a loss or entropy is finite, or NaN in all of these
 * columns at once (the token is not eligible); a weight is finite, at least 0, and 0 where a loss is NaN.
 */
export function findBadValue(batch: SequenceBatch): BadValue | undefined {
  const losses = LOSS_COLUMNS.flatMap((column) => {
    const values = batch.columns[column];
    return values === undefined ? [] : [{ column, values }];
  });
  const first = losses[0];
  for (const { column, values } of losses) {
    for (let token = 0; token < values.length; token++) {
      const value = values[token] as number;
      if (value - value === 0) {
        if (first && first.values !== values && Number.isNaN(first.values[token])) {
          return {
            column,
            token,
            reason: `${value} where ${first.column} is NaN; both have a value or neither`,
          };
        }
      } else if (!Number.isNaN(value)) {
        return { column, token, reason: `${value}; expected a finite number of nats, or NaN` };
      } else if (first && first.values !== values && !Number.isNaN(first.values[token])) {
        return { column, token, reason: `NaN where ${first.column} has a value; both have one or neither` };
      }
    }
  }
  const weights = batch.columns.weight;
  for (let token = 0; weights !== undefined && token < weights.length; token++) {
    const value = weights[token] as number;
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
      return { column: 'weight', token, reason: `${value}; expected a finite number of at least 0` };
    }
    if (first && value !== 0 && Number.isNaN(first.values[token])) {
      return { column: 'weight', token, reason: `${value} where ${first.column} is NaN; expected 0` };
    }
  }
  return undefined;
}

/** `sequence_id` and position within the row of a token of the batch, for messages. */
export function whereIs(batch: SequenceBatch, token: number): string {
  const row = batch.offsets.findLastIndex((start) => start <= token);
  return `row ${batch.sequenceIds[row]}, position ${token - (batch.offsets[row] ?? 0)}`;
}

/** Throws a fatal error that names file, row and position of a value that must not be stored. */
export function checkTokenValues(batch: SequenceBatch, path: string): void {
  const bad = findBadValue(batch);
  if (bad === undefined) return;
  throw fatalError(
    'value-not-storable',
    `${path}: ${whereIs(batch, bad.token)}: ${bad.column} is ${bad.reason}; look at the model or method that gave it`,
  );
}

/**
 * Gives every NaN one bit pattern: processors make NaNs of either sign, and equal losses must be equal bytes.
 */
export function canonicalizeNaN(values: Float32Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    if (((bits[i] as number) & 0x7fffffff) > INFINITY_BITS) bits[i] = CANONICAL_NAN;
  }
}
