/**
 * Exact order statistics of fp32 scores by counting instead of sorting. An fp32 number maps to a 32-bit key
 * of the same order; two counts of 16 bits (or four of 8) find the score at any rank. Counts add up, so the
 * same two steps work over parts that never are in memory together (`passes.ts`).
 */

/** Everything with a higher score is above the cut, and of those that equal it, the first `ties`. */
export interface Cut {
  readonly score: number;
  readonly ties: number;
}

/** The cut at rank 0: nothing is above it. */
export const NOTHING: Cut = { score: Number.POSITIVE_INFINITY, ties: 0 };

export const COARSE_BINS = 65_536;

/** Below this many scores, four passes of 8 bits cost less than clearing and scanning 65,536 counters twice. */
const SMALL = 32_768;

const SIGN = 0x8000_0000;
const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

/** Unsigned key of an fp32 number's bits, ascending with the number; −0 and +0 share one. */
export const keyOfBits = (pattern: number): number =>
  pattern === SIGN ? SIGN : (pattern & SIGN) !== 0 ? ~pattern >>> 0 : (pattern | SIGN) >>> 0;

/**
 * The same of a pattern read as a signed number, for hot loops: 32-bit integers alone, and no branch on the sign, which
 * nothing can predict. The key is a signed number too.
 */
export const keyOfSigned = (pattern: number): number =>
  pattern === -SIGN ? -SIGN : pattern ^ ((pattern >> 31) | -SIGN);

/** The fp32 number of a key. */
export function scoreOfKey(key: number): number {
  bits[0] = (key & SIGN) !== 0 ? key & 0x7fff_ffff : ~key;
  return floats[0] ?? Number.NaN;
}

/** The bits of fp32 numbers as signed numbers (a view). */
export const signedBitsOf = (scores: Float32Array): Int32Array =>
  new Int32Array(scores.buffer, scores.byteOffset, scores.length);

/** The bits of fp32 numbers (a view). */
export const bitsOf = (scores: Float32Array): Uint32Array =>
  new Uint32Array(scores.buffer, scores.byteOffset, scores.length);

/**
 * The bin from the top in which rank `rank` (1 is the highest score) falls, and its rank within that bin.
 * `rank` must not exceed the sum of the counts.
 */
export function locate(
  counts: ArrayLike<number>,
  rank: number,
): { readonly bin: number; readonly rank: number } {
  let bin = counts.length - 1;
  let left = rank;
  while (bin > 0 && (counts[bin] ?? 0) < left) {
    left -= counts[bin] ?? 0;
    bin--;
  }
  return { bin, rank: left };
}

/** The cut below the `rank` highest of `keys[0..count)`. Linear in `count`; `rank` ≤ `count`. */
export function cutAt(keys: Uint32Array, count: number, rank: number): Cut {
  if (rank <= 0) return NOTHING;
  const digit = count < SMALL ? 8 : 16;
  const counts = new Uint32Array(2 ** digit);
  const digitMask = counts.length - 1;
  let prefix = 0;
  let mask = 0;
  let left = rank;
  for (let shift = 32 - digit; shift >= 0; shift -= digit) {
    counts.fill(0);
    for (let i = 0; i < count; i++) {
      const key = keys[i] ?? 0;
      if ((key & mask) === prefix) {
        const bin = (key >>> shift) & digitMask;
        counts[bin] = (counts[bin] ?? 0) + 1;
      }
    }
    const found = locate(counts, left);
    left = found.rank;
    prefix |= found.bin << shift;
    mask |= digitMask << shift;
  }
  return { score: scoreOfKey(prefix >>> 0), ties: left };
}
