import { inBlocks } from '../../numbers/blocks.js';
import { COARSE_BINS, keyOfSigned, scoreOfKey, signedBitsOf } from '../radix.js';

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
  /** What another tally has counted, perhaps in another thread. */
  addSums(sums: ExcessSums): void;
  sums(): ExcessSums;
  /** null before the first token with both losses. */
  figures(): ExcessFigures | null;
}

/** A tally as plain data. */
export interface ExcessSums {
  /** [65,536] tokens by the upper 16 bits of their key. */
  readonly bins: Float64Array;
  /** Tokens, negative ones, sum and squares. */
  readonly sums: Float64Array;
  /** Weight, that on negative ones, lowest excess kept, least and most weight, 1 while all are 0 or 1. */
  readonly kept: Float64Array;
  readonly weighted: boolean;
}

const TAIL = 0.05;
/** Above every excess. */
const NEVER = 2 ** 200;

/** One pass, 512 KB whatever the number of tokens. */
export function createExcessTally(): ExcessTally {
  const bins = new Float64Array(COARSE_BINS);
  const sums = Float64Array.of(0, 0, 0, 0);
  const kept = Float64Array.of(
    0,
    0,
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    1,
  );
  let scratch: Float32Array = new Float32Array(0);
  let weighted = false;
  return {
    add(reference, current, weights) {
      const { length } = reference;
      if (scratch.length < length) scratch = new Float32Array(length);
      const excess = scratch.subarray(0, length);
      // The 0 takes the sign off a −0: further down, signs tell what is negative.
      for (let i = 0; i < length; i++) excess[i] = (current[i] as number) - (reference[i] as number) + 0;
      const patterns = signedBitsOf(excess);
      inBlocks(length, (from, to) => addExcess(excess, patterns, from, to, bins, sums));
      if (weights === undefined) return;
      weighted = true;
      inBlocks(length, (from, to) => addKept(excess, patterns, weights, from, to, kept));
    },
    addSums(other) {
      weighted ||= other.weighted;
      for (let bin = 0; bin < bins.length; bin++)
        bins[bin] = (bins[bin] as number) + (other.bins[bin] as number);
      for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (other.sums[i] as number);
      const at = (i: number): readonly [number, number] => [kept[i] as number, other.kept[i] as number];
      for (const i of [0, 1]) kept[i] = at(i)[0] + at(i)[1];
      for (const i of [2, 3, 5]) kept[i] = Math.min(...at(i));
      kept[4] = Math.max(...at(4));
    },
    sums: () => ({ bins, sums, kept, weighted }),
    figures() {
      const [tokens = 0, negative = 0, sum = 0, squares = 0] = sums;
      const [weight = 0, below = 0, lowest = 0, least = 0, most = 0, whole = 0] = kept;
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
              weight,
              negative: below,
              lowest: whole === 1 && weight > 0 ? lowest : null,
              uniform: least === most,
            }
          : null,
      };
    },
  };
}

/** Adds values [from, to) to the bins of their keys, and to tokens, negative ones, sum and squares. */
function addExcess(
  excess: Float32Array,
  patterns: Int32Array,
  from: number,
  to: number,
  bins: Float64Array,
  sums: Float64Array,
): void {
  let tokens = sums[0] as number;
  let negative = sums[1] as number;
  let sum = sums[2] as number;
  let squares = sums[3] as number;
  for (let i = from; i < to; i++) {
    const value = excess[i] as number;
    if (value - value !== 0) continue;
    tokens++;
    sum += value;
    squares += value * value;
    const pattern = patterns[i] as number;
    negative += pattern >>> 31;
    const bin = keyOfSigned(pattern) >>> 16;
    bins[bin] = (bins[bin] as number) + 1;
  }
  sums[0] = tokens;
  sums[1] = negative;
  sums[2] = sum;
  sums[3] = squares;
}

/** Adds weights [from, to) to their sum, that on negative ones, lowest excess kept, least and most weight, all 0 or 1. */
function addKept(
  excess: Float32Array,
  patterns: Int32Array,
  weights: Float32Array,
  from: number,
  to: number,
  kept: Float64Array,
): void {
  let weight = kept[0] as number;
  let below = kept[1] as number;
  let lowest = kept[2] as number;
  let least = kept[3] as number;
  let most = kept[4] as number;
  let whole = kept[5] as number;
  for (let i = from; i < to; i++) {
    const value = excess[i] as number;
    if (value - value !== 0) continue;
    const own = weights[i] as number;
    weight += own;
    if (own < least) least = own;
    if (own > most) most = own;
    // Numbers, not branches on what nothing could predict. Only 0 and 1 are their own squares; of these two weights, the
    // only ones for which the lowest is told, 0 gives what no excess is below.
    if (own * own !== own) whole = 0;
    const ifKept = value + (1 - own) * NEVER;
    if (ifKept < lowest) lowest = ifKept;
    below += own * ((patterns[i] as number) >>> 31);
  }
  kept[0] = weight;
  kept[1] = below;
  kept[2] = lowest;
  kept[3] = least;
  kept[4] = most;
  kept[5] = whole;
}

/** The middle of the bin that holds number `rank` of the values in ascending order. */
function quantile(bins: Float64Array, rank: number): number {
  let bin = 0;
  let seen = bins[0] as number;
  while (seen < rank && bin + 1 < COARSE_BINS) seen += bins[++bin] as number;
  return scoreOfKey(((bin << 16) | 0x8000) >>> 0);
}
