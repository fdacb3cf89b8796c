/**
 * What scoring takes of a card's memory, by arithmetic: batch shapes are chosen from it before anything runs, so that
 * they depend on the card and the settings, never on what happened to be free.
 */
import { usageError } from '../errors.js';
import type { ModelInfo, Precision } from '../model/prepared-model.js';
import { deviceChunkBytes } from '../onnx/ops/head.js';
import type { AttentionScope } from '../sequence/packing.js';

/** CUDA's context and libraries, one process. */
const CONTEXT_BYTES = 2 ** 30;
/** Arenas grow by doubling and keep what they took. */
const ARENA_SLACK = 1.5;
/** Of the card, for scoring: the rest is for what the arithmetic leaves out. */
const SHARE = 0.9;
/** Enough for products that fill a card, by reasoning; more takes memory and brings no speed. */
const MOST_TOKENS = 16_384;
/** Chunks of logits alive at once: as they are, by groups, and as log-probabilities; entropy adds two. */
const LOGIT_COPIES = 3;
const ENTROPY_COPIES = 2;

const floatBytes = { fp32: 4, fp16: 2, bf16: 2 } as const satisfies Record<Precision, number>;

export interface MemoryNeeds {
  readonly models: readonly ModelInfo[];
  readonly precision: Precision;
  readonly length: number;
  readonly attention: AttentionScope;
  readonly entropy: boolean;
  /** Pairs of models that share the card. */
  readonly pairs: number;
}

/** Bytes of the models' weights: in the body's type, the output embedding and a stored input embedding in float32. */
export function weightBytes({ models, precision }: Pick<MemoryNeeds, 'models' | 'precision'>): number {
  return models.reduce((sum, { parameters, vocabularySize, hiddenSize = 0 }) => {
    const embeddings = precision === 'fp32' ? 0 : 2 * 4 * vocabularySize * hiddenSize;
    return sum + parameters * floatBytes[precision] + embeddings;
  }, 0);
}

/** Bytes beside the weights when a batch of so many rows runs, for all models at once. */
export function batchBytes(needs: MemoryNeeds, rows: number): number {
  const { models, precision, length, attention, entropy } = needs;
  const bytes = floatBytes[precision];
  const heads = deviceChunkBytes * (LOGIT_COPIES + (entropy ? ENTROPY_COPIES : 0));
  const mask = attention === 'within' ? rows * length * length * (1 + bytes) : 0;
  return models.reduce(
    (sum, { activationWidth = 0 }) =>
      sum + ARENA_SLACK * (rows * length * activationWidth * bytes + heads + mask),
    0,
  );
}

/**
 * Tokens of a batch on a card: whole rows, at most 16,384 tokens, that fit with the weights into nine tenths of it.
 * @throws usage `card-too-small` with the arithmetic when not even one row fits
 */
export function tokensThatFit(needs: MemoryNeeds, cardBytes: number): number {
  const { length, pairs } = needs;
  const room = (SHARE * cardBytes - CONTEXT_BYTES) / pairs - weightBytes(needs);
  const most = Math.max(1, Math.floor(MOST_TOKENS / length));
  for (let rows = most; rows >= 1; rows--) {
    if (batchBytes(needs, rows) <= room) return rows * length;
  }
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  const shared = pairs > 1 ? `, for each of ${pairs} pairs on it` : '';
  throw usageError(
    'card-too-small',
    `weights ${gigabytes(weightBytes(needs))} and one row of ${length} tokens ${gigabytes(batchBytes(needs, 1))}${shared}: more than the card's ${gigabytes(cardBytes)} hold (nine tenths are used, ${gigabytes(CONTEXT_BYTES)} of them by CUDA); use a 16-bit score.precision, a shorter sequence.length, fewer run.workers, or one model at a time`,
  );
}
