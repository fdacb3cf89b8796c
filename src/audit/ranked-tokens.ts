import { type ByToken, isOwnId } from './by-token.js';

/** Tokens in each of the two lists. */
const LISTED = 30;
/** An id with fewer eligible tokens is in neither list. */
export const MINIMUM_TOKENS = 20;
/** Quantile of the normal distribution for 95% between the bounds. */
const Z = 1.96;
/** Tokens of the overall mean that a mean excess is shrunk by. */
const PRIOR_TOKENS = 20;

/**
 * Bounds of a share of which `kept` of `n` was seen, by Wilson's score interval: 3 of 3 is no proof of 100%.
 * @returns [lower, upper], both in [0, 1]
 */
export function wilson(kept: number, n: number): [number, number] {
  const p = kept / n;
  const middle = p + (Z * Z) / (2 * n);
  const spread = Z * Math.sqrt((p * (1 - p)) / n + (Z * Z) / (4 * n * n));
  const scale = 1 + (Z * Z) / n;
  return [Math.max(0, (middle - spread) / scale), Math.min(1, (middle + spread) / scale)];
}

export interface RankedTokens {
  readonly mostKept: number[];
  readonly mostDropped: number[];
}

/**
 * The ids most kept and most dropped. With weights: by the lower (upper) bound of the kept share, so that a rare
 * token must be kept (dropped) throughout to stand beside a frequent one. Without weights: by mean excess, shrunk
 * towards the overall mean as if 20 more tokens had it. Without an excess either there is nothing to rank by. Ties
 * go to the more frequent id, then to the smaller.
 */
export function rankTokens({ sums, size }: ByToken, by: 'kept' | 'excess' | null): RankedTokens {
  if (by === null) return { mostKept: [], mostDropped: [] };
  const ids: number[] = [];
  let [total, excess] = [0, 0];
  for (let id = 0; id < size(); id++) {
    total += sums.eligible(id);
    excess += sums.excess(id);
    if (isOwnId(id) && sums.eligible(id) >= MINIMUM_TOKENS) ids.push(id);
  }
  const mean = total === 0 ? 0 : excess / total;
  const shrunk = (id: number): number =>
    (sums.excess(id) + PRIOR_TOKENS * mean) / (sums.eligible(id) + PRIOR_TOKENS);
  const bound = (side: 0 | 1) => (id: number) => wilson(sums.kept(id), sums.eligible(id))[side];
  const order = (score: (id: number) => number): number[] => {
    const scores = new Map(ids.map((id) => [id, score(id)]));
    return [...ids]
      .sort(
        (a, b) => (scores.get(b) ?? 0) - (scores.get(a) ?? 0) || sums.eligible(b) - sums.eligible(a) || a - b,
      )
      .slice(0, LISTED);
  };
  const [low, high] = by === 'kept' ? [bound(0), bound(1)] : [shrunk, shrunk];
  return { mostKept: order(low), mostDropped: order((id) => -high(id)) };
}
