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
    const token = firstBadLoss(values, first?.values ?? values);
    if (token < 0) continue;
    const value = values[token] as number;
    if (!Number.isFinite(value) && !Number.isNaN(value)) {
      return { column, token, reason: `${value}; expected a finite number of nats, or NaN` };
    }
    const reason = Number.isNaN(value)
      ? `NaN where ${first?.column} has a value; both have one or neither`
      : `${value} where ${first?.column} is NaN; both have a value or neither`;
    return { column, token, reason };
  }
  const weights = batch.columns.weight;
  const token = weights === undefined ? -1 : firstBadWeight(weights, first?.values);
  if (weights === undefined || token < 0) return undefined;
  const value = weights[token] as number;
  if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
    return { column: 'weight', token, reason: `${value}; expected a finite number of at least 0` };
  }
  return { column: 'weight', token, reason: `${value} where ${first?.column} is NaN; expected 0` };
}

/** The first value that is infinite, or a number where `other` has none or the other way round; −1 if there is none. */
function firstBadLoss(values: Float32Array, other: Float32Array): number {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const beside = other[i] as number;
    // Infinity − Infinity is no number, and neither is what has a NaN in it.
    if (value - value === 0 ? !Number.isNaN(beside) : Number.isNaN(value) && Number.isNaN(beside)) continue;
    return i;
  }
  return -1;
}

/** The first weight that is none, or not 0 where `losses` has none; −1 if there is none. */
function firstBadWeight(weights: Float32Array, losses: Float32Array | undefined): number {
  if (losses === undefined) {
    for (let i = 0; i < weights.length; i++) if (!isWeight(weights[i] as number)) return i;
    return -1;
  }
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (!isWeight(weight) || (Number.isNaN(losses[i] as number) && weight !== 0)) return i;
  }
  return -1;
}

const isWeight = (value: number): boolean => value >= 0 && value < Number.POSITIVE_INFINITY;

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
