/** The one place that knows which architectures there are. */
import type { Architecture } from '../decoder.js';
import { gptNeoX } from './gpt-neox.js';
import { gpt2 } from './gpt2.js';
import { llama, mistral, qwen2, qwen3 } from './llama.js';

/** By the name that config.json gives in `architectures`. */
export const architectures: Readonly<Record<string, Architecture>> = {
  LlamaForCausalLM: llama,
  MistralForCausalLM: mistral,
  Qwen2ForCausalLM: qwen2,
  Qwen3ForCausalLM: qwen3,
  GPTNeoXForCausalLM: gptNeoX,
  GPT2LMHeadModel: gpt2,
};
