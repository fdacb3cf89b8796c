/** The one place that knows which architectures there are. */
import type { Architecture } from '../decoder.js';
import { llama, mistral, qwen2, qwen3 } from './llama.js';

/** By the name that config.json gives in `architectures`. */
export const architectures: Readonly<Record<string, Architecture>> = {
  LlamaForCausalLM: llama,
  MistralForCausalLM: mistral,
  Qwen2ForCausalLM: qwen2,
  Qwen3ForCausalLM: qwen3,
};
