import type { Checkpoint, Tensor } from './checkpoint.js';
import { activation, add, attention, embedding, linear, multiply, type Row, rmsNorm } from './layers.js';
import { readRope, rotate } from './rope.js';

/** Final hidden states of a document, and the matrix [vocabulary, hidden] that turns one into logits. */
export interface Forward {
  readonly states: readonly Row[];
  readonly head: Tensor;
}

/** Llama, Mistral, Qwen2 and Qwen3: the checkpoint's own tensors say which biases and norms there are. */
export function llama({ config, weights }: Checkpoint, ids: readonly number[]): Forward {
  const hidden = config.number('hidden_size');
  const query = config.number('num_attention_heads');
  const keyValue = config.number('num_key_value_heads', query);
  // Qwen3's own default is 128 whatever the other sizes are.
  const size = config.number('head_dim', config.text('model_type') === 'qwen3' ? 128 : hidden / query);
  const windowed =
    config.has('sliding_window') &&
    (config.text('model_type') === 'mistral' || config.flag('use_sliding_window', false));
  const heads = { query, keyValue, size, window: windowed ? config.number('sliding_window') : null };
  const rope = readRope(config, size, config.number('rope_theta', 10000));
  const epsilon = config.number('rms_norm_eps');
  const act = activation(config.text('hidden_act'));
  const table = weights.get('model.embed_tokens.weight');

  let x = ids.map((id) => embedding(table, id));
  for (let layer = 0; layer < config.number('num_hidden_layers'); layer++) {
    const at = (name: string): Tensor => weights.get(`model.layers.${layer}.${name}.weight`);
    const apply = (name: string, row: Row): Row =>
      linear(row, at(name), weights.find(`model.layers.${layer}.${name}.bias`));
    const headNorm = (name: string, row: Row): Row => {
      const weight = weights.find(`model.layers.${layer}.self_attn.${name}.weight`);
      if (weight === undefined) return row;
      const out = Float64Array.from(row);
      for (let h = 0; h < row.length; h += size) {
        out.set(rmsNorm(row.slice(h, h + size), weight, epsilon), h);
      }
      return out;
    };

    const normed = x.map((row) => rmsNorm(row, at('input_layernorm'), epsilon));
    const q = normed.map((row, t) =>
      rotate(headNorm('q_norm', apply('self_attn.q_proj', row)), t, size, rope),
    );
    const k = normed.map((row, t) =>
      rotate(headNorm('k_norm', apply('self_attn.k_proj', row)), t, size, rope),
    );
    const v = normed.map((row) => apply('self_attn.v_proj', row));
    const mixed = attention(q, k, v, heads);
    x = x.map((row, t) => add(row, apply('self_attn.o_proj', mixed[t]!)));
    x = x.map((row) => {
      const y = rmsNorm(row, at('post_attention_layernorm'), epsilon);
      const gated = multiply(act(apply('mlp.gate_proj', y)), apply('mlp.up_proj', y));
      return add(row, apply('mlp.down_proj', gated));
    });
  }
  const states = x.map((row) => rmsNorm(row, weights.get('model.norm.weight'), epsilon));
  const tied = config.flag('tie_word_embeddings', false);
  return { states, head: tied ? table : weights.get('lm_head.weight') };
}
