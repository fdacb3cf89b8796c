import { pipelineSchema } from '../pipeline/settings.js';

/** The settings that a pipeline without any has, where inspection says what a run would do. */
export function pipelineDefaults(): { readonly partBytes: number; readonly maxTextBytes: number } {
  const { part_bytes: partBytes, max_text_bytes: maxTextBytes } =
    pipelineSchema.shape.corpus.parse(undefined);
  return { partBytes, maxTextBytes };
}
