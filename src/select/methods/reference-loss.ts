import type { Method } from '../method.js';
import { topPlan } from '../plans.js';

export const referenceLoss: Method = {
  name: 'reference-loss',
  version: 1,
  summary: 'Keep the k with the lowest reference loss.',
  source: 'Rho-1 (arXiv 2404.07965), self-reference',
  plan: (settings) => topPlan(['reference-loss'], settings),
};
