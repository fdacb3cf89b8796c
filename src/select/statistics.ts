/** What selection did to one part, or to several added up. */
export interface SelectionStatistics {
  /** All tokens, eligible or not. */
  readonly tokens: number;
  readonly eligible: number;
  /** Tokens with a weight above 0. */
  readonly kept: number;
  /** Sum of the weights, in fp64. */
  readonly weightSum: number;
  /** Rankings made within the parts (one a window or sequence); 0 where the scope is wider than a part. */
  readonly scopes: number;
  /** Scores of the last token kept, over the scopes, one entry a ranking; null where nothing was ranked. */
  readonly cutoffs: readonly (CutoffRange | null)[];
}

export interface CutoffRange {
  readonly lowest: number;
  readonly highest: number;
}

/** The same while it is being counted. */
export interface Tally {
  tokens: number;
  eligible: number;
  kept: number;
  weightSum: number;
  scopes: number;
  cutoffs: (CutoffRange | null)[];
}

export const newTally = (rankings: number): Tally => ({
  tokens: 0,
  eligible: 0,
  kept: 0,
  weightSum: 0,
  scopes: 0,
  cutoffs: new Array<CutoffRange | null>(rankings).fill(null),
});

export function noteCutoff(tally: Tally, ranking: number, cutoff: number): void {
  if (cutoff === Number.POSITIVE_INFINITY) return;
  tally.cutoffs[ranking] = widest(tally.cutoffs[ranking] ?? null, { lowest: cutoff, highest: cutoff });
}

const widest = (a: CutoffRange | null, b: CutoffRange | null): CutoffRange | null =>
  a === null || b === null
    ? (a ?? b)
    : { lowest: Math.min(a.lowest, b.lowest), highest: Math.max(a.highest, b.highest) };

/** Statistics of parts together. Add them in global order: the sum of weights is a floating-point sum. */
export function addStatistics(a: SelectionStatistics, b: SelectionStatistics): SelectionStatistics {
  return {
    tokens: a.tokens + b.tokens,
    eligible: a.eligible + b.eligible,
    kept: a.kept + b.kept,
    weightSum: a.weightSum + b.weightSum,
    scopes: a.scopes + b.scopes,
    cutoffs: a.cutoffs.map((range, ranking) => widest(range, b.cutoffs[ranking] ?? null)),
  };
}
