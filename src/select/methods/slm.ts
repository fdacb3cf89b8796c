import type { Method } from '../method.js';
import { topPlan } from '../plans.js';

export const slm: Method = {
  name: 'slm',
  version: 1,
  summary: 'Keep the top k by excess loss: where the reference is furthest ahead of the current model.',
  source: 'Rho-1 (arXiv 2404.07965), section 2.2',
  plan: (settings) => topPlan(['excess'], settings),
};
