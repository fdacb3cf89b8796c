import { DRAWS } from './draws.js';
import type { Method, Plan } from './method.js';
import { formatScope, parseScope, type Scope } from './scope.js';
import type { SelectionSettings } from './settings.js';
import { ppmOf } from './share.js';

/**
 * How the weights came about, for the schema metadata of weighted files. Scope, rounding, ties, normaliser and
 * padding are the five points on which public implementations of selective language modelling disagree.
 */
export interface Conventions {
  readonly method: string;
  readonly methodVersion: number;
  readonly score: string;
  readonly unit: Plan['unit'];
  /** Parts per million; null where the method does not keep a share. */
  readonly keepPpm: number | null;
  readonly scope: string;
  /** Number kept of n eligible: `max(1, floor(k*n))` or with `ceil`; null where the method does not keep a share. */
  readonly rounding: string | null;
  readonly ties: 'earlier-first';
  readonly normaliser: 'sum-of-weights' | 'eligible-tokens';
  readonly padding: 'loss-nan-weight-0-not-eligible';
  /** Null where nothing is drawn. */
  readonly seed: number | null;
  readonly draws: string | null;
}

/** The scope in force: the settings' own, else the method's, else `window:1048576`. @throws usage `bad-scope` */
export const scopeOf = (settings: SelectionSettings, method: Method): Scope =>
  parseScope(settings.scope ?? method.scope?.(settings) ?? 'window');

export function conventionsOf(settings: SelectionSettings, method: Method, plan: Plan): Conventions {
  return {
    method: method.name,
    methodVersion: method.version,
    score: plan.score,
    unit: plan.unit,
    keepPpm: plan.usesKeep ? ppmOf(settings.keep, 'keep') : null,
    scope: formatScope(scopeOf(settings, method)),
    rounding: plan.usesKeep ? `max(1, ${settings.rounding}(k*n))` : null,
    ties: 'earlier-first',
    normaliser: plan.normaliser === 'weights' ? 'sum-of-weights' : 'eligible-tokens',
    padding: 'loss-nan-weight-0-not-eligible',
    seed: plan.usesSeed ? settings.seed : null,
    draws: plan.usesSeed ? DRAWS : null,
  };
}
