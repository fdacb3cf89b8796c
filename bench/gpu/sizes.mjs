/** The models that are measured, and how much of what. */
import { readFileSync } from 'node:fs';
import { shapes } from '../support/llama.mjs';

const published = (name) => {
  const file = new URL(`../../pipelines/shapes/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8'));
};
const long = { max_position_embeddings: 8192 };

/**
 * shape: fields of config.json. batchTokens: tokens a call on a GPU. parityRows: rows of the middle length that losses
 * are compared over. train: rows a micro-batch, tokens a step; null where training is not measured.
 */
export const sizes = {
  '135m': {
    shape: { ...shapes['135m'], ...long },
    batchTokens: 32768,
    parityRows: 16,
    train: { rows: 8, stepTokens: 2 ** 20 },
  },
  '1.1b': {
    shape: { ...published('tinyllama-1.1b'), ...long },
    batchTokens: 16384,
    parityRows: 16,
    train: { rows: 2, stepTokens: 2 ** 20 },
  },
  '7b': {
    // Grouped attention over the whole context: a window of 4,096 changes nothing at the lengths measured.
    shape: { ...published('mistral-7b'), ...long, model_type: 'llama', sliding_window: undefined },
    batchTokens: 8192,
    parityRows: 4,
    train: null,
  },
  /** To rehearse every phase on a CPU in seconds. */
  tiny: {
    shape: { ...shapes.micro, vocab_size: 512 },
    batchTokens: 256,
    parityRows: 4,
    train: { rows: 2, stepTokens: 512 },
  },
};

/** What a whole run measures; `--tiny` is the same over shapes that take no time. */
export const plans = {
  full: {
    sizes: ['135m', '1.1b'],
    lengths: [1024, 2048, 4096],
    seconds: 3,
    vocabularies: [32_000, 128_256, 151_936],
    headBody: '1.1b',
    headLayers: [2, 6],
    pipelineSeconds: 15,
    /** Ceilings of an H100 in bf16, TFLOP/s: measured with large matrices, and the data sheet's. */
    ceilings: [800, 989],
  },
  tiny: {
    sizes: ['tiny'],
    lengths: [32, 64],
    seconds: 0.2,
    vocabularies: [512, 2048],
    headBody: 'tiny',
    headLayers: [1, 3],
    pipelineSeconds: 0.5,
    ceilings: [],
  },
};

/** Precisions that a device computes in. */
export const precisionsOf = (device) => (device === 'cuda' ? ['fp32', 'fp16', 'bf16'] : ['fp32']);
