import { z } from 'zod';
import { exampleSchema } from './example-report.js';

/** How a token's loss goes over training: high or low at first → high or low at last. */
export const DYNAMICS_CLASSES = ['H→H', 'L→H', 'H→L', 'L→L'] as const;

/** Nats that the fitted line must rise or fall by. */
export const DYNAMICS_THRESHOLD = 0.2;

/** The shares that the paper found (arXiv 2404.07965). */
export const PAPER_SHARES = { 'H→H': 0.11, 'L→H': 0.12, 'H→L': 0.26, 'L→L': 0.51 } as const;

const count = z.int().min(0);
const share = z.number().min(0).max(1);
const shares = z.strictObject({ 'H→H': share, 'L→H': share, 'H→L': share, 'L→L': share });

export const dynamicsSchema = z
  .strictObject({
    checkpoints: z
      .array(z.string())
      .min(2)
      .meta({ description: 'Runs in training order, as they were named' }),
    columns: z
      .array(z.enum(['current_loss', 'reference_loss']))
      .meta({ description: "The column that each checkpoint's loss was read from" }),
    threshold: z.number().meta({ description: 'Nats that the fitted line must rise or fall by' }),
    mean_last_loss: z.number().meta({ description: 'Over the tokens counted, in nats' }),
    tokens: count.meta({ description: 'Tokens with a loss at every checkpoint' }),
    unpaired: count.meta({ description: 'Tokens left out: with a loss at some checkpoints only' }),
    classes: z
      .array(
        z.strictObject({
          class: z.enum(DYNAMICS_CLASSES),
          tokens: count,
          share,
          losses: z
            .array(z.number().nullable())
            .meta({ description: 'Mean loss at each checkpoint, in nats; null where the class is empty' }),
          examples: z.array(
            exampleSchema.extend({
              losses: z.array(z.number()).meta({ description: 'At each checkpoint, in nats' }),
            }),
          ),
        }),
      )
      .length(DYNAMICS_CLASSES.length),
    paper: shares.meta({ description: 'The shares of the paper, for comparison' }),
    by_token_class: z
      .array(z.strictObject({ name: z.string(), tokens: count, shares }))
      .nullable()
      .meta({ description: 'Most frequent first; null without a tokenizer' }),
    seed: z.int().meta({ description: 'Of the examples' }),
  })
  .meta({ title: 'Token dynamics', description: 'Losses of the same tokens at two or more checkpoints' });

export type Dynamics = z.infer<typeof dynamicsSchema>;
