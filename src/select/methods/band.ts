import { usageError } from '../../errors.js';
import type { Method } from '../method.js';
import { chosenScore, topPlan } from '../plans.js';
import { SCORE_NAMES } from '../settings.js';
import { ppmOf, shareOf } from '../share.js';

export const band: Method = {
  name: 'band',
  version: 1,
  summary: 'Keep ranks a to b of the score; a control for the top of the ranking.',
  source: 'control: is it the top of the ranking that matters, or any slice of it?',
  scores: SCORE_NAMES,
  plan: (settings) => {
    const [from, to] = settings.band ?? [0, 0];
    if (!(from < to)) {
      throw usageError(
        'missing-setting',
        `method band needs two shares a < b, found ${JSON.stringify(settings.band)}; set select.band, or --band 0.1 0.5`,
      );
    }
    const [a, b] = [ppmOf(from, 'band'), ppmOf(to, 'band')];
    return topPlan([chosenScore(band, settings)], settings, {
      bounds: (eligible) => {
        if (eligible === 0) return [0, 0];
        const first = Math.min(shareOf(a, eligible, settings.rounding), eligible - 1);
        return [first, Math.max(first + 1, shareOf(b, eligible, settings.rounding))];
      },
    });
  },
};
