/** Random Llama checkpoints of known shapes, made on the spot. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** SmolLM2-135M, and a Llama of 25 million parameters. */
export const shapes = {
  '135m': {
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    rope_theta: 100000,
    tie_word_embeddings: true,
  },
  /** About the size that two cores train in an afternoon. */
  '5m': {
    vocab_size: 4096,
    hidden_size: 256,
    intermediate_size: 688,
    num_hidden_layers: 5,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    rope_theta: 10000,
    tie_word_embeddings: true,
  },
  /** Fast enough to read much text with: for memory, not for speed. */
  micro: {
    vocab_size: 32000,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    rope_theta: 10000,
    tie_word_embeddings: true,
  },
  '25m': {
    vocab_size: 32000,
    hidden_size: 384,
    intermediate_size: 1024,
    num_hidden_layers: 8,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    rope_theta: 10000,
    tie_word_embeddings: true,
  },
};

/**
 * Names and shapes of a Llama checkpoint's tensors, norms included.
 * @param {Record<string, any>} shape fields of config.json
 * @returns {[string, number[]][]}
 */
export function llamaTensors(shape) {
  const { vocab_size: V, hidden_size: H, intermediate_size: I, num_hidden_layers: L } = shape;
  const kv = (H / shape.num_attention_heads) * shape.num_key_value_heads;
  const layers = Array.from({ length: L }, (_, layer) => {
    const at = (name) => `model.layers.${layer}.${name}.weight`;
    return [
      [at('input_layernorm'), [H]],
      [at('post_attention_layernorm'), [H]],
      [at('self_attn.q_proj'), [H, H]],
      [at('self_attn.k_proj'), [kv, H]],
      [at('self_attn.v_proj'), [kv, H]],
      [at('self_attn.o_proj'), [H, H]],
      [at('mlp.gate_proj'), [I, H]],
      [at('mlp.up_proj'), [I, H]],
      [at('mlp.down_proj'), [H, I]],
    ];
  });
  return [
    ['model.embed_tokens.weight', [V, H]],
    ...layers.flat(),
    ['model.norm.weight', [H]],
    ...(shape.tie_word_embeddings ? [] : [['lm_head.weight', [V, H]]]),
  ];
}

/** Writes a Llama checkpoint of normal-ish random weights (sums of uniforms; the distribution does not matter here). */
export function writeLlama(folder, shape) {
  const tensors = llamaTensors(shape);
  const header = {};
  let end = 0;
  const parts = tensors.map(([name, dims]) => {
    const values = new Float32Array(dims.reduce((a, b) => a * b, 1));
    if (dims.length === 1) values.fill(1);
    else {
      let state = end + 1;
      for (let i = 0; i < values.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        values[i] = (state / 2 ** 32 - 0.5) * 0.14;
      }
    }
    header[name] = { dtype: 'F32', shape: dims, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
    return Buffer.from(values.buffer);
  });
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, text, ...parts]));
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    ...shape,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
}
