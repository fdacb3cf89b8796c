import type { z } from 'zod';
import type { Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { namesAModel, noModel, scoring } from '../score/settings.js';
import { selectionSettings } from '../select/settings.js';

/** The one definition of a pipeline of a single run: the file's schema, the types, the flags and schemas/pipeline.json. */
export const pipelineSchema = scoring
  .extend({
    select: selectionSettings
      .optional()
      .meta({ description: 'Turn the scored files into weighted files as well' }),
  })
  .refine(namesAModel, noModel);

/** A pipeline with every default filled in. */
export type Pipeline = z.infer<typeof pipelineSchema>;
/** A pipeline as it may be written. */
export type PipelineInput = z.input<typeof pipelineSchema>;

/**
 * Checks settings against the schema and fills in the defaults.
 * @param source where the settings come from, for messages
 * @throws TokensieveError `bad-settings` (usage): every wrong field with what was found and expected
 */
export function parsePipeline(settings: Settings, source: string): Pipeline {
  return parseSettings(pipelineSchema, settings, source);
}
