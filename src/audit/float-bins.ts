import type { EligibleTokens } from './eligible.js';
import { createGroupSums, type GroupSums, type Measured } from './group-sums.js';
import type { KeptBy } from './report.js';

/** Bins of a float32 by its upper 16 bits (sign, exponent, 7 bits of the mantissa), in the order of the numbers. */
const BINS = 1 << 16;

const value = new Float32Array(1);
const bits = new Uint32Array(value.buffer);
const floatOf = (pattern: number): number => {
  bits[0] = pattern;
  return value[0] as number;
};

const MINUS_ZERO = 0x8000_0000;

/**
 * Where a bin begins; it ends where the next one begins. Below the least normal number (1.2e-38) that is 0: a processor
 * on which a session of ONNX Runtime ran takes denormals for 0, another does not, and both give the same audit.
 */
const lowOf = (bin: number): number => {
  const pattern = bin >= 0x8000 ? bin & 0x7fff : 0x10000 - bin;
  return (pattern & 0x7f80) === 0 ? 0 : floatOf(pattern << 16);
};

/**
 * [count] bins of [count] floats into `target`. Order is kept whatever the range; a bin is 1/128 of its value wide.
 */
function binsOf(values: Float32Array, target: Int32Array, count: number): void {
  const patterns = new Uint32Array(values.buffer, values.byteOffset, count);
  for (let i = 0; i < count; i++) {
    const pattern = patterns[i] as number;
    // Of negative numbers one bit less, so that every bin has its lower end and not its upper one. -0 is 0.
    target[i] = pattern > MINUS_ZERO ? 0xffff - ((pattern - 1) >>> 16) : ((pattern >>> 16) & 0x7fff) | 0x8000;
  }
}

/** Counts of a column in fine bins: quantiles, and groups of equal size, in one pass and fixed memory. */
export interface FloatBins {
  add(tokens: EligibleTokens, values: Float32Array): void;
  /** The values below which the shares `q`, rising, of all lie: each exact to 1/128 of itself, and within the range. */
  quantiles(q: readonly number[], range: { readonly min: number; readonly max: number }): number[];
  /** Groups of about a tenth of the tokens each. A bin is never cut, so ties stay together; empty groups are left out. */
  tenths(by: string, label: string, measured: Measured): KeptBy;
}

/** 2.6 MB of sums. */
export function createFloatBins(): FloatBins {
  const sums = createGroupSums(BINS);
  let groupOf = new Int32Array(0);
  let count = 0;
  return {
    add(tokens, values) {
      if (groupOf.length < tokens.count) groupOf = new Int32Array(tokens.count);
      binsOf(values, groupOf, tokens.count);
      sums.addEach(tokens, groupOf, 0, tokens.count);
      count += tokens.count;
    },
    quantiles(q, { min, max }) {
      let bin = -1;
      let seen = 0;
      return q.map((share) => {
        const wanted = Math.max(1, Math.ceil(share * count));
        while (seen < wanted && bin + 1 < BINS) seen += sums.eligible(++bin);
        return Math.min(max, Math.max(min, (lowOf(bin) + lowOf(bin + 1)) / 2));
      });
    },
    tenths: (by, label, measured) => tenthsOf(sums, count, by, label, measured),
  };
}

function tenthsOf(sums: GroupSums, count: number, by: string, label: string, measured: Measured): KeptBy {
  const tenths = createGroupSums(10);
  const lows = new Map<number, number>();
  let seen = 0;
  for (let bin = 0; bin < BINS; bin++) {
    const here = sums.eligible(bin);
    if (here === 0) continue;
    // By the bin's middle token: a bin of many equal values goes where most of them belong.
    const tenth = Math.min(9, Math.floor((10 * (seen + here / 2)) / count));
    if (!lows.has(tenth)) lows.set(tenth, lowOf(bin));
    tenths.addGroup(tenth, sums, bin);
    seen += here;
  }
  const found = [...lows];
  return {
    by,
    label,
    ordered: true,
    groups: found.map(([tenth, low], i) => ({
      name: String(tenth + 1),
      low,
      high: found[i + 1]?.[1] ?? null,
      ...tenths.figures(tenth, measured),
    })),
    groups_total: found.length,
    others: null,
  };
}
