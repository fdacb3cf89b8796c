import { z } from 'zod';

/** How documents become sequences. Every field changes bytes and is part of the fingerprint. */
export const sequenceSettings = z
  .strictObject({
    length: z
      .int()
      .min(2)
      .max(1 << 20)
      .default(2048)
      .meta({
        flag: 'sequence-length',
        description: 'Tokens a sequence, context included (paper: 2048 for 1.1B)',
      }),
    packing: z.enum(['packed', 'document']).default('packed').meta({
      flag: 'packing',
      description: 'packed: documents joined and cut into exact windows. document: one document a sequence',
    }),
    attention: z.enum(['across', 'within']).default('across').meta({
      flag: 'attention',
      description: 'across: documents of a row see each other. within: they do not, positions restart',
    }),
    overlap: z.int().min(1).optional().meta({
      flag: 'overlap',
      description:
        'document packing: tokens of context that a long document’s next window repeats (default: a quarter of the length)',
    }),
    bos: z.boolean().optional().meta({
      flag: 'bos',
      description: 'BOS before every document or none (default: if the tokenizer’s own encoding adds it)',
    }),
    eos: z.boolean().optional().meta({
      flag: 'eos',
      description: 'EOS after every document or none (default: if the tokenizer declares one)',
    }),
    eos_eligible: z.boolean().default(true).meta({
      flag: 'eos-eligible',
      description: 'Whether the EOS at a document’s end is a target',
    }),
  })
  .refine((s) => s.overlap === undefined || s.overlap < s.length, {
    path: ['overlap'],
    message: 'overlap must be smaller than the sequence length',
  });

export type SequenceSettings = z.infer<typeof sequenceSettings>;
