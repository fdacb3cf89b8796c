import { z } from 'zod';

/** Scores by name. Higher is kept first, so the reference quantities stand with a minus. */
export const SCORE_NAMES = [
  'excess',
  'current-loss',
  'current-entropy',
  'reference-loss',
  'reference-entropy',
] as const;
export type ScoreName = (typeof SCORE_NAMES)[number];

const fraction = z.number().min(0).max(1);

/** The one definition of `select:` in a pipeline file, of `tokensieve select`'s flags and of their JSON Schema. */
export const selectionSettings = z
  .strictObject({
    method: z.string().min(1).default('slm').meta({
      flag: 'method',
      description:
        'How tokens are weighted: a method of docs/methods.md, or the path of a file with a method of your own.',
    }),
    keep: fraction.gt(0).default(0.6).meta({
      flag: 'keep',
      description:
        'Share of the eligible tokens (or sequences, documents) to keep, in whole parts per million. The paper: 0.6 at 1.1B, 0.7 at 7B.',
    }),
    scope: z.string().optional().meta({
      flag: 'scope',
      description:
        'What is ranked against what: sequence, window:N (N tokens of whole rows, never across parts), shard or dataset. Default window:1048576; shard for whole documents.',
    }),
    rounding: z.enum(['floor', 'ceil']).default('floor').meta({
      flag: 'rounding',
      description: 'How keep x eligible becomes a count. At least one token is kept where any is eligible.',
    }),
    seed: z.int().min(0).default(0).meta({
      flag: 'seed',
      description: 'Seed of random and sampled. Draws depend on seed, shard, part, row and position alone.',
    }),
    score: z.enum(SCORE_NAMES).optional().meta({
      flag: 'score',
      description:
        'Score of threshold, band (default excess) and esl (default current-loss). reference-loss and reference-entropy score low values high: their score is the negative.',
    }),
    threshold: z.number().optional().meta({
      flag: 'threshold',
      description: 'Least score that threshold keeps, in nats (compared in fp32).',
    }),
    band: z.tuple([fraction, fraction]).optional().meta({
      flag: 'band',
      description:
        'Ranks that band keeps, from the highest score: [0.1, 0.5] leaves out the top tenth and the lower half.',
    }),
    alpha: fraction.lt(1).default(0.1).meta({
      flag: 'alpha',
      description: 'Quantile of esl: tokens whose loss or entropy is at least the alpha-quantile are kept.',
    }),
    temperature: z
      .number()
      .positive()
      .default(1)
      .meta({ flag: 'temperature', description: 'Temperature of sampled (softmax) and soft, in nats.' }),
    probability: z.enum(['softmax', 'relu']).default('softmax').meta({
      flag: 'probability',
      description: 'What sampled draws in proportion to: exp(excess / temperature), or max(excess, 0).',
    }),
    unit: z
      .enum(['sequence', 'document'])
      .default('sequence')
      .meta({ flag: 'unit', description: 'What rho-loss and miniplm keep or drop as a whole.' }),
    domains: z.string().min(1).default('domain').meta({
      flag: 'domains',
      description: 'Column of the documents file that names the domain, for domain-weights.',
    }),
    domain_rate: z.number().positive().default(1).meta({
      flag: 'domain-rate',
      description: 'Step size of domain-weights (eta of DoReMi), one step a window.',
    }),
    domain_smoothing: fraction.default(0.001).meta({
      flag: 'domain-smoothing',
      description:
        'Share of the uniform distribution mixed into the domain weights at every step (c of DoReMi).',
    }),
    allow_constant: z.boolean().default(false).meta({
      flag: 'allow-constant',
      description:
        'Go on when every score of the data set is equal. Otherwise that is refused: there is nothing to select by.',
    }),
    options: z
      .record(z.string(), z.unknown())
      .default({})
      .meta({ flag: 'options', description: 'Settings of a method of your own, handed to it as they are.' }),
  })
  .describe('How the weights of the tokens are chosen.');

/** How a selection is carried out. Nothing here ever changes a byte. */
export const selectionRun = z.strictObject({
  workers: z.int().min(1).max(256).default(1).meta({
    flag: 'workers',
    description: 'Parts counted and weighed at once, each in a thread of its own',
  }),
});

export type SelectionSettings = Readonly<z.output<typeof selectionSettings>>;
export type SelectionInput = z.input<typeof selectionSettings>;
