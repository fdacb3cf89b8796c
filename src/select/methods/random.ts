import { drawWords } from '../draws.js';
import type { Method } from '../method.js';
import { keepBest, weighKept } from '../plans.js';

export const random: Method = {
  name: 'random',
  version: 1,
  summary: 'Keep k at random, exactly as many as slm keeps.',
  source: 'control',
  plan: (settings) => ({
    unit: 'token',
    columns: [],
    score: 'uniform draw, 24 bits',
    normaliser: 'weights',
    usesKeep: true,
    usesSeed: true,
    signals: [],
    rankings: [
      {
        score: (tokens, out) => {
          const words = drawWords(tokens, settings.seed);
          for (let i = 0; i < out.length; i++) out[i] = ((words[i] ?? 0) >>> 8) / 2 ** 24;
        },
        bounds: keepBest(settings),
      },
    ],
    weigh: weighKept,
  }),
};
