import { z } from 'zod';

const count = z.int().min(0);

export const overlapSchema = z
  .strictObject({
    n: z.int().min(1).meta({ description: 'Words in a run' }),
    words: z.enum(['normalised', 'exact']),
    rule: z.string().meta({ description: 'What a word is, in a sentence' }),
    evaluation: z.array(
      z.strictObject({
        name: z.string(),
        documents: count,
        short_documents: count.meta({ description: 'Documents of fewer than n words: they have no n-gram' }),
        ngrams: count.meta({ description: 'Places at which n words follow each other, repeats included' }),
        found: count.meta({ description: 'Of these, the ones whose words the reference data has somewhere' }),
        share: z
          .number()
          .min(0)
          .max(1)
          .nullable()
          .meta({ description: 'found / ngrams; null where there is none' }),
        documents_over_half: count.meta({
          description: 'Documents with more than half of their n-grams found',
        }),
        set_aside: count.meta({ description: 'Rows without usable text' }),
      }),
    ),
    reference: z.strictObject({
      names: z.array(z.string()).meta({ description: 'Shards; at most 100 are named' }),
      shards: count,
      documents: count,
      words: count,
      set_aside: count.meta({ description: 'Rows without usable text' }),
    }),
    distinct_ngrams: count.meta({ description: 'Different n-grams of all evaluation sets together' }),
    distinct_maximum: count.meta({ description: 'More are refused: memory is bounded' }),
  })
  .meta({
    title: 'Overlap',
    description: 'Word n-grams of evaluation documents that reference data contains',
  });

export type Overlap = z.infer<typeof overlapSchema>;
