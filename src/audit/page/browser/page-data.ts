/** The reading view's data as JSON in the page: written by `reading-data.ts`, read by the page's script. */

export interface PageDocument {
  readonly text: string;
  /** [tokens] each. UTF-16 units that a token covers. */
  readonly lengths: readonly number[];
  /** Pairs: a token, and the units from the end of the token before to its start where that is not 0. */
  readonly gaps: readonly number[];
  readonly ids: readonly number[];
  /** Hundredths of a nat; null where the token is no target. */
  readonly reference: readonly (number | null)[] | null;
  readonly current: readonly (number | null)[] | null;
  /** Weights: a digit a token where all are 0 or 1, else hundredths. Null without a selection. */
  readonly weights: string | readonly number[] | null;
}

export interface PageData {
  readonly documents: readonly PageDocument[];
  /** Largest weight of all, in hundredths. */
  readonly maxWeight: number;
}
