import { z } from 'zod';
import type { Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { evaluateSequence, evaluateSettings } from './settings.js';

const { model, tokenizer, score, run } = evaluateSettings.shape;
const { length, bos } = evaluateSequence.shape;

/** The settings of `tokensieve loglikelihood`: those of an evaluation that requests have to do with. */
export const loglikelihoodSettings = z.strictObject({
  requests: z.string().min(1).meta({
    description: 'JSON lines: {"context", "continuation"}, {"arguments"} or {"text"}; may be .gz or .zst',
  }),
  model,
  out: z.string().min(1).meta({ flag: 'out', description: 'File for the answers, JSON lines' }),
  tokenizer,
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
