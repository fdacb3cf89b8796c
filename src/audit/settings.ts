import { z } from 'zod';
import { rememberedSettings } from '../texts/remembered.js';
import { evaluationSets } from './compare/evaluation-sets.js';

const path = z.string().min(1);

/** What `tokensieve audit` and an `audit` stage are given. */
export const auditSettings = z.strictObject({
  run: path.meta({ description: "A run's output folder, or its scored or weighted folder" }),
  weighted: path.optional().meta({
    flag: 'weighted',
    description: 'Folder of the weighted files, where it is not RUN/weighted',
  }),
  out: path
    .optional()
    .meta({ flag: 'out', description: 'Folder for audit.json and report.html (RUN/audit)' }),
  title: z.string().min(1).max(200).optional().meta({ flag: 'title', description: 'Title of the report' }),
  shards: z.array(path).min(1).optional().meta({
    flag: 'shards',
    description: 'Where the text is: files, folders or globs (those that the run remembers)',
  }),
  tokenizer: path.optional().meta({
    flag: 'tokenizer',
    description: 'tokenizer.json or its folder (the one that the run remembers)',
  }),
  remembered: rememberedSettings,
  by: z.array(path).max(20).optional().meta({
    flag: 'by',
    repeats: true,
    description: 'Kept columns, or keys within them, to group by (those that look like domains)',
  }),
  documents: z.int().min(0).max(1000).default(60).meta({
    flag: 'documents',
    description: 'Documents of the reading view',
  }),
  seed: z.int().min(0).default(1).meta({ flag: 'seed', description: 'Of every sample' }),
  dynamics: z.array(path).min(2).max(64).optional().meta({
    flag: 'dynamics',
    description: 'Runs over one held-out text in training order, for token dynamics',
  }),
  overlap: z
    .strictObject({
      reference: z.array(path).min(1).meta({
        flag: 'overlap-reference',
        description: "Shards of the reference model's training data",
      }),
      evaluation: evaluationSets.meta({
        flag: 'overlap-evaluation',
        repeats: true,
        description: 'Evaluation data: shards, a set each, or NAME=GLOB',
      }),
      reference_text: z.string().min(1).optional().meta({
        flag: 'overlap-reference-text',
        description: 'Column of the reference text (text)',
      }),
      evaluation_text: z.string().min(1).optional().meta({
        flag: 'overlap-evaluation-text',
        description: 'Column of the evaluation text (text)',
      }),
      n: z.int().min(1).max(1000).default(13).meta({
        flag: 'overlap-words',
        description: 'Words in a run, an n-gram',
      }),
    })
    .optional(),
  compare: path.optional().meta({ flag: 'compare', description: 'Another run over the same tokens' }),
});

export type AuditSettings = Readonly<z.output<typeof auditSettings>>;
export type AuditInput = z.input<typeof auditSettings>;
