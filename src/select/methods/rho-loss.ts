import type { Method } from '../method.js';
import { unitPlan } from '../unit-plan.js';

export const rhoLoss: Method = {
  name: 'rho-loss',
  version: 1,
  summary: 'Keep the k of the sequences (or documents) with the highest mean excess loss, whole.',
  source: 'RHO-LOSS (arXiv 2206.07137), equation 3, the loss of a sequence being its mean over tokens',
  scope: (settings) => (settings.unit === 'document' ? 'shard' : 'window'),
  plan: (settings) => unitPlan('rho-loss', 'mean', settings),
};
