import { z } from 'zod';
import type { Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { tokenizerSettings } from '../tokenizer/settings.js';
import { evaluateSequence, evaluateSettings } from './settings.js';

const { model, score, run } = evaluateSettings.shape;
const { length, bos } = evaluateSequence.shape;

/** The settings of `tokensieve loglikelihood`: those of an evaluation that requests have to do with. */
export const loglikelihoodSettings = z.strictObject({
  requests: z.string().min(1).meta({
    description: 'JSON lines: {"context", "continuation"}, {"arguments"} or {"text"}; may be .gz or .zst',
  }),
  model,
  out: z.string().min(1).meta({ flag: 'out', description: 'File for the answers, JSON lines' }),
  // Requests are trusted: what spells a control token is one, as for the harness.
  tokenizer: tokenizerSettings
    .extend({
      control_tokens: z.enum(['text', 'special']).optional().meta({
        flag: 'control-tokens',
        description:
          'What a control token spelled out in a request is: special, or text (default: what the tokenizer’s own encoding makes of it)',
      }),
    })
    .prefault({}),
  // A request is a row: it is not packed, has no overlap, sees no other document and ends without EOS.
  sequence: z
    .strictObject({
      length,
      bos: bos.unwrap().optional().meta({
        flag: 'bos',
        description: 'BOS before every request or none (default: what the tokenizer’s own encoding adds)',
      }),
    })
    .prefault({}),
  score,
  run,
});

export type LoglikelihoodSettings = z.infer<typeof loglikelihoodSettings>;
export type LoglikelihoodInput = z.input<typeof loglikelihoodSettings>;

/**
 * Checks settings of `answerRequests` and fills in the defaults.
 * @param source where the settings come from, for messages
 * @throws TokensieveError `bad-settings` (usage)
 */
export const parseLoglikelihood = (
  settings: Settings | LoglikelihoodInput,
  source: string,
): LoglikelihoodSettings => parseSettings(loglikelihoodSettings, settings, source);
