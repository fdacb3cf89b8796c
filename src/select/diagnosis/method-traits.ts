import { excess } from '../scores.js';

/** What of a method decides which figures can speak against it. */
export interface MethodTraits {
  /** It orders tokens, rows or documents by their excess: which model is the reference matters. */
  readonly byExcess: boolean;
  /**
   * It goes down the tokens by their excess until a share of them is full, whatever the excess is by then. Draws and
   * smooth weights reach below 0 on purpose.
   */
  readonly fillsShare: boolean;
}

/** Of a pair of models alone, as if the selection were to come by excess. */
export const NO_METHOD: MethodTraits = { byExcess: true, fillsShare: false };

/** @param conventions of a selection, as weighted files carry them; what they do not say is taken for no */
export function methodTraits(conventions: {
  readonly score?: unknown;
  readonly unit?: unknown;
  readonly keepPpm?: unknown;
}): MethodTraits {
  const { score, unit, keepPpm } = conventions;
  const byExcess = typeof score === 'string' && score.includes(excess.formula);
  const fillsShare = score === excess.formula && unit === 'token' && typeof keepPpm === 'number';
  return { byExcess, fillsShare };
}
