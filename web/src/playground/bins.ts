export interface Bins {
  /** Scores [low, high] are covered; what lies outside counts in the first and the last bin. */
  readonly low: number;
  readonly high: number;
  /** Index of each token's bin, -1 where it is not eligible. [tokens] */
  readonly binOf: Int16Array;
  /** Tokens in each bin. [bins] */
  readonly counts: Int32Array;
}

/** Share of the tokens at either end that may fall outside: a single odd token must not flatten the rest. */
const TAIL = 0.02;

/** A histogram of the eligible tokens' scores. Null when there is none. */
export function binScores(scores: Float32Array, eligible: Uint8Array, bins: number): Bins | null {
  const sorted = scores.filter((_, i) => eligible[i] === 1).sort();
  if (sorted.length === 0) return null;
  const tail = Math.floor(sorted.length * TAIL);
  const least = sorted[tail] ?? 0;
  const most = sorted[sorted.length - 1 - tail] ?? 0;
  const spread = most - least;
  const low = spread > 0 ? least : least - 0.5;
  const high = spread > 0 ? most : most + 0.5;
  const binOf = new Int16Array(scores.length).fill(-1);
  const counts = new Int32Array(bins);
  for (let i = 0; i < scores.length; i++) {
    if (eligible[i] !== 1) continue;
    const at = Math.floor((((scores[i] ?? 0) - low) / (high - low)) * bins);
    const bin = Math.min(bins - 1, Math.max(0, at));
    binOf[i] = bin;
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return { low, high, binOf, counts };
}

/** Kept tokens in each bin. [bins] */
export function keptInBins({ binOf, counts }: Bins, kept: Uint8Array): Int32Array {
  const inBin = new Int32Array(counts.length);
  for (let i = 0; i < kept.length; i++) {
    const bin = binOf[i] ?? -1;
    if (bin >= 0 && kept[i] === 1) inBin[bin] = (inBin[bin] ?? 0) + 1;
  }
  return inBin;
}

/** Up to about `wanted` round numbers within [low, high]. */
export function ticks(low: number, high: number, wanted: number): readonly number[] {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const found: number[] = [];
  // + 0 makes a plain zero of −0.
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(n * step + 0);
  return found;
}
