import type { Method } from '../method.js';
import { topPlan } from '../plans.js';

export const referenceEntropy: Method = {
  name: 'reference-entropy',
  version: 1,
  summary: 'Keep the k with the lowest reference entropy.',
  source: 'Rho-1 (arXiv 2404.07965), self-reference',
  plan: (settings) => topPlan(['reference-entropy'], settings),
};
