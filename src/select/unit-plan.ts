import { usageError } from '../errors.js';
import type { UnitPlan } from './method.js';
import { keepBest } from './plans.js';
import { parseScope } from './scope.js';
import { excess } from './scores.js';
import type { SelectionSettings } from './settings.js';

/**
 * Whole sequences or documents by their mean or summed excess.
 * @throws usage `unit-scope` where the scope would hold one unit or cut through it.
 */
export function unitPlan(name: string, reduce: 'mean' | 'sum', settings: SelectionSettings): UnitPlan {
  const { unit } = settings;
  const scope = settings.scope === undefined ? null : parseScope(settings.scope).kind;
  if (scope === 'sequence') {
    throw usageError(
      'unit-scope',
      `method ${name} ranks whole ${unit}s, and scope sequence has one row; use window, shard or dataset`,
    );
  }
  if (scope === 'window' && unit === 'document') {
    throw usageError(
      'unit-scope',
      `method ${name} ranks whole documents, and a window cuts through them; use scope shard or dataset`,
    );
  }
  return {
    unit,
    reduce,
    columns: excess.columns,
    score: `${reduce} over the ${unit} of ${excess.formula}`,
    normaliser: 'weights',
    usesKeep: true,
    usesSeed: false,
    tokenScore: excess.kernel,
    bounds: keepBest(settings),
  };
}
