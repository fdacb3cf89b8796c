/** What every architecture gives: how to build its graph, and what it costs. */
import { z } from 'zod';
import { fatalError } from '../errors.js';
import type { GraphBuilder, Value } from '../onnx/graph.js';
import type { AttentionForm } from '../onnx/ops/attention.js';
import type { Weights } from './weights.js';

/** Inputs of the graph, the ids of positions and documents only with attention `within`; and its form. */
export interface BodyInputs {
  /** [B, T] int32. */
  readonly ids: Value;
  /** [B, T] int32 or null. */
  readonly positionIds: Value | null;
  /** [B, T] int32 or null. */
  readonly documentIds: Value | null;
  readonly attention: AttentionForm;
  /** T where it is known when the graph is built. */
  readonly length?: number;
}

/** Multiply-adds ×2 a token: `matmul + attentionPerContextToken · T`. */
export interface TokenFlops {
  readonly matmul: number;
  readonly attentionPerContextToken: number;
}

/** A decoder's numbers by one name each, whatever config.json calls them; null where nothing says. */
export interface ModelShape {
  readonly layers: number | null;
  readonly hiddenSize: number | null;
  readonly heads: number | null;
  readonly kvHeads: number | null;
  readonly headSize: number | null;
  readonly innerSize: number | null;
  /** Rotary positions in words (`theta 10000, linear ×2`); null for learned ones, or without a configuration. */
  readonly rope: string | null;
  readonly tiedHead: boolean | null;
  /** Tokens that a layer with a sliding window sees, its own included. */
  readonly slidingWindow: number | null;
}

/** Names of tensors that differ between families, as this package writes them; see `tensor-names.ts` for what it reads. */
export interface DecoderNames {
  /** transformers' `base_model_prefix`: names in checkpoints may have it or lack it. */
  readonly base: string;
  readonly embedding: string;
  readonly head: string;
  /** Another name that checkpoints give the head. */
  readonly otherHead?: string;
}

export interface Decoder {
  readonly names: DecoderNames;
  /** The head is the embedding: config.json's `tie_word_embeddings`, or its family's default. */
  readonly tied: boolean;
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  /** Longest sequence, in tokens. */
  readonly maxPositions: number;
  /** The same where longrope's switch of frequencies sets it, not max_position_embeddings; else null. */
  readonly longestRow: number | null;
  readonly flopsPerToken: TokenFlops;
  /** Numbers a token that the widest layer holds at once: residual, norm and branch, and its widest intermediates. */
  readonly activationWidth: number;
  readonly shape: ModelShape;
  /** Adds the body: ids → the final norm's output, [B, T, hiddenSize] in the graph's float type. */
  body(g: GraphBuilder, weights: Weights, inputs: BodyInputs): Value;
  /** The output embedding, [vocabularySize, hiddenSize], as `Weights.head` gives it. */
  head(weights: Weights): Value;
}

/** One family of checkpoints: what `model_type` of config.json names. */
export interface Family {
  /** The class of transformers that the type stands for. */
  readonly className: string;
  /** Fields of config.json that the decoder is built from. */
  readonly understood: readonly string[];
  /** Fields beside `inertFields` that configurations of the family have and that change no loss. */
  readonly inert: readonly string[];
  /** Whether the output embedding is the input's where `tie_word_embeddings` is absent. */
  readonly tiedByDefault: boolean;
  /** config.json's object (already JSON) and its path, for messages → decoder. @throws fatal `bad-config` and others */
  readonly build: (config: unknown, file: string) => Decoder;
}

export const size = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);
/** Layers: each takes work before a tensor is missed, and a header of safetensors cannot name as many as this. */
export const depth = size.max(2 ** 20);
export const epsilon = z.number().positive().max(1);

/**
 * Parses config.json by an architecture's schema.
 * @throws fatal `bad-config` naming the file and the first field that is wrong.
 */
export function parseConfig<T extends z.ZodType>(schema: T, config: unknown, file: string): z.infer<T> {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  throw fatalError(
    'bad-config',
    `${file}: ${field === '' ? 'the configuration' : `field ${field}`} is not usable (${issue?.message ?? 'invalid'}); fetch the checkpoint's config.json again`,
  );
}

/** Refuses a configuration whose numbers do not fit together. */
export function checkConfig(holds: boolean, file: string, found: string): asserts holds {
  if (!holds) throw fatalError('bad-config', `${file}: ${found}; fetch the checkpoint's config.json again`);
}

/**
 * FLOPs of a decoder. Matmul: 2 for each element of each matrix a token is multiplied with, the head included,
 * embeddings, norms and biases not. Attention at context T: scores and mixing take 2·heads·headSize each for
 * every visible token, and a causal token of a row of T sees (T + 1)/2 of them on average, counted as T/2;
 * sliding windows are counted as if they were full.
 */
export function tokenFlops(matrixElements: number, layers: number, queryWidth: number): TokenFlops {
  return { matmul: 2 * matrixElements, attentionPerContextToken: 2 * queryWidth * layers };
}
