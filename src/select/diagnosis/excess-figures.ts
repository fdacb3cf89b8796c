import { bitsOf, COARSE_BINS, keyOfBits, scoreOfKey } from '../radix.js';

/** What the excess loss of some tokens says of the pair of models, and of what was kept by it. Nats. */
export interface ExcessFigures {
  /** Tokens with both losses, and how many of them have an excess below 0. */
  readonly tokens: number;
  readonly negative: number;
  readonly mean: number;
  /** Standard deviation. */
  readonly deviation: number;
  /** The excess below which 5% and 95% of the tokens lie, to 1/128 of itself; null where it was not measured. */
  readonly low: number | null;
  readonly high: number | null;
  readonly kept: KeptFigures | null;
}

/** The weights of the same tokens. */
export interface KeptFigures {
  /** Sum of the weights, and of those on tokens with an excess below 0. */
  readonly weight: number;
  readonly negative: number;
  /** Lowest excess kept; null where weights are not 0 and 1, or nothing is kept. */
  readonly lowest: number | null;
  /** Every token has one and the same weight: nothing was selected. */
  readonly uniform: boolean;
}

/** Figures while they are gathered. The order of the tokens matters to the last digit of the sums alone. */
export interface ExcessTally {
  /** [n] losses of tokens and their weights; a token without both losses is passed over. */
  add(reference: Float32Array, current: Float32Array, weights?: Float32Array): void;
  /** null before the first token with both losses. */
  figures(): ExcessFigures | null;
}

const TAIL = 0.05;

/** One pass, 512 KB whatever the number of tokens. */
export function createExcessTally(): ExcessTally {
  const bins = new Float64Array(COARSE_BINS);
  const scratch = new Float32Array(1);
  const bits = bitsOf(scratch);
  let total = { tokens: 0, negative: 0, sum: 0, squares: 0 };
  let kept = {
    weight: 0,
    negative: 0,
    lowest: Number.POSITIVE_INFINITY,
    least: Number.POSITIVE_INFINITY,
    most: Number.NEGATIVE_INFINITY,
    whole: true,
  };
  let weighted = false;
  return {
    add(reference, current, weights) {
      let { tokens, negative, sum, squares } = total; // locals: numbers captured by a closure are boxed at every change
      let { weight, negative: below, lowest, least, most, whole } = kept;
      weighted ||= weights !== undefined;
      for (let i = 0; i < reference.length; i++) {
        scratch[0] = (current[i] as number) - (reference[i] as number);
        const excess = scratch[0];
        if (!Number.isFinite(excess)) continue;
        tokens++;
        sum += excess;
        squares += excess * excess;
        if (excess < 0) negative++;
        const bin = keyOfBits(bits[0] as number) >>> 16;
        bins[bin] = (bins[bin] as number) + 1;
        if (weights === undefined) continue;
        const own = weights[i] as number;
        weight += own;
        if (own < least) least = own;
        if (own > most) most = own;
        if (own !== 0 && own !== 1) whole = false;
        if (own > 0 && excess < lowest) lowest = excess;
        if (excess < 0) below += own;
      }
      total = { tokens, negative, sum, squares };
      kept = { weight, negative: below, lowest, least, most, whole };
    },
    figures() {
      const { tokens, negative, sum, squares } = total;
      if (tokens === 0) return null;
      return {
        tokens,
        negative,
        mean: sum / tokens,
        deviation: Math.sqrt(Math.max(0, squares / tokens - (sum / tokens) ** 2)),
        low: quantile(bins, Math.max(1, Math.ceil(TAIL * tokens))),
        high: quantile(bins, Math.max(1, Math.ceil((1 - TAIL) * tokens))),
        kept: weighted
          ? {
              weight: kept.weight,
              negative: kept.negative,
              lowest: kept.whole && kept.weight > 0 ? kept.lowest : null,
              uniform: kept.least === kept.most,
            }
          : null,
      };
    },
  };
}

/** The middle of the bin that holds number `rank` of the values in ascending order. */
function quantile(bins: Float64Array, rank: number): number {
  let bin = 0;
  let seen = bins[0] as number;
  while (seen < rank && bin + 1 < COARSE_BINS) seen += bins[++bin] as number;
  return scoreOfKey(((bin << 16) | 0x8000) >>> 0);
}
