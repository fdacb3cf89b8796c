import { usageError } from '../errors.js';
import type { Method, Ranking, ScoreKernel, TokenPlan, WeightKernel } from './method.js';
import { scoreBy } from './scores.js';
import type { ScoreName, SelectionSettings } from './settings.js';
import { keptOf, ppmOf } from './share.js';

/** Bounds of "the best k of them", k of the settings. */
export function keepBest(settings: SelectionSettings): Ranking['bounds'] {
  const ppm = ppmOf(settings.keep, 'keep');
  return (eligible) => [0, keptOf(ppm, eligible, settings.rounding)];
}

/** Weight 1 for what the first ranking keeps. */
export const weighKept: WeightKernel = (_tokens, ranked, out) => {
  const kept = ranked[0]?.kept;
  if (kept !== undefined) out.set(kept);
};

/** The common shape: the best k by one or more named scores, weights 0 and 1 unless said otherwise. */
export function topPlan(
  names: readonly ScoreName[],
  settings: SelectionSettings,
  rest: Partial<Pick<TokenPlan, 'weigh' | 'score'>> & { readonly bounds?: Ranking['bounds'] } = {},
): TokenPlan {
  const scores = names.map((name) => scoreBy[name]);
  const bounds = rest.bounds ?? keepBest(settings);
  return {
    unit: 'token',
    columns: [...new Set(scores.flatMap((score) => score.columns))],
    score: rest.score ?? scores.map((score) => score.formula).join('; '),
    normaliser: 'weights',
    usesKeep: rest.bounds === undefined,
    usesSeed: false,
    rankings: scores.map((score) => ({ score: score.kernel, bounds })),
    signals: scores.map((score) => score.kernel),
    weigh: rest.weigh ?? weighKept,
  };
}

/** A plan without rankings: each weight is a function of the token's own losses. */
export function pointwisePlan(
  plan: Pick<TokenPlan, 'columns' | 'score' | 'weigh'> & {
    readonly normaliser?: TokenPlan['normaliser'];
    readonly signals?: readonly ScoreKernel[];
  },
): TokenPlan {
  return {
    unit: 'token',
    normaliser: 'weights',
    usesKeep: false,
    usesSeed: false,
    rankings: [],
    signals: [],
    ...plan,
  };
}

/** The settings' score, or the method's own default. @throws usage `score-does-not-apply` */
export function chosenScore(method: Pick<Method, 'name' | 'scores'>, settings: SelectionSettings): ScoreName {
  const allowed = method.scores ?? [];
  const name = settings.score ?? allowed[0];
  if (name === undefined || !allowed.includes(name)) {
    throw usageError(
      'score-does-not-apply',
      `method ${method.name} cannot use score ${name}; expected one of ${allowed.join(', ')}`,
    );
  }
  return name;
}
