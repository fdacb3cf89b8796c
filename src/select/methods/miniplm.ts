import type { Method } from '../method.js';
import { unitPlan } from '../unit-plan.js';

export const miniplm: Method = {
  name: 'miniplm',
  version: 1,
  summary:
    'Keep the k of the sequences (or documents) with the highest ln p_reference(x) / p_current(x), whole.',
  source:
    'MiniPLM (arXiv 2410.17215), difference sampling: reference is its teacher, current its small model',
  scope: (settings) => (settings.unit === 'document' ? 'shard' : 'window'),
  plan: (settings) => unitPlan('miniplm', 'sum', settings),
};
