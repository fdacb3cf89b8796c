import { z } from 'zod';

/** What the doctor may find, gravest first. */
export const FINDING_CODES = [
  'models-alike',
  'reference-weaker',
  'kept-negative',
  'one-domain',
  'class-dropped',
] as const;

/** One thing that a selection is likely to do wrong; as it stands in audit.json, in answers of the service and in logs. */
export const findingSchema = z
  .strictObject({
    code: z.enum(FINDING_CODES),
    message: z.string().meta({ description: 'What was found, with its figures, in a sentence' }),
    advice: z.string().meta({ description: 'What to do about it' }),
    figures: z
      .record(z.string(), z.union([z.number(), z.string(), z.array(z.string())]))
      .meta({ description: 'The figures of the message; losses in nats, shares from 0 to 1' }),
  })
  .meta({ description: 'What the figures say against a selection' });

export type Finding = Readonly<z.output<typeof findingSchema>>;
