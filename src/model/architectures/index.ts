/** The one place that knows which architectures there are. */
import type { Family } from '../decoder.js';
import { gptNeoX } from './gpt-neox.js';
import { gpt2 } from './gpt2.js';
import { llama, ministral, mistral, qwen2, qwen3 } from './llama.js';

/** By `model_type` of config.json, by which transformers chooses its class. */
export const families: Readonly<Record<string, Family>> = {
  llama,
  mistral,
  ministral,
  qwen2,
  qwen3,
  gpt_neox: gptNeoX,
  gpt2,
};
