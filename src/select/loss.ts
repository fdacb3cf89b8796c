/**
 * Σ w·L / Σ w over the eligible tokens, or Σ w·L / (number of eligible tokens), in fp64 in order. NaN when the
 * divisor is 0. `losses` at ineligible tokens are not read. All arrays [tokens].
 */
export function selectiveLoss(
  weights: ArrayLike<number>,
  losses: ArrayLike<number>,
  eligible: ArrayLike<number>,
  normaliser: 'weights' | 'eligible',
): number {
  let sum = 0;
  let divisor = 0;
  for (let i = 0; i < losses.length; i++) {
    if (eligible[i] !== 1) continue;
    const weight = weights[i] ?? 0;
    // A weight of 0 leaves a token out; 0 · Infinity would not.
    if (weight !== 0) sum += weight * (losses[i] ?? Number.NaN);
    divisor += normaliser === 'weights' ? weight : 1;
  }
  return sum / divisor;
}
