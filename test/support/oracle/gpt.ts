import type { Checkpoint, Tensor } from './checkpoint.js';
import { activation, add, attention, conv1d, embedding, layerNorm, linear, type Row } from './layers.js';
import type { Forward } from './llama.js';
import { readRope, rotate } from './rope.js';

/** GPT-2: learned positions, fused query-key-value, matrices stored [in, out]. */
export function gpt2({ config, weights }: Checkpoint, ids: readonly number[]): Forward {
  const hidden = config.number('n_embd');
  const query = config.number('n_head');
  const heads = { query, keyValue: query, size: hidden / query, window: null };
  const epsilon = config.number('layer_norm_epsilon');
  const act = activation(config.text('activation_function'));
  const get = (name: string): Tensor => weights.get(`transformer.${name}`);
  const norm = (name: string, row: Row): Row =>
    layerNorm(row, get(`${name}.weight`), get(`${name}.bias`), epsilon);
  const apply = (name: string, row: Row): Row => conv1d(row, get(`${name}.weight`), get(`${name}.bias`));

  let x = ids.map((id, t) => add(embedding(get('wte.weight'), id), embedding(get('wpe.weight'), t)));
  for (let layer = 0; layer < config.number('n_layer'); layer++) {
    const fused = x.map((row) => apply(`h.${layer}.attn.c_attn`, norm(`h.${layer}.ln_1`, row)));
    const third = (n: number): Row[] => fused.map((row) => row.slice(n * hidden, (n + 1) * hidden));
    const mixed = attention(third(0), third(1), third(2), heads);
    x = x.map((row, t) => add(row, apply(`h.${layer}.attn.c_proj`, mixed[t]!)));
    x = x.map((row) => {
      const inner = act(apply(`h.${layer}.mlp.c_fc`, norm(`h.${layer}.ln_2`, row)));
      return add(row, apply(`h.${layer}.mlp.c_proj`, inner));
    });
  }
  return { states: x.map((row) => norm('ln_f', row)), head: get('wte.weight') };
}

/** GPT-NeoX: rotary on part of each head, query-key-value fused head by head, parallel or sequential residual. */
export function gptNeoX({ config, weights }: Checkpoint, ids: readonly number[]): Forward {
  const query = config.number('num_attention_heads');
  const size = config.number('hidden_size') / query;
  const heads = { query, keyValue: query, size, window: null };
  const rotated = Math.floor(size * config.number('rotary_pct', 0.25));
  const rope = readRope(config, rotated, config.number('rotary_emb_base', 10000));
  const epsilon = config.number('layer_norm_eps');
  const act = activation(config.text('hidden_act'));
  const parallel = config.flag('use_parallel_residual', true);
  const get = (name: string): Tensor => weights.get(`gpt_neox.${name}`);
  const norm = (name: string, row: Row): Row =>
    layerNorm(row, get(`${name}.weight`), get(`${name}.bias`), epsilon);
  const apply = (name: string, row: Row): Row =>
    linear(row, get(`${name}.weight`), weights.find(`gpt_neox.${name}.bias`));
  const table = get('embed_in.weight');

  let x = ids.map((id) => embedding(table, id));
  for (let layer = 0; layer < config.number('num_hidden_layers'); layer++) {
    const name = `layers.${layer}`;
    const fused = x.map((row) =>
      apply(`${name}.attention.query_key_value`, norm(`${name}.input_layernorm`, row)),
    );
    const third = (n: number): Row[] =>
      fused.map((row) => {
        const out = new Float64Array(query * size);
        for (let h = 0; h < query; h++) {
          out.set(row.slice((3 * h + n) * size, (3 * h + n + 1) * size), h * size);
        }
        return out;
      });
    const turned = (rows: Row[]): Row[] => rows.map((row, t) => rotate(row, t, size, rope));
    const mixed = attention(turned(third(0)), turned(third(1)), third(2), heads);
    x = x.map((row, t) => {
      const attended = add(row, apply(`${name}.attention.dense`, mixed[t]!));
      const seen = norm(`${name}.post_attention_layernorm`, parallel ? row : attended);
      const inner = act(apply(`${name}.mlp.dense_h_to_4h`, seen));
      return add(attended, apply(`${name}.mlp.dense_4h_to_h`, inner));
    });
  }
  const tied = config.flag('tie_word_embeddings', false);
  return {
    states: x.map((row) => norm('final_layer_norm', row)),
    head: tied ? table : weights.get('embed_out.weight'),
  };
}
