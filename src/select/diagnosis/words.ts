import type { ExcessFigures } from './excess-figures.js';
import type { Finding } from './finding.js';
import { percent } from './numbers.js';

/**
 * What slm kept, in a sentence that the figures bear out: that it is what there is to learn is said only where it is so.
 * @param figures with weights; null or without them: the rule alone is told
 * @param findings of the same figures
 */
export function keptByExcess(figures: ExcessFigures | null, findings: readonly Finding[]): string {
  const kept = figures?.kept ?? null;
  const rule =
    'Kept are the tokens whose loss under the current model is furthest above their loss under the reference model';
  if (kept === null || kept.weight === 0) return `${rule}.`;
  if (kept.uniform) return 'All tokens are kept: nothing was selected.';
  const codes = new Set(findings.map(({ code }) => code));
  if (codes.has('models-alike')) {
    return `${rule}; but the two models hardly differ, so that which tokens these are is mostly chance.`;
  }
  const negative = kept.negative / kept.weight;
  if (codes.has('reference-weaker') || codes.has('kept-negative') || negative >= 0.5) {
    const ahead =
      negative === 0
        ? ''
        : `. Of what is kept, ${percent(negative)} has a negative excess: the current model is already ahead there`;
    const weaker = codes.has('reference-weaker')
      ? '. On most tokens the current model is the better one, so that this may not be what there is to learn'
      : '';
    return `${rule}, or least below it${ahead}${weaker}.`;
  }
  const but = negative === 0 ? '' : `, but for ${percent(negative)} on which it is already ahead`;
  return `${rule}: what the reference finds predictable and the current model has not learnt yet${but}.`;
}

/** A finding on one line. */
export const findingLine = ({ message, advice }: Finding): string => `${message}; ${advice}`;
