import { z } from 'zod';

/** The one definition of `tokenizer:` in a pipeline file, of its flags and JSON Schema. */
export const tokenizerSettings = z.strictObject({
  path: z.string().optional().meta({
    flag: 'tokenizer',
    description: 'tokenizer.json or its folder (default: the reference model’s, else the current’s)',
  }),
  control_tokens: z.enum(['text', 'special']).default('text').meta({
    flag: 'control-tokens',
    description:
      'What a control token spelled out in a document is: text, so that no document can forge a boundary, or special',
  }),
});

export type TokenizerSettings = Readonly<z.output<typeof tokenizerSettings>>;
