import type { ExcessFigures } from '../select/diagnosis/excess-figures.js';
import type { Finding } from '../select/diagnosis/finding.js';
import { keptByExcess } from '../select/diagnosis/words.js';

/** What the methods keep, for a reader who has not heard of them. */
const METHODS: Readonly<Record<string, string>> = {
  random: 'Kept tokens were drawn at random: a control, which knows nothing of losses.',
  clm: 'Every target is kept: a control.',
  threshold: 'Kept are the tokens whose score is at or above a fixed value.',
  band: 'Kept are the tokens whose score ranks within a band: a control.',
  'reference-loss': 'Kept are the tokens that the reference model predicts best.',
  'reference-entropy': 'Kept are the tokens at which the reference model is surest.',
};

/** @param method of the conventions · @returns null for methods that are not explained */
export function keptInWords(
  method: unknown,
  figures: ExcessFigures | null,
  findings: readonly Finding[],
): string | null {
  if (method === 'slm') return keptByExcess(figures, findings);
  return typeof method === 'string' && Object.hasOwn(METHODS, method) ? (METHODS[method] ?? null) : null;
}
