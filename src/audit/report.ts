import { z } from 'zod';
import { findingSchema } from '../select/diagnosis/finding.js';
import { TOKEN_CLASSES } from '../texts/token-class.js';
import { comparisonSchema } from './compare/comparison-report.js';
import { dynamicsSchema } from './compare/dynamics-report.js';
import { overlapSchema } from './compare/overlap-report.js';

/**
 * What `tokensieve audit` finds in a run, as it stands in audit.json and as the page reads it. Losses, entropies and
 * excess losses are in nats; a `kept` of null means that the run has no weights. Nothing here depends on when or
 * where the audit was made, so equal runs audited alike give equal files.
 */
export const AUDIT_VERSION = 1;

/** Measured columns; `excess` is fp32(current loss) − fp32(reference loss). */
export const AUDIT_COLUMNS = [
  'reference_loss',
  'current_loss',
  'excess',
  'reference_entropy',
  'current_entropy',
] as const;
export type AuditColumn = (typeof AUDIT_COLUMNS)[number];

const count = z.int().min(0);
const share = z.number().min(0).max(1);
const nats = z.number().nullable();
const keptCount = count.nullable().meta({ description: 'Tokens of weight above 0; null without weights' });

const totals = z.strictObject({
  documents: count,
  text_bytes: count,
  sequences: count,
  tokens: count,
  eligible: count.meta({ description: 'Tokens with a loss' }),
  kept: keptCount,
  weight_sum: z.number().min(0).nullable(),
  quarantined_rows: count,
  quarantined: z.record(z.string(), count).meta({ description: 'Rows set aside, by reason' }),
});

const model = z.strictObject({
  role: z.enum(['reference', 'current']),
  name: z.string().meta({ description: "The folder's name where it is known, else the hash's first digits" }),
  hash: z.string(),
  parameters: count.nullable(),
  architecture: z.string().nullable(),
  precision: z.string().nullable(),
  engine: z
    .string()
    .optional()
    .meta({ description: 'Who computed its losses, where that was not ONNX Runtime here' }),
});

const column = z.strictObject({
  name: z.enum(AUDIT_COLUMNS),
  count,
  mean: z.number(),
  min: z.number(),
  max: z.number(),
  quantiles: z
    .array(z.strictObject({ q: share, value: z.number() }))
    .meta({ description: 'Exact to 1/128 of the value' }),
});

const bins = z.array(count);
const distribution = z.strictObject({
  column: z.enum(AUDIT_COLUMNS),
  lower: z.number().meta({ description: 'Where the first bin begins, in nats' }),
  width: z.number().positive(),
  kept: bins.nullable(),
  dropped: bins.nullable(),
  all: bins,
  below: count.meta({ description: 'Tokens below the first bin' }),
  above: count.meta({ description: 'Tokens from the end of the last bin on' }),
});

const group = z.strictObject({
  name: z.string(),
  low: z.number().nullable().meta({ description: 'Where an ordered group begins' }),
  high: z.number().nullable().meta({ description: 'Where it ends, itself not in the group; null: no end' }),
  eligible: count,
  kept: keptCount,
  reference_loss: nats.meta({ description: 'Mean over the eligible tokens; so are the next two' }),
  current_loss: nats,
  excess: nats,
});

const keptBy = z.strictObject({
  by: z.string().meta({
    description:
      '`current_loss`, `reference_loss`, `excess` (deciles), `position`, `document_tokens`, `token_class`, `host`, or a kept column',
  }),
  label: z.string().meta({ description: 'What the groups are, in words' }),
  ordered: z.boolean(),
  groups: z
    .array(group)
    .meta({ description: 'At most 40: ordered ones in order, others by eligible tokens' }),
  groups_total: count.meta({ description: 'Groups before the cut to 40' }),
  others: group.nullable().meta({ description: 'The groups left out, together' }),
});

const example = z.strictObject({
  shard: z.string(),
  row: z.int().min(-1).meta({ description: 'Row of the document in the shard; -1 where no segment says it' }),
  before: z.string().meta({ description: 'Up to 12 tokens of the same row; without a tokenizer, their ids' }),
  token: z.string(),
  after: z.string(),
  kept: z.boolean().nullable(),
  excess: nats,
});

const tokenRow = z.strictObject({
  id: count,
  text: z.string().nullable().meta({ description: 'null without a tokenizer' }),
  class: z.enum(TOKEN_CLASSES).nullable().meta({ description: 'null without a tokenizer' }),
  eligible: count,
  kept: keptCount,
  reference_loss: nats,
  current_loss: nats,
  excess: nats,
  examples: z.array(example).meta({ description: 'A seeded sample of its places' }),
});

const documentRow = z.strictObject({
  shard: z.string(),
  part: count,
  row: count.meta({ description: 'Row of the document in the shard' }),
  columns: z.record(z.string(), z.string().nullable()),
  eligible: count,
  kept: keptCount,
  excess: z.number().meta({ description: 'Mean excess loss over its eligible tokens' }),
  reference_loss: nats,
  current_loss: nats,
  excerpt: z.string().nullable().meta({ description: 'How it begins; null without a tokenizer' }),
});

const passage = z.strictObject({
  text: z.string().nullable().meta({ description: 'null without a tokenizer' }),
  ids: z.array(count).meta({ description: 'At most 200' }),
  occurrences: count,
  documents: count.nullable().meta({ description: 'Different documents that hold it' }),
  tokens: count.meta({ description: 'Eligible tokens of all its occurrences' }),
  kept_share: share.nullable(),
  excess: nats.meta({ description: 'Mean over these tokens' }),
});

export const auditSchema = z
  .strictObject({
    version: z.literal(AUDIT_VERSION),
    title: z.string(),
    run: z.strictObject({
      path: z.string().meta({ description: 'As it was given' }),
      kind: z.enum(['scored', 'weighted']),
      shards: count,
      parts: count,
      recipe_hash: z.string(),
      recipe: z.record(z.string(), z.unknown()).meta({ description: 'What decided the bytes of the files' }),
      conventions: z.record(z.string(), z.unknown()).nullable(),
    }),
    totals,
    models: z.array(model),
    tokenizer: z.strictObject({
      hash: z.string(),
      vocabulary: count.nullable().meta({ description: 'One more than the largest id' }),
    }),
    cost: z.strictObject({
      scoring_flops: z
        .number()
        .nullable()
        .meta({ description: "The models' forward passes over all tokens; null where a size is not known" }),
      file_bytes: count.meta({ description: 'Bytes of the sequence files' }),
    }),
    calibration: z.strictObject({
      zero_excess_share: share
        .nullable()
        .meta({ description: 'Eligible tokens with an excess of exactly 0' }),
      verdict: z.enum(['informative', 'constant', 'one-model']),
      sentence: z.string(),
    }),
    findings: z
      .array(findingSchema)
      .meta({ description: 'What speaks against the selection, gravest first; empty where nothing does' }),
    /** The selection in a sentence that its figures bear out. */
    kept_in_words: z
      .string()
      .nullable()
      .meta({ description: 'What was kept, as the figures bear it out; null where nothing is said' }),
    columns: z.array(column),
    distributions: z.array(distribution),
    kept_by: z.array(keptBy),
    tokens: z.strictObject({
      kept_share_overall: share.nullable(),
      most_kept: z.array(tokenRow),
      most_dropped: z.array(tokenRow),
    }),
    documents: z.strictObject({
      minimum_tokens: count.meta({ description: 'Documents with fewer eligible tokens are not ranked' }),
      highest: z.array(documentRow),
      lowest: z.array(documentRow),
    }),
    repeated: z.strictObject({
      length: count.meta({ description: 'Ids that must be equal to count as repeated' }),
      passages: z.array(passage),
      note: z.string(),
    }),
    dynamics: dynamicsSchema.nullable(),
    overlap: overlapSchema.nullable(),
    comparison: comparisonSchema.nullable(),
    sample: z.strictObject({
      seed: count,
      documents: count.meta({ description: 'Documents of the reading view' }),
      tokens: count,
      rule: z.string(),
    }),
  })
  .meta({ title: 'tokensieve audit', description: 'What a run kept and dropped' });

export type Audit = z.infer<typeof auditSchema>;
export type KeptBy = z.infer<typeof keptBy>;
export type KeptGroup = z.infer<typeof group>;
export type TokenRow = z.infer<typeof tokenRow>;
export type TokenExample = z.infer<typeof example>;
export type DocumentRow = z.infer<typeof documentRow>;
export type RepeatedPassage = z.infer<typeof passage>;
export type Distribution = z.infer<typeof distribution>;
export type ColumnStatistics = z.infer<typeof column>;
