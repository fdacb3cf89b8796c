import { z } from 'zod';
import { exampleSchema } from './example-report.js';

const count = z.int().min(0);
const share = z.number().min(0).max(1);
const nats = z.number().nullable();

const group = z.strictObject({
  name: z.string(),
  low: z.number().nullable().meta({ description: 'First value of an ordered group' }),
  high: z.number().nullable().meta({ description: 'Where it ends; null: no end' }),
  eligible: count,
  only_a: count.meta({ description: 'Kept by the first run only' }),
  only_b: count.meta({ description: 'Kept by the second run only' }),
  flip_rate: share
    .nullable()
    .meta({ description: '(only_a + only_b) / eligible; null where there is no selection' }),
  difference: nats.meta({ description: 'Mean absolute difference of the measure, in nats' }),
});

const parts = z
  .strictObject({ total: count, names: z.array(z.string()) })
  .meta({ description: 'Parts that one run only has; at most 100 are named' });

export const comparisonSchema = z
  .strictObject({
    names: z.tuple([z.string(), z.string()]).meta({ description: 'The two runs: a, the one audited, and b' }),
    parts: count.meta({ description: 'Parts compared' }),
    only_in_a: parts,
    only_in_b: parts,
    tokens: count,
    eligible: count.meta({ description: 'Tokens with a loss in both runs' }),
    unpaired: count.meta({ description: 'Tokens with a loss in one run only; they are in no other count' }),
    measure: z
      .enum(['excess', 'current_loss', 'reference_loss'])
      .nullable()
      .meta({ description: 'What `difference` is of: the first of these that both runs have' }),
    selection: z
      .strictObject({
        both: count,
        only_a: count,
        only_b: count,
        neither: count,
        flipped: count.meta({ description: 'only_a + only_b' }),
        flip_rate: share.meta({ description: 'flipped / eligible' }),
        agreement: share.meta({
          description: 'both / (both + flipped), the Jaccard index; 1 where nothing is kept',
        }),
      })
      .nullable()
      .meta({ description: 'Kept: of weight above 0. Null unless both runs have weights' }),
    losses: z.array(
      z.strictObject({
        column: z.string(),
        count,
        unpaired: count,
        max: z.number(),
        mean: z.number(),
        p999: z.number(),
      }),
    ),
    differ_by: z.array(
      z.strictObject({
        by: z.string().meta({
          description:
            '`token_class`, `host`, a column, `position`, or `cut_distance`: the larger of the distances of a token’s excess from where each run’s selection cuts, which is estimated part by part; a run that does not select by excess has no cut',
        }),
        label: z.string(),
        ordered: z.boolean(),
        groups: z
          .array(group)
          .meta({ description: 'At most 40: ordered ones in order, others by most flips first' }),
        groups_total: count,
        others: group.nullable().meta({ description: 'The groups left out, together' }),
      }),
    ),
    examples: z
      .array(
        exampleSchema.extend({
          kept_by: z.enum(['a', 'b']),
          excess_a: nats,
          excess_b: nats,
        }),
      )
      .meta({ description: 'A seeded sample of the tokens that one run only keeps' }),
    seed: z.int(),
  })
  .meta({ title: 'Comparison', description: 'Two runs over the same tokens' });

export type Comparison = z.infer<typeof comparisonSchema>;
export type ComparisonGroup = z.infer<typeof group>;
