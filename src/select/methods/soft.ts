import type { Method } from '../method.js';
import { topPlan } from '../plans.js';
import { excess } from '../scores.js';

/** m is the excess of the last token that slm would keep: that token weighs one half. */
export const soft: Method = {
  name: 'soft',
  version: 1,
  summary: 'Weight sigmoid((excess - m) / temperature), m being the excess where slm would cut.',
  source: 'a smooth slm; no paper',
  plan: (settings) =>
    topPlan(['excess'], settings, {
      score: `sigmoid((${excess.formula} - m) / ${settings.temperature})`,
      weigh: (_tokens, [ranked], out) => {
        if (ranked === undefined) return;
        for (let i = 0; i < out.length; i++) {
          const z = ((ranked.scores[i] ?? Number.NaN) - ranked.cutoff) / settings.temperature;
          out[i] = 1 / (1 + Math.exp(-z));
        }
      },
    }),
};
