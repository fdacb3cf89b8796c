// The checkpoint of a step, every number of which follows from the step: writer and reader need not talk.
import { layOut } from '#tokensieve/train/parameters.js';

export const parameters = layOut([
  { name: 'model.embed_tokens.weight', shape: [97, 64] },
  { name: 'model.norm.weight', shape: [64] },
  { name: 'layers.0.up.weight', shape: [64, 512] },
  { name: 'layers.0.up.bias', shape: [512] },
]);

const lengths = { decayed: 97 * 64 + 64 * 512, undecayed: 64 + 512 };

/** @param {number} seed @param {number} length */
const numbers = (seed, length) => Float32Array.from({ length }, (_, i) => Math.sin(seed * 1000.5 + i));

/** @param {number} seed */
const vectors = (seed) => ({
  decayed: numbers(seed, lengths.decayed),
  undecayed: numbers(seed + 0.5, lengths.undecayed),
});

/** @param {number} step */
export const stateAt = (step) => ({
  weights: vectors(3 * step),
  firstMoment: vectors(3 * step + 1),
  secondMoment: vectors(3 * step + 2),
});

/** @param {number} step */
export const progressAt = (step) => ({
  step,
  tokens: step * 4096,
  position: { rows: step * 8, sources: [step * 5, step * 3] },
  settings_hash: 'a'.repeat(64),
  data_hash: 'b'.repeat(64),
  metrics_bytes: step * 300,
  extra: { scale: step / 3 },
});

/**
 * @param {number} step
 * @param {readonly string[]} [tokenizerFiles]
 */
export const checkpointAt = (step, tokenizerFiles = []) => ({
  config: { architectures: ['LlamaForCausalLM'], torch_dtype: 'bfloat16', hidden_size: 64 },
  tokenizerFiles,
  parameters,
  state: stateAt(step),
  progress: progressAt(step),
});
