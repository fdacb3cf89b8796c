import { z } from 'zod';
import { selectionSettings } from '../select/settings.js';
import { sequenceSettings } from '../sequence/settings.js';

/**
 * The one definition of a pipeline: the file's schema, the types, the command line's flags (`meta.flag`) and
 * schemas/pipeline.json all come from here. Sections `corpus`, `tokenizer`, `sequence` and `score` say what is
 * computed and are fingerprinted; `run` says how it is carried out and never changes a byte.
 */

const corpusSettings = z.strictObject({
  text: z.string().min(1).default('text').meta({
    flag: 'text-column',
    description: 'Column that holds a document’s text (StarCoderData: content)',
  }),
  keep: z.array(z.string().min(1)).max(256).default([]).meta({
    flag: 'keep-columns',
    description: 'Further columns to carry into the documents files (url, date, …)',
  }),
  max_text_bytes: z
    .int()
    .min(1)
    .max(1 << 30)
    .default(64 << 20)
    .meta({
      flag: 'max-text-bytes',
      description: 'A longer document is quarantined (UTF-8 bytes); so is a line of jsonl over 256 MiB',
    }),
  max_page_bytes: z
    .int()
    .min(1 << 20)
    .max(2 ** 31 - 1)
    .optional()
    .meta({
      flag: 'max-page-bytes',
      description:
        'Largest page of a parquet shard, uncompressed; a larger one is quarantined (default: 512 MiB, or 16 times the file if that is more)',
    }),
  part_bytes: z
    .int()
    .min(1 << 10)
    .max(1 << 30)
    .default(32 << 20)
    .meta({
      flag: 'part-bytes',
      description: 'Uncompressed text a part, the unit of work and resume (bytes)',
    }),
  limit: z
    .int()
    .min(1)
    .optional()
    .meta({ flag: 'limit', description: 'Score only the first N rows of each shard, for a first look' }),
});

export const tokenizerSettings = z.strictObject({
  path: z.string().optional().meta({
    flag: 'tokenizer',
    description: 'tokenizer.json or its folder (default: the reference model’s, else the current’s)',
  }),
  control_tokens: z.enum(['text', 'special']).default('text').meta({
    flag: 'control-tokens',
    description:
      'What a control token spelled out in a document is: text, so that no document can forge a boundary, or special',
  }),
});

export const scoreSettings = z.strictObject({
  device: z.enum(['auto', 'cpu', 'cuda', 'webgpu']).default('auto').meta({
    flag: 'device',
    description: 'Where the models run; auto takes CUDA where it loads, else the CPU',
  }),
  precision: z.enum(['auto', 'fp32', 'fp16', 'bf16']).default('auto').meta({
    flag: 'precision',
    description:
      'What the models compute in; auto: fp32, and on CUDA bf16 where weights are stored in it, else fp16',
  }),
  batch_tokens: z
    .int()
    .min(2)
    .max(1 << 24)
    .optional()
    .meta({
      flag: 'batch-tokens',
      description: 'Tokens a model call, padding included (default: 4096, and on CUDA by the card’s memory)',
    }),
  entropy: z.boolean().default(false).meta({
    flag: 'entropy',
    description: 'Store each prediction’s entropy too (reference-entropy and esl need it)',
  }),
  loss_precision: z.enum(['fp32', 'fp16']).default('fp32').meta({
    flag: 'loss-precision',
    description: 'Precision of stored losses; fp16 halves the files and rounds to about 0.05%',
  }),
  compression: z
    .enum(['none', 'zstd', 'lz4'])
    .default('none')
    .meta({ flag: 'compression', description: 'Compression of the Arrow buffers' }),
});

export const runSettings = z.strictObject({
  workers: z
    .int()
    .min(1)
    .max(256)
    .default(1)
    .meta({ flag: 'workers', description: 'Parts in work at once, each with sessions of its own' }),
  threads: z
    .int()
    .min(0)
    .max(1024)
    .default(0)
    .meta({ flag: 'threads', description: 'Threads a model session (0: the cores shared out evenly)' }),
  cards: z.int().min(1).max(64).optional().meta({
    flag: 'cards',
    description: 'NVIDIA cards that workers take in turn (default: all that CUDA_VISIBLE_DEVICES shows)',
  }),
  card_memory: z.number().positive().max(10_000).optional().meta({
    flag: 'card-memory',
    description: 'Memory of a card to plan batches by, in GB of 10⁹ bytes (default: what nvidia-smi says)',
  }),
  models_on_card: z.enum(['overlap', 'turns']).default('overlap').meta({
    flag: 'models-on-card',
    description: 'Whether both models of a pair run at once or one after the other; no loss changes',
  }),
  tokenizer_engine: z.enum(['auto', 'native', 'portable']).default('auto').meta({
    flag: 'tokenizer-engine',
    description: 'Both give the same ids; native is faster where it loads',
  }),
  cache: z
    .string()
    .optional()
    .meta({ flag: 'cache', description: 'Folder for built graphs (default: the user’s cache folder)' }),
});

/** Everything but selection: the settings of `tokensieve score`. */
const scoring = z.strictObject({
  version: z.literal(1).default(1).meta({ description: 'Version of this file’s format' }),
  shards: z.array(z.string().min(1)).min(1).meta({
    flag: 'shards',
    description: 'Shards: files, folders or globs of .parquet, .jsonl, .jsonl.gz, .jsonl.zst',
  }),
  reference: z.string().min(1).optional().meta({
    flag: 'reference',
    description: 'Reference model: a folder (Hugging Face checkpoint or ONNX export)',
  }),
  current: z.string().min(1).optional().meta({
    flag: 'current',
    description: 'Current model; without it only reference losses are stored, for live training',
  }),
  out: z.string().min(1).meta({ flag: 'out', description: 'Output folder' }),
  corpus: corpusSettings.prefault({}),
  tokenizer: tokenizerSettings.prefault({}),
  sequence: sequenceSettings.prefault({}),
  score: scoreSettings.prefault({}),
  run: runSettings.prefault({}),
});

const namesAModel = (p: {
  readonly reference?: string | undefined;
  readonly current?: string | undefined;
}): boolean => p.reference !== undefined || p.current !== undefined;
const noModel = { path: ['reference'], message: 'name a reference model, a current model, or both' };

/** A scoring run: the settings of a `score` stage. */
export const scoreSchema = scoring.refine(namesAModel, noModel);

export const pipelineSchema = scoring
  .extend({
    select: selectionSettings
      .optional()
      .meta({ description: 'Turn the scored files into weighted files as well' }),
  })
  .refine(namesAModel, noModel);

/** A pipeline with every default filled in. */
export type Pipeline = z.infer<typeof pipelineSchema>;
/** A pipeline as it may be written. */
export type PipelineInput = z.input<typeof pipelineSchema>;
