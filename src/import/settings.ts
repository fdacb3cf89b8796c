import { z } from 'zod';
import type { Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';

/** Forms that `tokensieve import` reads. */
export const IMPORT_FORMATS = ['parquet', 'arrow', 'json', 'torch'] as const;
export type ImportFormat = (typeof IMPORT_FORMATS)[number];

const path = z.string().min(1);

/** The settings of `tokensieve import`. All but `run`, `losses` and `out` are part of the recipe, as the sources' hashes are. */
export const importSchema = z.strictObject({
  run: path.meta({
    description: 'Output folder of tokensieve pack or score, or its packed or scored folder',
  }),
  losses: z.array(path).min(1).meta({
    flag: 'losses',
    repeats: true,
    description:
      'Files, folders or globs that hold the losses, in the order of the run: .parquet, .arrow, .feather, .ipc, .json, .jsonl (.gz, .zst), .pt',
  }),
  out: path.meta({ flag: 'out', description: 'Folder for the scored files' }),
  model_name: z.string().min(1).max(512).meta({
    flag: 'model-name',
    description: 'The model that the losses are of, as the manifests shall call it',
  }),
  as: z.enum(['reference', 'current']).default('reference').meta({
    flag: 'as',
    description: 'Whose losses these are; a column of that name in the run is replaced',
  }),
  per: z.enum(['row', 'document']).default('row').meta({
    flag: 'per',
    description: 'What a record of the source is: a row of the run, or a document of its shards',
  }),
  format: z
    .enum(['auto', ...IMPORT_FORMATS])
    .default('auto')
    .meta({ flag: 'format', description: 'Form of the source; auto goes by the names of the files' }),
  values: z.enum(['losses', 'logprobs']).optional().meta({
    flag: 'values',
    description:
      'Losses, or log-probabilities, which are negated (logprobs of vLLM and of a column of that name, else losses)',
  }),
  unit: z
    .enum(['nats', 'bits'])
    .default('nats')
    .meta({ flag: 'unit', description: 'Unit of the values; what is written is in nats' }),
  ids_column: path.optional().meta({
    flag: 'ids-column',
    description:
      'Column or field of the token ids (the first there is of input_ids, token_ids, ids, prompt_token_ids)',
  }),
  losses_column: path.optional().meta({
    flag: 'losses-column',
    description:
      'Column or field of the values (the first there is of reference_loss, losses, loss, token_losses; of logprobs, token_logprobs)',
  }),
  ids: z.enum(['check', 'absent']).default('check').meta({
    flag: 'ids',
    description:
      'check: every id is compared with the run’s; absent: the source has none, only lengths are compared',
  }),
  means: z.enum(['refuse', 'spread']).default('refuse').meta({
    flag: 'means',
    description:
      'spread: a record of the source is one number, its mean loss, which all its targets get; for methods that rank rows',
  }),
  missing: z.enum(['refuse', 'exclude']).default('refuse').meta({
    flag: 'missing',
    description:
      'A target without a finite loss in the source: refuse the import, or exclude the token from the targets and count it',
  }),
});

/** An import with every default filled in. */
export type ImportSettings = Readonly<z.output<typeof importSchema>>;
/** An import as it may be written. */
export type ImportInput = z.input<typeof importSchema>;

/**
 * Checks settings of `importScores` and fills in the defaults.
 * @param source where the settings come from, for messages
 * @throws TokensieveError `bad-settings` (usage): every wrong field with what was found and expected
 */
export const parseImport = (settings: Settings | ImportInput, source: string): ImportSettings =>
  parseSettings(importSchema, settings, source);
