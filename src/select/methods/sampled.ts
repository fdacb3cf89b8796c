import { openUniform } from '../../numbers/philox.js';
import { drawWords } from '../draws.js';
import type { Method } from '../method.js';
import { keepBest, weighKept } from '../plans.js';
import { excess } from '../scores.js';

/**
 * A weighted draw without replacement is a ranking: give token i the key ln p_i + g_i with g_i standard
 * Gumbel, and the k highest keys are k draws in proportion to p (Kool et al. 2019, arXiv 1903.06059; the
 * logarithm of Efraimidis and Spirakis's keys, Information Processing Letters 97, 2006). p need not be
 * normalised, so a key depends on its own token alone. p = 0 gives −Infinity, which is never kept.
 */
export const sampled: Method = {
  name: 'sampled',
  version: 1,
  summary: 'Draw k without replacement, in proportion to exp(excess / temperature) or max(excess, 0).',
  source: 'Kool et al. (arXiv 1903.06059), Efraimidis & Spirakis (2006)',
  plan: (settings) => {
    const { probability, temperature, seed } = settings;
    return {
      unit: 'token',
      columns: excess.columns,
      score:
        probability === 'relu'
          ? `ln(max(${excess.formula}, 0)) + gumbel`
          : `(${excess.formula}) / ${temperature} + gumbel`,
      normaliser: 'weights',
      usesKeep: true,
      usesSeed: true,
      signals: [excess.kernel],
      rankings: [
        {
          score: (tokens, out) => {
            excess.kernel(tokens, out);
            const words = drawWords(tokens, seed);
            for (let i = 0; i < out.length; i++) {
              const value = out[i] ?? Number.NaN;
              const gumbel = -Math.log(-Math.log(openUniform(words[i] ?? 0)));
              out[i] = (probability === 'relu' ? Math.log(Math.max(value, 0)) : value / temperature) + gumbel;
            }
          },
          bounds: keepBest(settings),
        },
      ],
      weigh: weighKept,
    };
  },
};
