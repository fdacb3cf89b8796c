import type { Method } from '../method.js';
import { chosenScore, topPlan } from '../plans.js';
import { ppmOf, shareOf } from '../share.js';

/**
 * The α-quantile is the least value v with at least α of the scope's tokens ≤ v: number ⌈α·n⌉ in ascending
 * order, with no interpolation. Tokens at or above it are kept, all ties with it too.
 */
export const esl: Method = {
  name: 'esl',
  version: 1,
  summary: 'Keep tokens whose current loss or entropy is at least its alpha-quantile (value at risk).',
  source: 'ESLM (arXiv 2505.19893)',
  scores: ['current-loss', 'current-entropy'],
  plan: (settings) => {
    const alpha = ppmOf(settings.alpha, 'alpha');
    return topPlan([chosenScore(esl, settings)], settings, {
      bounds: (eligible) => [0, Math.min(eligible, eligible - shareOf(alpha, eligible, 'ceil') + 1)],
      weigh: (_tokens, [ranked], out) => {
        if (ranked === undefined) return;
        for (let i = 0; i < out.length; i++) {
          out[i] = (ranked.scores[i] ?? Number.NaN) >= ranked.cutoff ? 1 : 0;
        }
      },
    });
  },
};
