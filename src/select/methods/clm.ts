import type { Method } from '../method.js';
import { pointwisePlan } from '../plans.js';

export const clm: Method = {
  name: 'clm',
  version: 1,
  summary: 'Weight 1 for every eligible token: plain causal language modelling.',
  source: 'control',
  plan: () => pointwisePlan({ columns: [], score: 'none', weigh: (_tokens, _ranked, out) => out.fill(1) }),
};
