import { usageError } from '../errors.js';

/** How weights become what a format takes. */
export interface WeightRules {
  /** Weights of at least this are 1, all others 0. */
  readonly threshold: number | null;
  /** Why the format has no room for fractions; null where it has. */
  readonly bitsOnly: string | null;
}

/**
 * The weights under the rules: themselves, or ones and zeros in memory of their own.
 * @returns the index of the first fraction where only bits are taken and no threshold says what becomes of it
 */
export function applyRules(
  weights: Float32Array,
  { threshold, bitsOnly }: WeightRules,
): { readonly weights: Float32Array } | { readonly fraction: number } {
  if (threshold !== null) return { weights: weights.map((weight) => (weight >= threshold ? 1 : 0)) };
  if (bitsOnly === null) return { weights };
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (weight !== 0 && weight !== 1) return { fraction: i };
  }
  return { weights };
}

export const fractionError = (where: string, weight: number | null, reason: string) =>
  usageError(
    'fractional-weights',
    `${where}: ${weight === null ? 'its weights are fractions' : `the weight is ${weight}`}, and ${reason}; say with --threshold T that weights of at least T are 1 and all others 0, select with a method that keeps or drops, or export to hf, parquet, nanogpt or megatron with weights`,
  );
