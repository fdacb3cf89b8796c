import type { Method } from '../method.js';
import { pointwisePlan } from '../plans.js';
import { columnOf } from '../tokens.js';

export const dft: Method = {
  name: 'dft',
  version: 1,
  summary:
    'Weight each token by its probability, exp(-current loss); the loss is divided by the eligible tokens.',
  source: 'Dynamic Fine-Tuning (arXiv 2508.05629), equation 9',
  plan: () =>
    pointwisePlan({
      columns: ['current_loss'],
      score: 'exp(-current_loss)',
      normaliser: 'eligible',
      weigh: (tokens, _ranked, out) => {
        const loss = columnOf(tokens, 'current_loss');
        for (let i = 0; i < out.length; i++) out[i] = Math.exp(-(loss[i] ?? Number.NaN));
      },
    }),
};
