/**
 * What the recipe of a data set says. A manifest keeps it as plain JSON, which is what is hashed and compared; this is
 * the one schema by which it is read. Recipes of older versions lack some fields, newer ones have more, and both are
 * read; a field that is there is of its type.
 */
import { z } from 'zod';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import type { LossColumn } from './sequence-batch.js';

const id = z.int().min(0).nullable();
const compression = z.enum(['none', 'zstd', 'lz4']);

export const corpusSection = z.object({
  text: z.string(),
  keep: z.array(z.string()).readonly(),
  max_text_bytes: z.int(),
  max_page_bytes: z.int(),
  part_bytes: z.int(),
  limit: z.int(),
});

export const tokenizerSection = z.object({
  hash: z.string().min(1),
  /** What is put around a document unless `sequence` switches it off; null where the tokenizer has none. */
  bos_id: id,
  eos_id: id,
  control_tokens: z.enum(['text', 'special']),
});

export const sequenceSection = z.object({
  /** Ids of the longest row that there may be. */
  length: z
    .int()
    .min(2)
    .max(1 << 20),
  packing: z.enum(['packed', 'document']),
  attention: z.enum(['across', 'within']),
  /** Ids that windows of a long document repeat. */
  overlap: z.int().min(1),
  bos: z.boolean(),
  eos: z.boolean(),
});

const importSection = z.object({
  as: z.enum(['reference', 'current']),
  /** `spread`: the mean of a row or document stands for each of its tokens. */
  means: z.string().optional(),
  /** The import that the other losses come from. */
  get before() {
    return importSection.optional();
  },
});

const profileSection = z.object({ precision: z.string(), engine: z.string() }).partial();

/** How text became rows, and rows got their losses; every field may be absent. */
const rowsSchema = z.object({
  semantics: z.record(z.string(), z.number()).optional(),
  corpus: corpusSection.partial().default({}),
  tokenizer: tokenizerSection.partial().default({}),
  sequence: sequenceSection.partial().default({}),
  /** Hashes; null where the model did not score. */
  models: z
    .object({ current: z.string().nullable(), reference: z.string().nullable() })
    .partial()
    .default({}),
  /** Of the run, or of each role where an engine computed one. */
  numeric_profile: profileSection
    .extend({ reference: profileSection, current: profileSection })
    .partial()
    .default({}),
  compression: compression.optional(),
  score: z.object({ compression }).partial().default({}),
  import: importSection.optional(),
});

const recipeSchema = rowsSchema.extend({
  /** Of weighted parts: the recipe of those that were selected from. */
  scored: rowsSchema.optional(),
  conventions: z
    .object({ method: z.string(), normaliser: z.enum(['sum-of-weights', 'eligible-tokens']) })
    .partial()
    .default({}),
});

export type RowsRecipe = z.output<typeof rowsSchema>;

export interface Recipe {
  /** As the manifests have it: what is hashed, compared and shown. */
  readonly json: JsonObject;
  /** How rows and losses were made: the recipe itself, or the one of scoring that a selection's holds. */
  readonly rows: RowsRecipe;
  readonly rowsJson: JsonObject;
  /** Of a selection; empty of other parts. */
  readonly conventions: z.output<typeof recipeSchema>['conventions'];
}

/** A recipe by the schema, or in words what is wrong with it: `recipe.sequence.length: Invalid input: …`. */
export function readRecipe(json: JsonObject): Recipe | { readonly problem: string } {
  const parsed = recipeSchema.safeParse(json);
  if (!parsed.success) return { problem: problemOf(parsed.error, 'recipe') };
  const { scored, conventions, ...own } = parsed.data;
  const inner = json['scored'];
  return {
    json,
    rows: scored ?? own,
    rowsJson: isJsonObject(inner) ? inner : json,
    conventions,
  };
}

/**
 * The fields of a rows' recipe that a reader cannot do without, or in words the first that is not there.
 * @param schema an object of the sections' `pick`s
 */
export function neededFields<S extends z.ZodType>(
  rows: RowsRecipe,
  schema: S,
): { readonly fields: z.output<S> } | { readonly problem: string } {
  const parsed = schema.safeParse(rows);
  return parsed.success ? { fields: parsed.data } : { problem: problemOf(parsed.error, '') };
}

function problemOf({ issues: [issue] }: z.ZodError, at: string): string {
  return `${[at, ...(issue?.path ?? [])].filter((name) => name !== '').join('.')}: ${issue?.message}`;
}

/** What rows have at their edges. */
export interface RowEdges {
  /** Ids at a row's start that the row before had: one where rows are packed, the overlap of a long document's windows else. */
  readonly repeats: number;
  /** What is put around a document; null where nothing is, or nothing says it. */
  readonly bosId: number | null;
  readonly eosId: number | null;
}

export function rowEdges({ sequence, tokenizer }: RowsRecipe): RowEdges {
  return {
    repeats: sequence.packing === 'document' ? (sequence.overlap ?? 1) : 1,
    bosId: sequence.bos === false ? null : (tokenizer.bos_id ?? null),
    eosId: sequence.eos === false ? null : (tokenizer.eos_id ?? null),
  };
}

/**
 * The loss columns in which every token has its row's or document's mean, as `import --means spread` leaves them; losses of
 * others are each token's own.
 */
export function meansColumns(rows: RowsRecipe): ReadonlySet<LossColumn> {
  const columns = new Set<LossColumn>();
  // An import into an imported run holds what was imported before.
  for (let one = rows.import; one !== undefined; one = one.before) {
    if (one.means === 'spread') columns.add(`${one.as}_loss`);
  }
  return columns;
}

/** How the files of the parts are compressed. */
export const compressionOf = ({ compression, score }: RowsRecipe): 'none' | 'zstd' | 'lz4' =>
  compression ?? score.compression ?? 'none';
