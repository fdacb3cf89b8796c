import { z } from 'zod';
import type { Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { corpusSettings, shardPatterns } from '../corpus/settings.js';
import { compression } from '../dataset/settings.js';
import { outputFolder, runSettings } from '../parts/settings.js';
import { sequenceSettings } from '../sequence/settings.js';
import { tokenizerSettings } from '../tokenizer/settings.js';

const NO_TOKENIZER =
  'name a tokenizer.json or its folder (--tokenizer): no model is read that could bring one';

const packTokenizer = z.strictObject(
  {
    ...tokenizerSettings.shape,
    path: z
      .string({ error: NO_TOKENIZER })
      .min(1)
      .meta({ flag: 'tokenizer', description: 'tokenizer.json or its folder' }),
  },
  { error: ({ input }) => (input === undefined ? NO_TOKENIZER : undefined) },
);

/** The settings of `tokensieve pack`: a pipeline's sections, less what only models need. */
export const packSchema = z.strictObject({
  shards: shardPatterns,
  out: outputFolder,
  corpus: corpusSettings.prefault({}),
  tokenizer: packTokenizer,
  sequence: sequenceSettings.prefault({}),
  compression,
  run: runSettings.pick({ workers: true, tokenizer_engine: true }).prefault({}),
});

/** Packing with every default filled in. */
export type PackSettings = z.infer<typeof packSchema>;
/** Packing as it may be written. */
export type PackInput = z.input<typeof packSchema>;

/**
 * Checks settings of `packCorpus` and fills in the defaults.
 * @param source where the settings come from, for messages
 * @throws TokensieveError `bad-settings` (usage): every wrong field with what was found and expected
 */
export const parsePack = (settings: Settings | PackInput, source: string): PackSettings =>
  parseSettings(packSchema, settings, source);
