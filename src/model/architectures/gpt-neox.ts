/**
 * GPT-NeoX (Pythia): partial rotary positions, query, key and value fused head by head, attention and MLP in
 * parallel from one residual or in sequence.
 */
import { z } from 'zod';
import type { GraphBuilder, Value } from '../../onnx/graph.js';
import { type AttentionContext, attentionContext, causalAttention } from '../../onnx/ops/attention.js';
import { cudaAttention } from '../../onnx/ops/attention-cuda.js';
import { add, linear } from '../../onnx/ops/dense.js';
import { layerNorm, type NormParameters, skipLayerNorm } from '../../onnx/ops/norm.js';
import { type RotaryTables, rotaryTables, rotate } from '../../onnx/ops/rotary.js';
import { reshape, slice, transpose, withBatch } from '../../onnx/ops/shape.js';
import { activations } from '../activations.js';
import {
  type BodyInputs,
  checkConfig,
  type Decoder,
  type DecoderNames,
  depth,
  epsilon,
  type Family,
  parseConfig,
  size,
  tokenFlops,
} from '../decoder.js';
import type { Rope } from '../rope.js';
import { readRope, ropeFields } from '../rope-config.js';
import type { Weights } from '../weights.js';

const schema = z.object({
  vocab_size: size.default(50_432),
  hidden_size: size.default(6144),
  intermediate_size: size.default(24_576),
  num_hidden_layers: depth.default(44),
  num_attention_heads: size.default(64),
  head_dim: size.nullish(),
  hidden_act: z.enum(activations.names).default('gelu'),
  max_position_embeddings: size.default(2048),
  layer_norm_eps: epsilon.default(1e-5),
  rotary_pct: z.number().min(0).max(1).nullable().default(0.25),
  rotary_emb_base: z.number().positive().nullable().default(10_000),
  use_parallel_residual: z.boolean().default(true),
  attention_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
  ...ropeFields,
});

/** transformers 5 calls the head `lm_head`, and loads the name that it had before; older ones know only that. */
const names: DecoderNames = {
  base: 'gpt_neox',
  embedding: 'gpt_neox.embed_in.weight',
  head: 'embed_out.weight',
  otherHead: 'lm_head.weight',
};

interface Shape {
  readonly config: z.infer<typeof schema>;
  readonly headSize: number;
  readonly rope: Rope;
}

interface Shared {
  readonly attention: AttentionContext;
  readonly rotary: RotaryTables;
  readonly ids: Value;
}

/** What every layer is built of. */
interface Body {
  readonly g: GraphBuilder;
  readonly weights: Weights;
  readonly shape: Shape;
  readonly shared: Shared;
}

const vectorOf = (weights: Weights, name: string, width: number): Value => weights.tensor(name, [width]);

/** The fused weight is [heads, 3, headSize, hidden]; cutting it here is folded when the session is made. */
function attention({ g, weights, shape: form, shared }: Body, layer: number, x: Value): Value {
  const { config, headSize, rope } = form;
  const { hidden_size: hidden, num_attention_heads: heads, attention_bias: withBias } = config;
  const prefix = `gpt_neox.layers.${layer}.attention`;
  const fused = `${prefix}.query_key_value`;
  const weight = reshape(g, weights.tensor(`${fused}.weight`, [3 * hidden, hidden]), [
    heads,
    3,
    headSize,
    hidden,
  ]);
  const bias = withBias
    ? reshape(g, vectorOf(weights, `${fused}.bias`, 3 * hidden), [heads, 3, headSize])
    : null;
  const project = (part: number): Value => {
    const rows = reshape(g, slice(g, weight, 1, part, part + 1), [hidden, hidden]);
    const shift = bias === null ? null : reshape(g, slice(g, bias, 1, part, part + 1), [hidden]);
    return withBatch(g, linear(g, x, rows, shift), shared.ids, hidden);
  };
  const dimensions = 2 * rope.frequencies.length;
  const output = (mixed: Value): Value =>
    linear(
      g,
      reshape(g, mixed, [-1, hidden]),
      weights.tensor(`${prefix}.dense.weight`, [hidden, hidden]),
      weights.optional(withBias, `${prefix}.dense.bias`, [hidden]),
    );
  const shape = { heads, kvHeads: heads, headSize, window: null, scale: 1 / Math.sqrt(headSize) };
  if (shared.attention.form === 'cuda') {
    // The parts of all heads side by side: their order is folded into the weight when the session is made.
    const rows = reshape(g, transpose(g, weight, [1, 0, 2, 3]), [3 * hidden, hidden]);
    const shift = bias === null ? null : reshape(g, transpose(g, bias, [1, 0, 2]), [3 * hidden]);
    const packed = withBatch(g, linear(g, x, rows, shift), shared.ids, 3 * hidden);
    const rotation = { tables: shared.rotary, dimensions };
    return output(cudaAttention(g, { packed }, shape, shared.attention, rotation));
  }
  const turn = (value: Value): Value => rotate(g, value, shared.rotary, { heads, headSize, dimensions });
  const mixed = causalAttention(
    g,
    { query: turn(project(0)), key: turn(project(1)), value: project(2) },
    shape,
    shared.attention,
  );
  return output(mixed);
}

function mlp({ g, weights, shape: { config } }: Body, layer: number, x: Value): Value {
  const { hidden_size: hidden, intermediate_size: inner } = config;
  const prefix = `gpt_neox.layers.${layer}.mlp`;
  const projection = (name: string, input: Value, from: number, to: number): Value => {
    const weight = weights.tensor(`${prefix}.${name}.weight`, [to, from]);
    return linear(g, input, weight, vectorOf(weights, `${prefix}.${name}.bias`, to));
  };
  const up = projection('dense_h_to_4h', x, hidden, inner);
  const active = activations.apply(g, config.hidden_act, up);
  return projection('dense_4h_to_h', active, inner, hidden);
}

function body(g: GraphBuilder, weights: Weights, shape: Shape, inputs: BodyInputs): Value {
  const { config, rope } = shape;
  const { hidden_size: hidden, layer_norm_eps: eps, num_hidden_layers: layers } = config;
  const vectors = (name: string): NormParameters => ({
    weight: vectorOf(weights, `${name}.weight`, hidden),
    bias: vectorOf(weights, `${name}.bias`, hidden),
  });
  const shared: Shared = {
    attention: attentionContext(g, inputs.ids, inputs.documentIds, inputs.attention, inputs.length),
    rotary: rotaryTables(g, inputs, rope),
    ids: inputs.ids,
  };
  const built: Body = { g, weights, shape, shared };
  const flatIds = reshape(g, inputs.ids, [-1]);
  let sum = weights.embed(names.embedding, [config.vocab_size, hidden], flatIds);
  let normed = layerNorm(g, sum, vectors('gpt_neox.layers.0.input_layernorm'), eps);
  for (let layer = 0; layer < layers; layer++) {
    const attended = attention(built, layer, normed);
    const mlpNorm = vectors(`gpt_neox.layers.${layer}.post_attention_layernorm`);
    const next =
      layer + 1 < layers ? `gpt_neox.layers.${layer + 1}.input_layernorm` : 'gpt_neox.final_layer_norm';
    if (config.use_parallel_residual) {
      const made = mlp(built, layer, layerNorm(g, sum, mlpNorm, eps));
      ({ normed, sum } = skipLayerNorm(g, { x: add(g, made, attended), residual: sum }, vectors(next), eps));
    } else {
      const middle = skipLayerNorm(g, { x: attended, residual: sum }, mlpNorm, eps);
      const made = mlp(built, layer, middle.normed);
      ({ normed, sum } = skipLayerNorm(g, { x: made, residual: middle.sum }, vectors(next), eps));
    }
  }
  return withBatch(g, normed, inputs.ids, hidden);
}

function decoder(json: unknown, file: string): Decoder {
  const config = parseConfig(schema, json, file);
  const { hidden_size: hidden, num_attention_heads: heads, num_hidden_layers: layers } = config;
  const headSize = hidden / heads;
  checkConfig(Number.isInteger(headSize), file, `hidden_size ${hidden} does not divide among ${heads} heads`);
  const { rope, text } = readRope({
    config,
    file,
    headSize,
    maxPositions: config.max_position_embeddings,
    outside: { theta: config.rotary_emb_base, share: config.rotary_pct },
    partial: true,
  });
  const shape = { config, headSize, rope };
  const inner = config.intermediate_size;
  const elements = layers * (4 * hidden * hidden + 2 * hidden * inner) + config.vocab_size * hidden;
  const tied = config.tie_word_embeddings;
  return {
    names,
    tied,
    vocabularySize: config.vocab_size,
    hiddenSize: hidden,
    maxPositions: Math.min(config.max_position_embeddings, rope.longestRow ?? Number.POSITIVE_INFINITY),
    longestRow: rope.longestRow,
    flopsPerToken: tokenFlops(elements, layers, hidden),
    activationWidth: 4 * hidden + Math.max(6 * hidden, 2 * inner),
    shape: {
      layers,
      hiddenSize: hidden,
      heads,
      kvHeads: heads,
      headSize,
      innerSize: inner,
      rope: `${text}, ${2 * rope.frequencies.length} of ${headSize} entries of a head`,
      tiedHead: tied,
      slidingWindow: null,
    },
    body: (g, weights, inputs) => body(g, weights, shape, inputs),
    head: (weights) => weights.head(tied ? names.embedding : names.head, [config.vocab_size, hidden]),
  };
}

export const gptNeoX: Family = {
  className: 'GPTNeoXForCausalLM',
  understood: Object.keys(schema.shape),
  inert: [
    'attention_dropout',
    'hidden_dropout',
    'classifier_dropout',
    // transformers' class has them under names of its own, and reads those alone.
    'rope_theta',
    'partial_rotary_factor',
  ],
  tiedByDefault: false,
  build: decoder,
};
