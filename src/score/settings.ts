import { z } from 'zod';
import { corpusSettings, shardPatterns } from '../corpus/settings.js';
import { compression } from '../dataset/settings.js';
import { isEngineName } from '../engine/command.js';
import { outputFolder, runSettings } from '../parts/settings.js';
import { sequenceSettings } from '../sequence/settings.js';
import { tokenizerSettings } from '../tokenizer/settings.js';

/**
 * The one definition of a scoring run: its types, defaults, flags (`meta.flag`) and JSON Schema. Sections `corpus`,
 * `tokenizer`, `sequence` and `score` say what is computed and are fingerprinted; `run` says how it is carried out and
 * never changes a byte.
 */

/** An engine by name. */
const engine = z
  .string()
  .max(4096)
  .refine(isEngineName, { message: 'expected onnxruntime, torch or exec:COMMAND' });

export const scoreSettings = z.strictObject({
  engine: engine.optional().meta({
    flag: 'engine',
    description: 'Who computes: onnxruntime (default, in this process), torch, or exec:COMMAND',
  }),
  reference_engine: engine.optional().meta({
    flag: 'reference-engine',
    description: 'Who computes the reference model (default: --engine)',
  }),
  current_engine: engine.optional().meta({
    flag: 'current-engine',
    description: 'Who computes the current model (default: --engine)',
  }),
  compile: z.boolean().optional().meta({
    flag: 'compile',
    description: 'Let torch compile the models: slower to start, faster after; the last bits differ',
  }),
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
  compression,
});

/** The sections of a scoring run; a pipeline extends them. */
export const scoring = z.strictObject({
  version: z.literal(1).default(1).meta({ description: 'Version of this file’s format' }),
  shards: shardPatterns,
  reference: z.string().min(1).optional().meta({
    flag: 'reference',
    description: 'Reference model: a folder (Hugging Face checkpoint or ONNX export)',
  }),
  current: z.string().min(1).optional().meta({
    flag: 'current',
    description: 'Current model; without it only reference losses are stored, for live training',
  }),
  out: outputFolder,
  corpus: corpusSettings.prefault({}),
  tokenizer: tokenizerSettings.prefault({}),
  sequence: sequenceSettings.prefault({}),
  score: scoreSettings.prefault({}),
  run: runSettings.prefault({}),
});

/** Whether a run names a model to score with. */
export const namesAModel = (p: {
  readonly reference?: string | undefined;
  readonly current?: string | undefined;
}): boolean => p.reference !== undefined || p.current !== undefined;
export const noModel = { path: ['reference'], message: 'name a reference model, a current model, or both' };

/** The settings of `tokensieve score` and of a `score` stage. */
export const scoreSchema = scoring.refine(namesAModel, noModel);

export type ScoreSettings = z.output<typeof scoreSettings>;

/** A scoring run with every default filled in. */
export type Scoring = z.output<typeof scoreSchema>;
