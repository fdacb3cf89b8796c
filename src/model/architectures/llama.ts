/**
 * The Llama family: pre-norm RMS, rotary positions, grouped-query heads, gated MLP. Mistral adds a sliding
 * window, Qwen2 biases on q, k, v, Qwen3 norms on each head of q and k.
 */
import { z } from 'zod';
import { type GraphBuilder, int, type Value } from '../../onnx/graph.js';
import { gatedSilu } from '../../onnx/ops/activation.js';
import { type AttentionContext, attentionContext, causalAttention } from '../../onnx/ops/attention.js';
import { cudaAttention } from '../../onnx/ops/attention-cuda.js';
import { linear } from '../../onnx/ops/dense.js';
import { rmsNorm, skipRmsNorm } from '../../onnx/ops/norm.js';
import { type RotaryTables, rotaryTables, rotate } from '../../onnx/ops/rotary.js';
import { reshape, withBatch } from '../../onnx/ops/shape.js';
import {
  type BodyInputs,
  checkConfig,
  type Decoder,
  type DecoderNames,
  epsilon,
  parseConfig,
  size,
  tokenFlops,
} from '../decoder.js';
import { type Rope, resolveRope, ropeFields } from '../rope.js';
import type { Weights } from '../weights.js';

const schema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  hidden_act: z.literal(['silu', 'swish']).default('silu'),
  max_position_embeddings: size,
  rms_norm_eps: epsilon.default(1e-6),
  tie_word_embeddings: z.boolean().optional(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.number().int().min(0).nullish(),
  layer_types: z.array(z.literal(['full_attention', 'sliding_attention'])).nullish(),
  ...ropeFields,
});
type Config = z.infer<typeof schema>;

const names: DecoderNames = { base: 'model', embedding: 'model.embed_tokens.weight', head: 'lm_head.weight' };

type Variant = 'llama' | 'mistral' | 'qwen2' | 'qwen3';

/** The model's numbers, with everything that configurations leave out filled in. */
interface Shape {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
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
}

function windowsOf(config: Config, variant: Variant, file: string): (number | null)[] {
  const layers = config.num_hidden_layers;
  const types = config.layer_types;
  checkConfig(
    !types || types.length === layers,
    file,
    `layer_types has ${types?.length} entries for ${layers} layers`,
  );
  return Array.from({ length: layers }, (_, layer) => {
    if (variant === 'llama') return null;
    if (variant === 'mistral') return config.sliding_window ?? null;
    if (config.use_sliding_window !== true) return null;
    const sliding = types ? types[layer] === 'sliding_attention' : layer >= (config.max_window_layers ?? 28);
    return sliding ? (config.sliding_window ?? 4096) : null;
  });
}

function shapeOf(config: Config, variant: Variant, file: string): Shape {
  const heads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? heads;
  const headSize = config.head_dim ?? (variant === 'qwen3' ? 128 : config.hidden_size / heads);
  checkConfig(Number.isInteger(headSize) && headSize % 2 === 0, file, `a head of ${headSize} is not even`);
  checkConfig(heads % kvHeads === 0, file, `${heads} heads do not divide among ${kvHeads} key-value heads`);
  const parameters = config.rope_parameters ?? config.rope_scaling ?? {};
  const bias = config.attention_bias ?? false;
  return {
    vocabularySize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    heads,
    kvHeads,
    headSize,
    epsilon: config.rms_norm_eps,
    tied: config.tie_word_embeddings ?? false,
    qkvBias: variant === 'qwen2' || (variant !== 'mistral' && bias),
    outputBias: (variant === 'llama' || variant === 'qwen3') && bias,
    mlpBias: variant === 'llama' && (config.mlp_bias ?? false),
    headNorms: variant === 'qwen3',
    windows: windowsOf(config, variant, file),
    maxPositions: config.max_position_embeddings,
    rope: resolveRope({
      parameters,
      theta: parameters.rope_theta ?? config.rope_theta ?? 10_000,
      dimensions: headSize,
      maxPositions: config.max_position_embeddings,
      file,
    }),
  };
}

interface Shared {
  readonly attention: AttentionContext;
  readonly rotary: RotaryTables;
}

/** x [n, hidden] → attention's output projection [n, hidden]. */
function attention(
  g: GraphBuilder,
  weights: Weights,
  shape: Shape,
  shared: Shared,
  layer: number,
  x: Value,
  ids: Value,
): Value {
  const { hiddenSize, heads, kvHeads, headSize } = shape;
  const prefix = `model.layers.${layer}.self_attn.`;
  const project = (name: string, count: number): Value => {
    const width = count * headSize;
    const weight = weights.tensor(`${prefix}${name}.weight`, [width, hiddenSize]);
    const bias = weights.optional(shape.qkvBias, `${prefix}${name}.bias`, [width]);
    return linear(g, x, weight, bias);
  };
  const rows = (value: Value, width: number): Value => withBatch(g, value, ids, width);
  const window = shape.windows[layer] ?? null;
  const form = { heads, kvHeads, headSize, window, scale: 1 / Math.sqrt(headSize) };
  const headNorm = (value: Value, name: string): Value =>
    shape.headNorms
      ? rmsNorm(
          g,
          reshape(g, value, [-1, headSize]),
          weights.tensor(`${prefix}${name}.weight`, [headSize]),
          shape.epsilon,
        )
      : value;
  const output = (mixed: Value): Value => {
    const weight = weights.tensor(`${prefix}o_proj.weight`, [hiddenSize, heads * headSize]);
    const bias = weights.optional(shape.outputBias, `${prefix}o_proj.bias`, [hiddenSize]);
    return linear(g, reshape(g, mixed, [-1, heads * headSize]), weight, bias);
  };
  if (shared.attention.form === 'cuda') {
    const rotation = { tables: shared.rotary, dimensions: headSize };
    const normed = (name: string, norm: string, count: number): Value =>
      rows(headNorm(project(name, count), norm), count * headSize);
    const source = shape.headNorms
      ? {
          query: normed('q_proj', 'q_norm', heads),
          key: normed('k_proj', 'k_norm', kvHeads),
          value: rows(project('v_proj', kvHeads), kvHeads * headSize),
        }
      : { packed: rows(packedProjection(g, weights, shape, prefix, x), (heads + 2 * kvHeads) * headSize) };
    return output(cudaAttention(g, source, form, shared.attention, rotation));
  }
  const turned = (value: Value, norm: string, count: number): Value =>
    rotate(g, rows(headNorm(value, norm), count * headSize), shared.rotary, count, headSize, headSize);

  const query = turned(project('q_proj', heads), 'q_norm', heads);
  const key = turned(project('k_proj', kvHeads), 'k_norm', kvHeads);
  const value = rows(project('v_proj', kvHeads), kvHeads * headSize);
  const mixed = causalAttention(g, query, key, value, form, shared.attention);
  return output(mixed);
}

/** x [n, hidden] → query, key and value side by side: one product; the weights are joined when the session is made. */
function packedProjection(
  g: GraphBuilder,
  weights: Weights,
  { hiddenSize, heads, kvHeads, headSize, qkvBias }: Shape,
  prefix: string,
  x: Value,
): Value {
  const parts = [
    ['q_proj', heads],
    ['k_proj', kvHeads],
    ['v_proj', kvHeads],
  ] as const;
  const joined = (kind: 'weight' | 'bias', tail: readonly number[]): Value => {
    const tensors = parts.map(([name, count]) =>
      weights.tensor(`${prefix}${name}.${kind}`, [count * headSize, ...tail]),
    );
    return g.node('Concat', tensors, { attributes: { axis: int(0) } });
  };
  return linear(g, x, joined('weight', [hiddenSize]), qkvBias ? joined('bias', []) : null);
}

/** x [n, hidden] → down(silu(gate(x)) · up(x)) [n, hidden]. */
function gatedMlp(g: GraphBuilder, weights: Weights, shape: Shape, layer: number, x: Value): Value {
  const { hiddenSize, intermediateSize } = shape;
  const project = (name: string, input: Value, from: number, to: number): Value =>
    linear(
      g,
      input,
      weights.tensor(`model.layers.${layer}.mlp.${name}.weight`, [to, from]),
      weights.optional(shape.mlpBias, `model.layers.${layer}.mlp.${name}.bias`, [to]),
    );
  const gate = project('gate_proj', x, hiddenSize, intermediateSize);
  const up = project('up_proj', x, hiddenSize, intermediateSize);
  return project('down_proj', gatedSilu(g, gate, up), intermediateSize, hiddenSize);
}

function body(g: GraphBuilder, weights: Weights, shape: Shape, inputs: BodyInputs): Value {
  const { hiddenSize } = shape;
  const norm = (name: string): Value => weights.tensor(name, [hiddenSize]);
  const shared: Shared = {
    attention: attentionContext(g, inputs.ids, inputs.documentIds, inputs.attention, inputs.length),
    rotary: rotaryTables(g, inputs.ids, inputs.positionIds, shape.rope.frequencies, shape.rope.scale),
  };
  const flatIds = reshape(g, inputs.ids, [-1]);
  let sum = weights.embed(names.embedding, [shape.vocabularySize, hiddenSize], flatIds);
  let normed = rmsNorm(g, sum, norm('model.layers.0.input_layernorm.weight'), shape.epsilon);
  for (const layer of shape.windows.keys()) {
    const attended = attention(g, weights, shape, shared, layer, normed, inputs.ids);
    const middle = skipRmsNorm(
      g,
      attended,
      sum,
      norm(`model.layers.${layer}.post_attention_layernorm.weight`),
      shape.epsilon,
    );
    const next =
      layer + 1 < shape.windows.length
        ? `model.layers.${layer + 1}.input_layernorm.weight`
        : 'model.norm.weight';
    ({ normed, sum } = skipRmsNorm(
      g,
      gatedMlp(g, weights, shape, layer, middle.normed),
      middle.sum,
      norm(next),
      shape.epsilon,
    ));
  }
  return withBatch(g, normed, inputs.ids, hiddenSize);
}

function decoder(config: unknown, file: string, variant: Variant): Decoder {
  const shape = shapeOf(parseConfig(schema, config, file), variant, file);
  const { vocabularySize, hiddenSize, intermediateSize, heads, kvHeads, headSize } = shape;
  const layers = shape.windows.length;
  const layerElements = hiddenSize * headSize * (2 * heads + 2 * kvHeads) + 3 * hiddenSize * intermediateSize;
  return {
    names,
    tied: shape.tied,
    vocabularySize,
    hiddenSize,
    maxPositions: shape.maxPositions,
    flopsPerToken: tokenFlops(layers * layerElements + vocabularySize * hiddenSize, layers, heads * headSize),
    // Attention: the packed projection, key and value again, and what is mixed. MLP: gate, up and their product.
    activationWidth: 3 * hiddenSize + Math.max((2 * heads + 4 * kvHeads) * headSize, 3 * intermediateSize),
    body: (g, weights, inputs) => body(g, weights, shape, inputs),
    head: (weights) => weights.head(shape.tied ? names.embedding : names.head, [vocabularySize, hiddenSize]),
  };
}

export const llama = (config: unknown, file: string): Decoder => decoder(config, file, 'llama');
export const mistral = (config: unknown, file: string): Decoder => decoder(config, file, 'mistral');
export const qwen2 = (config: unknown, file: string): Decoder => decoder(config, file, 'qwen2');
export const qwen3 = (config: unknown, file: string): Decoder => decoder(config, file, 'qwen3');
