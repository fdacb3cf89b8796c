import { z } from 'zod';

const count = z.int().min(0);

/** A token in its row, as ids: whoever has the tokenizer adds the text. */
export const exampleSchema = z.strictObject({
  shard: z.string(),
  part: count,
  sequence: count.meta({ description: 'Row of the sequence file, by its sequence id' }),
  position: count.meta({ description: 'Place of the token in that row, from 0' }),
  document: z
    .int()
    .nullable()
    .meta({ description: 'Row of the shard; null where no segment covers the token' }),
  ids: z
    .strictObject({ before: z.array(count), token: count, after: z.array(count) })
    .meta({ description: 'The token, and up to 12 ids of its row on either side' }),
  text: z
    .strictObject({ before: z.string(), token: z.string(), after: z.string() })
    .nullable()
    .meta({ description: 'The ids spelled out; null without a tokenizer' }),
});

export type Example = z.infer<typeof exampleSchema>;
