/** Absolute differences between two runs' values of one column. */
export interface Difference {
  /** Pairs of values compared. */
  readonly count: number;
  /** Values that one run only has (the other has NaN). */
  readonly unpaired: number;
  readonly max: number;
  readonly mean: number;
  /** 99.9 % of the differences are at most this: exact to 1/128 of itself, rounded up. */
  readonly p999: number;
}

export interface DifferenceCounter {
  /** Adds pairs of values; both arrays have one length. */
  add(a: Float32Array, b: Float32Array): void;
  result(): Difference;
}

/**
 * Counts differences by the upper half of their fp32 bits, which order as the numbers do: 2^15 counters give
 * any quantile to 7 bits in one pass, whatever the range.
 */
export function createDifference(): DifferenceCounter {
  const counts = new Float64Array(1 << 15);
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  let count = 0;
  let unpaired = 0;
  let sum = 0;
  let max = 0;

  const quantile = (share: number): number => {
    const wanted = Math.ceil(share * count);
    let seen = 0;
    for (let bin = 0; bin < counts.length; bin++) {
      seen += counts[bin] as number;
      if (seen < wanted) continue;
      bits[0] = (bin << 16) | 0xffff;
      return Math.min(max, value[0] as number);
    }
    return max;
  };

  return {
    add(a, b) {
      let [localSum, localMax] = [sum, max]; // numbers captured by a closure are boxed at every change
      for (let i = 0; i < a.length; i++) {
        const difference = Math.abs((a[i] as number) - (b[i] as number));
        if (Number.isNaN(difference)) {
          if (Number.isNaN(a[i]) !== Number.isNaN(b[i])) unpaired++;
          continue;
        }
        count++;
        localSum += difference;
        if (difference > localMax) localMax = difference;
        value[0] = difference;
        const bin = (bits[0] as number) >>> 16;
        counts[bin] = (counts[bin] as number) + 1;
      }
      sum = localSum;
      max = localMax;
    },
    result: () => ({
      count,
      unpaired,
      max,
      mean: count === 0 ? 0 : sum / count,
      p999: count === 0 ? 0 : quantile(0.999),
    }),
  };
}
