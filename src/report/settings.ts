import { z } from 'zod';

/** The settings of a `report` stage: training runs that differ in one thing, held against each other. */
export const reportSchema = z
  .strictObject({
    out: z.string().min(1).meta({ description: 'The report, an HTML file' }),
    title: z.string().min(1).default('Runs compared').meta({ description: 'Title of the report' }),
    arms: z.record(z.string().regex(/^[\w .+-]{1,40}$/), z.array(z.string().min(1)).min(1).max(64)).meta({
      description:
        'Output folders of training runs by arm, one a seed; the n-th runs of all arms saw the same tokens in the same order',
    }),
    baseline: z.string().min(1).meta({ description: 'The arm that the others are held against' }),
    start: z.string().min(1).optional().meta({
      description:
        'Output folder of the run whose model all arms start from: its last held-out losses are their losses at 0 tokens',
    }),
    evaluations: z.array(z.string().min(1)).max(1000).default([]).meta({
      description: 'Reports of eval stages, whose held-out losses are set side by side',
    }),
    sections: z
      .array(
        z.strictObject({
          module: z.string().min(1).meta({ description: 'An ES module with a function section(options)' }),
          options: z
            .record(z.string(), z.unknown())
            .default({})
            .meta({ description: 'Handed to it as they are' }),
        }),
      )
      .max(64)
      .default([])
      .meta({ description: 'Further parts of the report, made by modules of your own' }),
  })
  .refine(({ arms, baseline }) => Object.hasOwn(arms, baseline), {
    path: ['baseline'],
    message: 'must be one of the arms',
  })
  .refine(({ arms }) => new Set(Object.values(arms).map((runs) => runs.length)).size <= 1, {
    path: ['arms'],
    message: 'each arm must have as many runs as the others: they are compared pair by pair',
  });

export type ReportSettings = Readonly<z.output<typeof reportSchema>>;
