import { usageError } from '../../errors.js';
import type { Method } from '../method.js';
import { chosenScore, pointwisePlan } from '../plans.js';
import { scoreBy } from '../scores.js';
import { SCORE_NAMES } from '../settings.js';

export const threshold: Method = {
  name: 'threshold',
  version: 1,
  summary: 'Keep every token whose score is at least `threshold`. Needs no ranking, so no scope.',
  source: 'control; any score',
  scores: SCORE_NAMES,
  plan: (settings) => {
    if (settings.threshold === undefined) {
      throw usageError(
        'missing-setting',
        'method threshold needs a threshold in nats: set select.threshold, or --threshold',
      );
    }
    const score = scoreBy[chosenScore(threshold, settings)];
    // Scores are fp32: a threshold that cannot be written in fp32 would split equal-looking scores.
    const least = Math.fround(settings.threshold);
    return pointwisePlan({
      columns: score.columns,
      score: score.formula,
      signals: [score.kernel],
      weigh: (tokens, _ranked, out) => {
        score.kernel(tokens, out);
        for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? Number.NaN) >= least ? 1 : 0;
      },
    });
  },
};
