/** Checkpoint folders: config.json, safetensors headers and index, links. */
import { join } from 'node:path';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { readConfiguration } from '#tokensieve/model/configuration.js';
import { describeModel, prepareModel } from '#tokensieve/model/prepare.js';
import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { readTensor } from '#tokensieve/model/tensor-data.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { change, number } from '../bytes.mjs';
import { changeJson } from '../json.mjs';
import { resultOf, workFolder } from '../support.mjs';

export const name = 'checkpoint';

/** Values of a tensor that this target makes room for. */
const MAX_VALUES = 2 ** 24;

const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 31,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 4,
  hidden_act: 'silu',
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  tie_word_embeddings: false,
  torch_dtype: 'float32',
};
const layer = 'model.layers.0.';
const LLAMA_TENSORS = {
  'model.embed_tokens.weight': [31, 8],
  'model.norm.weight': [8],
  'lm_head.weight': [31, 8],
  [`${layer}input_layernorm.weight`]: [8],
  [`${layer}post_attention_layernorm.weight`]: [8],
  [`${layer}self_attn.q_proj.weight`]: [8, 8],
  [`${layer}self_attn.k_proj.weight`]: [4, 8],
  [`${layer}self_attn.v_proj.weight`]: [4, 8],
  [`${layer}self_attn.o_proj.weight`]: [8, 8],
  [`${layer}mlp.gate_proj.weight`]: [12, 8],
  [`${layer}mlp.up_proj.weight`]: [12, 8],
  [`${layer}mlp.down_proj.weight`]: [8, 12],
};
const GPT2 = {
  architectures: ['GPT2LMHeadModel'],
  model_type: 'gpt2',
  vocab_size: 31,
  n_embd: 8,
  n_layer: 1,
  n_head: 2,
  n_inner: null,
  n_positions: 64,
  activation_function: 'gelu_new',
  layer_norm_epsilon: 1e-5,
};
const h = 'transformer.h.0.';
const GPT2_TENSORS = {
  'transformer.wte.weight': [31, 8],
  'transformer.wpe.weight': [64, 8],
  'transformer.ln_f.weight': [8],
  'transformer.ln_f.bias': [8],
  [`${h}ln_1.weight`]: [8],
  [`${h}ln_1.bias`]: [8],
  [`${h}ln_2.weight`]: [8],
  [`${h}ln_2.bias`]: [8],
  [`${h}attn.c_attn.weight`]: [8, 24],
  [`${h}attn.c_attn.bias`]: [24],
  [`${h}attn.c_proj.weight`]: [8, 8],
  [`${h}attn.c_proj.bias`]: [8],
  [`${h}mlp.c_fc.weight`]: [8, 32],
  [`${h}mlp.c_fc.bias`]: [32],
  [`${h}mlp.c_proj.weight`]: [32, 8],
  [`${h}mlp.c_proj.bias`]: [8],
};
const NEOX = {
  architectures: ['GPTNeoXForCausalLM'],
  model_type: 'gpt_neox',
  vocab_size: 31,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  hidden_act: 'gelu',
  max_position_embeddings: 64,
  layer_norm_eps: 1e-5,
  rotary_pct: 0.5,
  rotary_emb_base: 10000,
  use_parallel_residual: true,
};

const ROPES = [
  { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16 },
  {
    rope_type: 'llama3',
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 16,
  },
  { type: 'linear', factor: 2 },
];

function header(tensors, type = 'F32') {
  const entries = { __metadata__: { format: 'pt' } };
  let at = 0;
  for (const [name, shape] of Object.entries(tensors)) {
    const bytes = shape.reduce((product, size) => product * size, type === 'F32' ? 4 : 2);
    entries[name] = { dtype: type, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  return { entries, bytes: at };
}

function safetensors(draw, text, bytes) {
  const body = Buffer.from(text);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(
    draw.chance(0.1) ? BigInt.asUintN(64, number(draw, BigInt(body.length))) : BigInt(body.length),
  );
  const data = Buffer.alloc(Math.min(bytes, 100_000));
  for (let i = 0; i + 4 <= data.length; i += 4) data.writeFloatLE(Math.sin(i), i);
  return Buffer.concat([prefix, body, data]);
}

/** Headers that are large in memory, deep, or claim one place twice. */
const wholeHeaders = (draw) =>
  draw.pick([
    () => `{"a":${'['.repeat(draw.pick([1000, 100_000, 3_000_000]))}`,
    () => `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
    () =>
      `{${'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'.repeat(draw.pick([1, 3, 1000]))}"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
    () => `{"a":[${'{},'.repeat(draw.pick([1000, 300_000, 3_000_000]))}1]}`,
    () =>
      `{${Array.from({ length: draw.pick([10, 5000, 100_000]) }, (_, i) => `"t${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`).join(',')}}`,
    () =>
      `{"a":{"dtype":"F32","shape":[${'0,'.repeat(draw.small(100))}9007199254740991,4],"data_offsets":[0,0]}}`,
    () => `{"a":{"dtype":"F32","shape":[1e308,1e308],"data_offsets":[0,1e999]}}`,
    () =>
      `{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"constructor":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`,
  ])();

export function make(draw) {
  const kind = draw.below(3);
  const base = [LLAMA, GPT2, NEOX][kind];
  const tensors = [LLAMA_TENSORS, GPT2_TENSORS, LLAMA_TENSORS][kind];
  const config = { ...base, ...(kind === 0 && draw.chance(0.5) ? { rope_scaling: draw.pick(ROPES) } : {}) };
  const { entries, bytes } = header(tensors, draw.pick(['F32', 'F32', 'F16', 'BF16']));
  let head = JSON.stringify(entries);
  const what = draw.below(4);
  if (what !== 0)
    head = draw.chance(0.15) ? wholeHeaders(draw) : changeJson(draw, entries, draw.small(4) + 1);
  let weights = safetensors(draw, head, bytes);
  if (draw.chance(0.2)) weights = change(draw, weights);
  let text = what === 1 ? JSON.stringify(config) : changeJson(draw, config, draw.small(4) + 1);
  if (draw.chance(0.1)) text = change(draw, Buffer.from(text));
  const files = { 'config.json': Buffer.from(text) };
  const place = draw.below(5);
  if (place === 0) {
    const map = Object.fromEntries(
      Object.keys(tensors).map((tensor, i) => [
        tensor,
        i % 2 ? 'a.safetensors' : draw.pick(['b.safetensors', 'a.safetensors', draw.pick(draw.paths)]),
      ]),
    );
    files['model.safetensors.index.json'] = Buffer.from(
      changeJson(draw, { metadata: { total_size: bytes }, weight_map: map }, draw.small(3)),
    );
    files['a.safetensors'] = weights;
    files['b.safetensors'] = weights;
  } else files['model.safetensors'] = weights;
  if (draw.chance(0.05)) files['tokenizer.json'] = Buffer.from('{}');
  return { files };
}

const storage = localStorage();
export async function run(folder) {
  const settings = {
    device: 'cpu',
    attention: 'across',
    entropy: false,
    cacheFolder: join(workFolder(), 'cache'),
  };
  const outcomes = [];
  outcomes.push((await resultOf(() => describeModel(folder))).outcome);
  outcomes.push((await resultOf(() => prepareModel(folder, settings))).outcome);
  outcomes.push(
    (await resultOf(() => prepareModel(folder, { ...settings, attention: 'within', device: 'cuda' })))
      .outcome,
  );
  outcomes.push((await resultOf(() => readConfiguration(join(folder, 'config.json')))).outcome);
  const head = await resultOf(() => readSafetensorsHeader(join(folder, 'model.safetensors')));
  outcomes.push(head.outcome);
  for (const entry of head.value ?? []) {
    const size = entry.shape.reduce((product, dimension) => product * dimension, 1);
    // What a header claims is held to the file before anything is allocated; here the one who reads allocates.
    if (size > MAX_VALUES) continue;
    outcomes.push((await resultOf(() => readTensor(entry, new Float32Array(size)))).outcome);
  }
  outcomes.push((await resultOf(() => inspect(folder, { storage, cacheFolder: null }))).outcome);
  outcomes.push(
    (await resultOf(() => inspect(join(folder, 'model.safetensors'), { storage, cacheFolder: null })))
      .outcome,
  );
  return outcomes;
}
