import { fatalError } from '../errors.js';
import { inBlocks } from '../numbers/blocks.js';

/**
 * Counts of values in bins of one fixed layout, so that histograms of any parts can be added.
 * Bin i holds values in [lower + i·width, lower + (i + 1)·width). NaN is not a value and not counted.
 */
export interface Histogram {
  readonly lower: number;
  readonly width: number;
  readonly bins: readonly number[];
  /** Values below the first bin and from the end of the last one on. */
  readonly below: number;
  readonly above: number;
  readonly count: number;
  /** fp64, added in file order. */
  readonly sum: number;
  /** null when there is no value. */
  readonly min: number | null;
  readonly max: number | null;
}

/** `width` is a power of two and `lower` a multiple of it, so that binning is exact. */
export interface HistogramLayout {
  readonly lower: number;
  readonly width: number;
  readonly bins: number;
}

/** Losses and entropies: 256 bins of 1/8 nat over [0, 32). */
export const LOSS_LAYOUT: HistogramLayout = { lower: 0, width: 0.125, bins: 256 };
/** Excess losses: 256 bins of 1/8 nat over [−16, 16). */
export const EXCESS_LAYOUT: HistogramLayout = { lower: -16, width: 0.125, bins: 256 };

export interface HistogramAccumulator {
  /** Adds [n] values in order. The result does not depend on how they are cut into calls. */
  add(values: Float32Array): void;
  result(): Histogram;
}

export function createHistogram(layout: HistogramLayout): HistogramAccumulator {
  const { lower, width } = layout;
  const bins = new Float64Array(layout.bins + 2); // below, the bins, above
  const counted = new Int32Array(bins.length); // the same of one call: whole numbers count faster
  const last = layout.bins + 1;
  const moments = Float64Array.of(0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY); // sum, min, max
  return {
    add(values) {
      counted.fill(0);
      inBlocks(values.length, (from, to) => addRange(values, from, to, layout, counted, moments));
      for (let slot = 0; slot <= last; slot++)
        bins[slot] = (bins[slot] as number) + (counted[slot] as number);
    },
    result() {
      const count = bins.reduce((sum, n) => sum + n, 0);
      const [sum = 0, min = 0, max = 0] = moments;
      return {
        lower,
        width,
        bins: Array.from(bins.subarray(1, last)),
        below: bins[0] ?? 0,
        above: bins[last] ?? 0,
        count,
        sum,
        min: count === 0 ? null : min,
        max: count === 0 ? null : max,
      };
    },
  };
}

/** Adds values [from, to): to `bins`, the first and last of which have what is below and above, and to sum, min and max. */
function addRange(
  values: Float32Array,
  from: number,
  to: number,
  layout: HistogramLayout,
  bins: Int32Array,
  moments: Float64Array,
): void {
  const scale = 1 / layout.width;
  const first = (layout.lower * scale) | 0;
  const end = (first + layout.bins) | 0;
  const last = (layout.bins + 1) | 0;
  let sum = moments[0] as number;
  let min = moments[1] as number;
  let max = moments[2] as number;
  for (let i = from; i < to; i++) {
    const value = values[i] as number;
    if (Number.isNaN(value)) continue;
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
    // In this order every step is exact: subtracting first would round values next to a bin's edge.
    const place = value * scale;
    const slot = place >= first ? (place < end ? ((Math.floor(place) | 0) - first + 1) | 0 : last) : 0;
    bins[slot] = ((bins[slot] as number) + 1) | 0;
  }
  moments[0] = sum;
  moments[1] = min;
  moments[2] = max;
}

/**
 * The histogram of all the values together. Sums are added in the order of the list: give parts in the order
 * of (shard, part) for one result everywhere. Throws a fatal error when layouts differ or the list is empty.
 */
export function mergeHistograms(histograms: readonly Histogram[]): Histogram {
  const first = histograms[0];
  if (first === undefined)
    throw fatalError('histogram-merge', 'no histogram to merge; expected at least one');
  return histograms.slice(1).reduce(addHistograms, first);
}

function addHistograms(a: Histogram, b: Histogram): Histogram {
  if (a.lower !== b.lower || a.width !== b.width || a.bins.length !== b.bins.length) {
    const layout = (h: Histogram) => `${h.bins.length} bins of ${h.width} from ${h.lower}`;
    throw fatalError(
      'histogram-merge',
      `histograms to merge have ${layout(a)} and ${layout(b)}; expected one layout`,
    );
  }
  return {
    lower: a.lower,
    width: a.width,
    bins: a.bins.map((n, i) => n + (b.bins[i] ?? 0)),
    below: a.below + b.below,
    above: a.above + b.above,
    count: a.count + b.count,
    sum: a.sum + b.sum,
    min: a.min === null || (b.min !== null && b.min < a.min) ? b.min : a.min,
    max: a.max === null || (b.max !== null && b.max > a.max) ? b.max : a.max,
  };
}
