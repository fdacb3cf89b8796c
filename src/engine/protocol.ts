/**
 * What is said over an engine's pipes, as JSON in the schema metadata of the two Arrow streams (docs/engines.md): the job on
 * its standard input, what came of it on its standard output.
 */
import { z } from 'zod';

export const PROTOCOL = 1;

/** What a job may ask for of each token. Further names are kept: `prob2`, `topk`, `hidden`, `generate`. */
export const ENGINE_OUTPUTS = ['loss', 'entropy', 'greedy'] as const;
export type EngineOutput = (typeof ENGINE_OUTPUTS)[number];

export interface JobModel {
  /** By which its columns are called: `reference.loss`. */
  readonly name: string;
  /** Absolute path. */
  readonly folder: string;
}

export interface EngineJob {
  readonly models: readonly JobModel[];
  /** `auto`, or a name of the engine's own. */
  readonly device: string;
  /** Which of several cards, from 0. */
  readonly card: number;
  readonly precision: 'auto' | 'fp32' | 'fp16' | 'bf16';
  /** Threads of the process; 0: as its library would. */
  readonly threads: number;
  /** Tokens. */
  readonly longest_row: number;
  readonly attention: 'across' | 'within';
  readonly outputs: readonly EngineOutput[];
  /** What one engine alone knows; one that does not know a name refuses it. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

const text = z.string().max(1024);

const modelFacts = z.looseObject({
  architecture: text,
  /** Logits a token. */
  vocabulary: z.int().min(1),
  /** Tokens; null where nothing bounds a row. */
  max_positions: z.int().min(1).nullable(),
  parameters: z.int().min(0),
  /** What the weights are held in. */
  dtype: text,
});

/** What an engine answers to a job. `profile` decides the last bits, and is fingerprinted with the models' facts. */
export const engineAnswer = z.looseObject({
  protocol: z.literal(PROTOCOL),
  engine: text.min(1),
  outputs: z.array(text).max(64),
  models: z.record(text, modelFacts),
  profile: z.record(text, z.json()),
});

export type EngineAnswer = z.output<typeof engineAnswer>;
export type ModelFacts = z.output<typeof modelFacts>;
