/**
 * Small random checkpoints in Hugging Face form, written from a seed: config.json and model.safetensors, in one
 * file or sharded with an index. Names and shapes are spelled out here from the published architectures and
 * share nothing with src/, so that a mistake there cannot hide.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type TestArchitecture =
  | 'LlamaForCausalLM'
  | 'MistralForCausalLM'
  | 'Qwen2ForCausalLM'
  | 'Qwen3ForCausalLM'
  | 'GPTNeoXForCausalLM'
  | 'GPT2LMHeadModel';

export type TestWeightType = 'F32' | 'F16' | 'BF16';

export interface RandomCheckpoint {
  readonly architecture: TestArchitecture;
  readonly seed: number;
  /** F32 unless given. */
  readonly dtype?: TestWeightType;
  /** Fields of config.json that differ from `defaults`; undefined removes one. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  /** Number of weight files; 1 (no index) unless given. */
  readonly shards?: number;
  /** GPT-2 alone: names begin with `transformer.` unless false. */
  readonly transformerPrefix?: boolean;
}

export type Config = Readonly<Record<string, unknown>>;

/** Odd sizes on purpose: nothing is a multiple of a vector, a tile or a chunk. */
const llamaDefaults: Config = {
  model_type: 'llama',
  vocab_size: 131,
  hidden_size: 42,
  intermediate_size: 77,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 8,
  hidden_act: 'silu',
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
};

export const defaults: Readonly<Record<TestArchitecture, Config>> = {
  LlamaForCausalLM: llamaDefaults,
  MistralForCausalLM: { ...llamaDefaults, model_type: 'mistral', sliding_window: 7 },
  Qwen2ForCausalLM: { ...llamaDefaults, model_type: 'qwen2', head_dim: undefined, hidden_size: 48 },
  Qwen3ForCausalLM: { ...llamaDefaults, model_type: 'qwen3', head_dim: 16, tie_word_embeddings: true },
  GPTNeoXForCausalLM: {
    model_type: 'gpt_neox',
    vocab_size: 139,
    hidden_size: 48,
    intermediate_size: 101,
    num_hidden_layers: 3,
    num_attention_heads: 3,
    hidden_act: 'gelu',
    max_position_embeddings: 256,
    layer_norm_eps: 1e-5,
    rotary_pct: 0.25,
    rotary_emb_base: 10000,
    use_parallel_residual: true,
    tie_word_embeddings: false,
  },
  GPT2LMHeadModel: {
    model_type: 'gpt2',
    vocab_size: 137,
    n_embd: 40,
    n_layer: 3,
    n_head: 5,
    n_inner: null,
    n_positions: 256,
    activation_function: 'gelu_new',
    layer_norm_epsilon: 1e-5,
  },
};

/** Normal numbers from a seed: mulberry32 and Box-Muller. */
export function normals(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

interface TensorPlan {
  readonly name: string;
  readonly shape: readonly number[];
  /** Values are `mean + deviation · normal`. */
  readonly mean: number;
  readonly deviation: number;
}

const matrix = (name: string, out: number, into: number): TensorPlan => ({
  name,
  shape: [out, into],
  mean: 0,
  deviation: 1.1 / Math.sqrt(into),
});
/** GPT-2's Conv1D keeps its weight as [in, out]. */
const conv1d = (name: string, into: number, out: number): TensorPlan => ({
  ...matrix(name, out, into),
  shape: [into, out],
});
const embedding = (name: string, rows: number, width: number): TensorPlan => ({
  name,
  shape: [rows, width],
  mean: 0,
  deviation: 0.3,
});
const gain = (name: string, width: number): TensorPlan => ({ name, shape: [width], mean: 1, deviation: 0.2 });
const bias = (name: string, width: number): TensorPlan => ({ name, shape: [width], mean: 0, deviation: 0.2 });

type Numbers = Readonly<Record<string, number>>;

function llamaTensors(config: Config, architecture: TestArchitecture): TensorPlan[] {
  const { vocab_size: V = 0, hidden_size: H = 0, intermediate_size: I = 0, ...n } = config as Numbers;
  const heads = n['num_attention_heads'] ?? 0;
  const kvHeads = n['num_key_value_heads'] ?? heads;
  const D = n['head_dim'] ?? H / heads;
  const attentionBias = config['attention_bias'] === true;
  const qkvBias = architecture === 'Qwen2ForCausalLM' || attentionBias;
  const plan = [embedding('model.embed_tokens.weight', V, H), gain('model.norm.weight', H)];
  for (let layer = 0; layer < (n['num_hidden_layers'] ?? 0); layer++) {
    const at = (name: string): string => `model.layers.${layer}.${name}`;
    const linear = (name: string, out: number, into: number, withBias: boolean): TensorPlan[] => [
      matrix(at(`${name}.weight`), out, into),
      ...(withBias ? [bias(at(`${name}.bias`), out)] : []),
    ];
    const mlpBias = config['mlp_bias'] === true;
    plan.push(
      gain(at('input_layernorm.weight'), H),
      gain(at('post_attention_layernorm.weight'), H),
      ...linear('self_attn.q_proj', heads * D, H, qkvBias),
      ...linear('self_attn.k_proj', kvHeads * D, H, qkvBias),
      ...linear('self_attn.v_proj', kvHeads * D, H, qkvBias),
      ...linear('self_attn.o_proj', H, heads * D, attentionBias),
      ...linear('mlp.gate_proj', I, H, mlpBias),
      ...linear('mlp.up_proj', I, H, mlpBias),
      ...linear('mlp.down_proj', H, I, mlpBias),
    );
    if (architecture === 'Qwen3ForCausalLM') {
      plan.push(gain(at('self_attn.q_norm.weight'), D), gain(at('self_attn.k_norm.weight'), D));
    }
  }
  if (config['tie_word_embeddings'] !== true) plan.push(matrix('lm_head.weight', V, H));
  return plan;
}

function gptNeoXTensors(config: Config): TensorPlan[] {
  const { vocab_size: V = 0, hidden_size: H = 0, intermediate_size: I = 0, ...n } = config as Numbers;
  const attentionBias = config['attention_bias'] !== false;
  const plan = [
    embedding('gpt_neox.embed_in.weight', V, H),
    gain('gpt_neox.final_layer_norm.weight', H),
    bias('gpt_neox.final_layer_norm.bias', H),
  ];
  for (let layer = 0; layer < (n['num_hidden_layers'] ?? 0); layer++) {
    const at = (name: string): string => `gpt_neox.layers.${layer}.${name}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) {
      plan.push(gain(at(`${norm}.weight`), H), bias(at(`${norm}.bias`), H));
    }
    plan.push(
      matrix(at('attention.query_key_value.weight'), 3 * H, H),
      matrix(at('attention.dense.weight'), H, H),
      ...(attentionBias
        ? [bias(at('attention.query_key_value.bias'), 3 * H), bias(at('attention.dense.bias'), H)]
        : []),
      matrix(at('mlp.dense_h_to_4h.weight'), I, H),
      bias(at('mlp.dense_h_to_4h.bias'), I),
      matrix(at('mlp.dense_4h_to_h.weight'), H, I),
      bias(at('mlp.dense_4h_to_h.bias'), H),
    );
  }
  if (config['tie_word_embeddings'] !== true) plan.push(matrix('embed_out.weight', V, H));
  return plan;
}

function gpt2Tensors(config: Config, prefix: string): TensorPlan[] {
  const { vocab_size: V = 0, n_embd: H = 0, n_layer: layers = 0, n_positions: P = 0 } = config as Numbers;
  const I = (config['n_inner'] as number | null) ?? 4 * H;
  const plan = [
    embedding(`${prefix}wte.weight`, V, H),
    embedding(`${prefix}wpe.weight`, P, H),
    gain(`${prefix}ln_f.weight`, H),
    bias(`${prefix}ln_f.bias`, H),
  ];
  for (let layer = 0; layer < layers; layer++) {
    const at = (name: string): string => `${prefix}h.${layer}.${name}`;
    for (const norm of ['ln_1', 'ln_2'])
      plan.push(gain(at(`${norm}.weight`), H), bias(at(`${norm}.bias`), H));
    const widths: readonly (readonly [string, number, number])[] = [
      ['attn.c_attn', H, 3 * H],
      ['attn.c_proj', H, H],
      ['mlp.c_fc', H, I],
      ['mlp.c_proj', I, H],
    ];
    for (const [name, into, out] of widths) {
      plan.push(conv1d(at(`${name}.weight`), into, out), bias(at(`${name}.bias`), out));
    }
  }
  return plan;
}

function tensorsOf(checkpoint: RandomCheckpoint, config: Config): TensorPlan[] {
  switch (checkpoint.architecture) {
    case 'GPTNeoXForCausalLM':
      return gptNeoXTensors(config);
    case 'GPT2LMHeadModel':
      return gpt2Tensors(config, checkpoint.transformerPrefix === false ? '' : 'transformer.');
    default:
      return llamaTensors(config, checkpoint.architecture);
  }
}

const scratch = new DataView(new ArrayBuffer(4));

/** Nearest bfloat16, ties to even; as its 16 bits. */
export function toBFloat16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Nearest float16 of a moderate number (|value| < 65504), ties to even; as its 16 bits. */
export function toFloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  const exponent = size === 0 ? -14 : Math.max(-14, Math.floor(Math.log2(size)));
  const unit = 2 ** (exponent - 10);
  const steps = size / unit;
  const floor = Math.floor(steps);
  const rest = steps - floor;
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  // Adding the mantissa carries into the exponent where rounding reached the next power of two.
  return sign + (rounded < 1024 ? rounded : (exponent + 14) * 1024 + rounded);
}

function encode(values: Float64Array, dtype: TestWeightType): Buffer {
  const bytes = Buffer.alloc(values.length * (dtype === 'F32' ? 4 : 2));
  values.forEach((value, index) => {
    if (dtype === 'F32') bytes.writeFloatLE(value, index * 4);
    else bytes.writeUInt16LE(dtype === 'BF16' ? toBFloat16(value) : toFloat16(value), index * 2);
  });
  return bytes;
}

export interface RawTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

/** The bytes of a .safetensors file. Its header is not padded, so that tensors lie at odd offsets. */
export function safetensorsBytes(tensors: readonly RawTensor[]): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
  }
  let text = JSON.stringify(header);
  if (text.length % 2 === 0) text += ' ';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, Buffer.from(text), ...tensors.map(({ bytes }) => bytes)]);
}

/** Writes the checkpoint into `folder` (made if absent) and returns its configuration. */
export function writeRandomCheckpoint(folder: string, checkpoint: RandomCheckpoint): Config {
  const { architecture, seed, dtype = 'F32', shards = 1, overrides = {} } = checkpoint;
  const config: Config = { architectures: [architecture], ...defaults[architecture], ...overrides };
  const normal = normals(seed);
  const tensors = tensorsOf(checkpoint, config).map(({ name, shape, mean, deviation }): RawTensor => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = Float64Array.from({ length: count }, () => mean + deviation * normal());
    return { name, dtype, shape, bytes: encode(values, dtype) };
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, null, 2));
  if (shards === 1) {
    writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(tensors));
    return config;
  }
  const map: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const part = tensors.filter((_, index) => index % shards === shard);
    const number = (n: number): string => `${n}`.padStart(5, '0');
    const file = `model-${number(shard + 1)}-of-${number(shards)}.safetensors`;
    for (const { name } of part) map[name] = file;
    writeFileSync(join(folder, file), safetensorsBytes(part));
  }
  const index = { metadata: {}, weight_map: map };
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  return config;
}
