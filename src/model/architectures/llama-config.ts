/**
 * config.json of the Llama family: for each class the fields that it reads, with the values that transformers gives
 * to those that a file leaves out. A null is taken where transformers takes one.
 */
import { z } from 'zod';
import { type ActivationName, activations } from '../activations.js';
import { checkConfig, depth, epsilon, parseConfig, size } from '../decoder.js';
import type { Rope } from '../rope.js';
import { readRope, ropeFields } from '../rope-config.js';

const flag = (value: boolean) => z.boolean().default(value);

const common = {
  hidden_size: size.default(4096),
  num_hidden_layers: depth.default(32),
  num_attention_heads: size.default(32),
  hidden_act: z.enum(activations.names).default('silu'),
  rms_norm_eps: epsilon.default(1e-6),
  tie_word_embeddings: flag(false),
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: z.number().min(0).max(1).nullish(),
  ...ropeFields,
};

/** The names of two old kinds of layer too, which transformers renames; others are no layers of these classes. */
const layerTypes = z.array(z.literal(['full_attention', 'sliding_attention', 'attention'])).nullish();

const qwen = {
  ...common,
  vocab_size: size.default(151_936),
  intermediate_size: size.default(22_016),
  num_key_value_heads: size.nullable().default(32),
  max_position_embeddings: size.default(32_768),
  use_sliding_window: flag(false),
  sliding_window: size.nullable().default(4096),
  max_window_layers: z.number().int().min(0).default(28),
  layer_types: layerTypes,
};

const mistral = {
  ...common,
  vocab_size: size.default(32_000),
  intermediate_size: size.default(14_336),
  num_key_value_heads: size.default(8),
  head_dim: size.nullish(),
  max_position_embeddings: size.default(131_072),
  sliding_window: size.nullable().default(4096),
};

export const llamaSchemas = {
  llama: z.object({
    ...common,
    vocab_size: size.default(32_000),
    intermediate_size: size.default(11_008),
    num_key_value_heads: size.nullish(),
    head_dim: size.nullish(),
    max_position_embeddings: size.default(2048),
    attention_bias: flag(false),
    mlp_bias: flag(false),
  }),
  mistral: z.object(mistral),
  // Its masks are made with a window even where no layer has one.
  ministral: z.object({
    ...mistral,
    head_dim: size,
    sliding_window: size.default(4096),
    layer_types: layerTypes,
  }),
  // transformers' class has no head_dim of its own but takes one from the file.
  qwen2: z.object({ ...qwen, head_dim: size.optional() }),
  qwen3: z.object({ ...qwen, head_dim: size.default(128), attention_bias: flag(false) }),
};

export type LlamaVariant = keyof typeof llamaSchemas;

/** What any of the schemas gives; a class without a field does not have it here either. */
interface Config extends z.infer<z.ZodObject<typeof common>> {
  readonly vocab_size: number;
  readonly intermediate_size: number;
  readonly max_position_embeddings: number;
  readonly num_key_value_heads?: number | null | undefined;
  readonly head_dim?: number | null | undefined;
  readonly attention_bias?: boolean;
  readonly mlp_bias?: boolean;
  readonly sliding_window?: number | null;
  readonly use_sliding_window?: boolean;
  readonly max_window_layers?: number;
  readonly layer_types?: readonly string[] | null | undefined;
}

/** The model's numbers, with everything that configurations leave out filled in. */
export interface LlamaShape {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly activation: ActivationName;
  readonly epsilon: number;
  readonly tied: boolean;
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly headNorms: boolean;
  /** A layer's sliding window, or null for none. */
  readonly windows: readonly (number | null)[];
  readonly maxPositions: number;
  readonly rope: Rope;
  readonly ropeText: string;
}

/** @throws fatal `bad-config`, `unknown-rope-type`, `unknown-config-field`, naming the field */
export function readLlamaShape(json: unknown, variant: LlamaVariant, file: string): LlamaShape {
  const config: Config = parseConfig<z.ZodType<Config>>(llamaSchemas[variant], json, file);
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const kvHeads = config.num_key_value_heads ?? heads;
  // Llama alone insists on it, whatever head_dim says; the others round down.
  checkConfig(
    variant !== 'llama' || hidden % heads === 0,
    file,
    `hidden_size ${hidden} does not divide among ${heads} heads`,
  );
  const headSize = config.head_dim ?? Math.floor(hidden / heads);
  checkConfig(headSize > 0 && headSize % 2 === 0, file, `a head of ${headSize} is not even`);
  checkConfig(heads % kvHeads === 0, file, `${heads} heads do not divide among ${kvHeads} key-value heads`);
  const bias = config.attention_bias ?? false;
  const { rope, text } = readRope({
    config,
    file,
    headSize,
    maxPositions: config.max_position_embeddings,
    outside: {
      theta: config.rope_theta === undefined ? 10_000 : config.rope_theta,
      share: config.partial_rotary_factor ?? undefined,
    },
    partial: false,
  });
  return {
    vocabularySize: config.vocab_size,
    hiddenSize: hidden,
    intermediateSize: config.intermediate_size,
    heads,
    kvHeads,
    headSize,
    activation: config.hidden_act,
    epsilon: config.rms_norm_eps,
    tied: config.tie_word_embeddings,
    qkvBias: variant === 'qwen2' || bias,
    outputBias: bias,
    mlpBias: config.mlp_bias ?? false,
    headNorms: variant === 'qwen3',
    windows: windowsOf(config, file),
    maxPositions: Math.min(config.max_position_embeddings, rope.longestRow ?? Number.POSITIVE_INFINITY),
    rope,
    ropeText: text,
  };
}

/** Qwen's window is one only where it is used; Ministral's and Qwen's layers say which of them have it. */
function windowsOf(config: Config, file: string): (number | null)[] {
  const { num_hidden_layers: layers, layer_types: types, max_window_layers: from = 0 } = config;
  const window = config.use_sliding_window === false ? null : (config.sliding_window ?? null);
  checkConfig(
    !types || types.length === layers,
    file,
    `layer_types has ${types?.length} entries for ${layers} layers`,
  );
  checkConfig(
    window !== null || !types?.includes('sliding_attention'),
    file,
    'layer_types has sliding_attention, but sliding_window is null or use_sliding_window is false',
  );
  return Array.from({ length: layers }, (_, layer) => {
    const sliding = types ? types[layer] === 'sliding_attention' : layer >= from;
    return sliding ? window : null;
  });
}
