import { z } from 'zod';
import type { ModelShape } from '../model/decoder.js';

const number = z.number().nullish().catch(null);
const scaling = z
  .looseObject({
    type: z.string().nullish().catch(null),
    rope_type: z.string().nullish().catch(null),
    factor: number,
    rope_theta: number,
  })
  .nullish()
  .catch(null);

/** Llama's names, GPT-NeoX's and GPT-2's. Anything unusable reads as absent: this informs and decides nothing. */
const configSchema = z.looseObject({
  model_type: z.string().nullish().catch(null),
  num_hidden_layers: number,
  n_layer: number,
  hidden_size: number,
  n_embd: number,
  num_attention_heads: number,
  n_head: number,
  num_key_value_heads: number,
  head_dim: number,
  intermediate_size: number,
  n_inner: number,
  rope_theta: number,
  rotary_emb_base: number,
  rope_scaling: scaling,
  rope_parameters: scaling,
  tie_word_embeddings: z.boolean().nullish().catch(null),
  sliding_window: number,
});

/**
 * The shape of an export, which no family reads: by the names of its config.json.
 * @param config the parsed config.json, or null when there is none
 */
export function shapeFromConfig(config: unknown): ModelShape {
  const c = configSchema.safeParse(config).data ?? {};
  const heads = c.num_attention_heads ?? c.n_head ?? null;
  const hiddenSize = c.hidden_size ?? c.n_embd ?? null;
  const isGpt2 = c.model_type === 'gpt2';
  return {
    layers: c.num_hidden_layers ?? c.n_layer ?? null,
    hiddenSize,
    heads,
    kvHeads: c.num_key_value_heads ?? heads,
    headSize: c.head_dim ?? (heads !== null && hiddenSize !== null ? hiddenSize / heads : null),
    innerSize: c.intermediate_size ?? c.n_inner ?? (isGpt2 && hiddenSize !== null ? 4 * hiddenSize : null),
    rope: isGpt2 || heads === null ? null : ropeOf(c),
    // transformers ties GPT-2's head where the configuration is silent.
    tiedHead: c.tie_word_embeddings ?? (isGpt2 ? true : null),
    slidingWindow: c.sliding_window ?? null,
  };
}

function ropeOf(c: Partial<z.infer<typeof configSchema>>): string | null {
  const changed = c.rope_parameters ?? c.rope_scaling;
  const theta = changed?.rope_theta ?? c.rope_theta ?? c.rotary_emb_base ?? 10000;
  const type = changed?.rope_type ?? changed?.type ?? 'default';
  if (type === 'default') return `theta ${theta}`;
  const factor = changed?.factor;
  return `theta ${theta}, ${type}${factor === null || factor === undefined ? '' : ` ×${factor}`}`;
}
