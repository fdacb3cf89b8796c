import type { Method, WeightKernel } from '../method.js';
import { topPlan } from '../plans.js';

const either: WeightKernel = (_tokens, [loss, entropy], out) => {
  for (let i = 0; i < out.length; i++) out[i] = (loss?.kept[i] ?? 0) | (entropy?.kept[i] ?? 0);
};

export const referenceUnion: Method = {
  name: 'reference-union',
  version: 1,
  summary: 'Keep what reference-loss or reference-entropy keeps, k each: at least k in all.',
  source: 'Rho-1 (arXiv 2404.07965), self-reference',
  plan: (settings) => topPlan(['reference-loss', 'reference-entropy'], settings, { weigh: either }),
};
