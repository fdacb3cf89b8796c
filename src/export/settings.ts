import { z } from 'zod';
import type { Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { rememberedSettings } from '../texts/remembered.js';

/** Formats of `tokensieve export`, by the name of the trainer or library that reads them. */
export const FORMAT_NAMES = ['hf', 'nanogpt', 'olmo', 'datatrove', 'megatron', 'parquet', 'jsonl'] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];

const path = z.string().min(1);

/** The settings of `tokensieve export`. All but `run` and `out` decide bytes and are part of the recipe. */
export const exportSchema = z.strictObject({
  run: path.meta({ description: 'Output folder of a run, or its weighted, scored or packed folder' }),
  to: z.enum(FORMAT_NAMES).meta({ flag: 'to', description: 'Format to write' }),
  out: path.meta({ flag: 'out', description: 'Folder for the export' }),
  shard_bytes: z
    .int()
    .min(1 << 10)
    .max(2 ** 40)
    .default(512 << 20)
    .meta({
      flag: 'shard-bytes',
      description: 'Size of an output shard, at most (bytes); a row is never cut',
    }),
  threshold: z.number().positive().optional().meta({
    flag: 'threshold',
    description:
      'Weights of at least this become 1, all others 0 (needed where weights are fractions and the trainer takes bits)',
  }),
  token_type: z.enum(['uint16', 'uint32']).default('uint16').meta({
    flag: 'token-type',
    description:
      'nanogpt, olmo, datatrove, megatron: type of ids; uint16 holds ids below 65,536 (megatron: int32 for uint32)',
  }),
  sidecar: z.enum(['weights', 'mask', 'labels']).default('weights').meta({
    flag: 'sidecar',
    description:
      'nanogpt, megatron: beside the ids float32 weights, a mask of bytes, or int32 labels (-100 where the weight is 0)',
  }),
  header: z.enum(['none', 'llmc', 'nemo']).default('none').meta({
    flag: 'header',
    description:
      'nanogpt: what stands before the ids: nothing, or 1,024 bytes with their number, as llm.c and modded-nanogpt (llmc) or NeMo AutoModel (nemo) read them',
  }),
  labels: z.enum(['kept', 'eligible']).default('kept').meta({
    flag: 'labels',
    description:
      'hf: which tokens have a label: those of weight above 0, or every target, which live selection ranks (a trainer that does not multiply by loss_weights would learn them all)',
  }),
  add: z
    .array(z.enum(['attention_mask', 'seq_lengths', 'loss_scale']))
    .default([])
    .meta({
      flag: 'add',
      description:
        'hf: columns that some trainers ask for: attention_mask (axolotl), seq_lengths, ids of each document of a row (padding-free training), loss_scale, the weights by the name that ms-swift has for them',
    }),
  documents: z.enum(['apart', 'together']).optional().meta({
    flag: 'documents',
    description:
      'hf, of documents that do not see each other (attention within): a row each, which every trainer reads rightly (default there), or together in rows with position_ids, which many trainers drop without a word',
  }),
  rows: z.enum(['token', 'sequence']).default('token').meta({
    flag: 'rows',
    description: 'parquet: what a row is',
  }),
  compression: z.enum(['none', 'zstd']).default('none').meta({
    flag: 'compression',
    description: 'parquet: compression of pages',
  }),
  shards: z.array(path).min(1).optional().meta({
    flag: 'shards',
    description: 'jsonl: where the text is: files, folders or globs (those that the run remembers)',
  }),
  tokenizer: path.optional().meta({
    flag: 'tokenizer',
    description: 'jsonl: tokenizer.json or its folder (the one that the run remembers)',
  }),
  remembered: rememberedSettings,
});

/** An export with every default filled in. */
export type ExportSettings = Readonly<z.output<typeof exportSchema>>;
/** An export as it may be written. */
export type ExportInput = z.input<typeof exportSchema>;

/**
 * Checks settings of `exportRun` and fills in the defaults.
 * @param source where the settings come from, for messages
 * @throws TokensieveError `bad-settings` (usage): every wrong field with what was found and expected
 */
export const parseExport = (settings: Settings | ExportInput, source: string): ExportSettings =>
  parseSettings(exportSchema, settings, source);
