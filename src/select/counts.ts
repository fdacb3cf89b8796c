import { fatalError } from '../errors.js';
import { COARSE_BINS } from './radix.js';

/** One count a bin; of any width, whatever they were gathered in. */
export type Bins = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/**
 * What one reading of a part gives, or those of several parts together: plain data (structured clone), a few hundred
 * kilobytes whatever the number of tokens. One kind a pass (`passes.ts`).
 */
export type Counts =
  | {
      readonly kind: 'coarse';
      /** Eligible tokens or units, those that are never kept among them. */
      readonly eligible: number;
      /** One entry a ranking, each [65,536] by the upper 16 bits of the score's key. */
      readonly bins: readonly Bins[];
    }
  | {
      readonly kind: 'fine';
      /** One entry a target, each [65,536] by the lower 16 bits of the keys in the target's bin. */
      readonly bins: readonly Bins[];
    }
  | {
      readonly kind: 'ties';
      /** By part: how many of its scores equal each cut, one entry a cut. */
      readonly parts: ReadonlyMap<string, readonly number[]>;
    };

/**
 * The counts of both together. Commutative and associative: parts may be added in any order and any grouping.
 * @throws fatal `counts-differ` when they are not of one pass
 */
export function mergeCounts(a: Counts, b: Counts): Counts {
  if (a.kind === 'coarse' && b.kind === 'coarse') {
    return { kind: 'coarse', eligible: a.eligible + b.eligible, bins: addBins(a.bins, b.bins) };
  }
  if (a.kind === 'fine' && b.kind === 'fine') return { kind: 'fine', bins: addBins(a.bins, b.bins) };
  if (a.kind === 'ties' && b.kind === 'ties')
    return { kind: 'ties', parts: new Map([...a.parts, ...b.parts]) };
  throw differing(`${a.kind} and ${b.kind}`);
}

function addBins(a: readonly Bins[], b: readonly Bins[]): Bins[] {
  if (a.length !== b.length) throw differing(`${a.length} and ${b.length} rankings`);
  return a.map((bins, r) => {
    const sum = Float64Array.from(bins);
    const more = b[r] ?? sum;
    for (let bin = 0; bin < COARSE_BINS; bin++) sum[bin] = (sum[bin] as number) + (more[bin] as number);
    return sum;
  });
}

const differing = (what: string) =>
  fatalError(
    'counts-differ',
    `counts of ${what} cannot be added; expected those of one pass, of one selection`,
  );
