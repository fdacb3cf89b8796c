/** GPT-2: learned positions, pre-norm LayerNorm, fused query-key-value, Conv1D weights ([in, out]). */
import { z } from 'zod';
import type { GraphBuilder, Value } from '../../onnx/graph.js';
import { attentionContext, packedCausalAttention } from '../../onnx/ops/attention.js';
import { cudaAttention } from '../../onnx/ops/attention-cuda.js';
import { add, addToEach, linear } from '../../onnx/ops/dense.js';
import { layerNorm, type NormParameters, skipLayerNorm } from '../../onnx/ops/norm.js';
import { reshape, withBatch } from '../../onnx/ops/shape.js';
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
import type { Weights } from '../weights.js';

const schema = z.object({
  vocab_size: size.default(50_257),
  n_embd: size.default(768),
  n_layer: depth.default(12),
  n_head: size.default(12),
  n_inner: size.nullish(),
  n_positions: size.default(1024),
  activation_function: z.enum(activations.names).default('gelu_new'),
  layer_norm_epsilon: epsilon.default(1e-5),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});
type Config = z.infer<typeof schema>;

const names: DecoderNames = {
  base: 'transformer',
  embedding: 'transformer.wte.weight',
  head: 'lm_head.weight',
};

function embed(g: GraphBuilder, weights: Weights, config: Config, inputs: BodyInputs): Value {
  const { n_embd: hidden, n_positions: positions } = config;
  const tokens = weights.embed(names.embedding, [config.vocab_size, hidden], inputs.ids);
  const rows = (order: Value): Value => weights.embed(`${names.base}.wpe.weight`, [positions, hidden], order);
  if (inputs.positionIds !== null) return add(g, tokens, rows(inputs.positionIds));
  if (g.batch !== null) {
    return addToEach(g, tokens, rows(g.int64s(Array.from({ length: g.batch.length }, (_, t) => t))));
  }
  const length = g.node('Gather', [g.node('Shape', [inputs.ids]), g.int64(1)]);
  return addToEach(g, tokens, rows(g.node('Range', [g.int64(0), length, g.int64(1)])));
}

function scoreScale(config: Config, layer: number): number {
  const scale = config.scale_attn_weights ? 1 / Math.sqrt(config.n_embd / config.n_head) : 1;
  return config.scale_attn_by_inverse_layer_idx ? scale / (layer + 1) : scale;
}

function body(g: GraphBuilder, weights: Weights, config: Config, inputs: BodyInputs): Value {
  const { n_embd: hidden, n_head: heads } = config;
  const inner = config.n_inner ?? 4 * hidden;
  const vector = (name: string, width = hidden): Value => weights.tensor(`${names.base}.${name}`, [width]);
  const conv1d = (name: string, x: Value, from: number, to: number): Value => {
    const weight = weights.tensor(`${names.base}.${name}.weight`, [from, to]);
    return linear(g, x, weight, vector(`${name}.bias`, to), 'in-out');
  };
  const context = attentionContext(g, inputs.ids, inputs.documentIds, inputs.attention, inputs.length);
  const parametersOf = (name: string): NormParameters => ({
    weight: vector(`${name}.weight`),
    bias: vector(`${name}.bias`),
  });
  const normed1 = (name: string, x: Value): Value =>
    layerNorm(g, x, parametersOf(name), config.layer_norm_epsilon);
  const skipNormed = (name: string, x: Value, residual: Value) =>
    skipLayerNorm(g, { x, residual }, parametersOf(name), config.layer_norm_epsilon);

  let sum = reshape(g, embed(g, weights, config, inputs), [-1, hidden]);
  let normed = normed1('h.0.ln_1', sum);
  for (let layer = 0; layer < config.n_layer; layer++) {
    const qkv = conv1d(`h.${layer}.attn.c_attn`, normed, hidden, 3 * hidden);
    const shape = {
      heads,
      kvHeads: heads,
      headSize: hidden / heads,
      window: null,
      scale: scoreScale(config, layer),
    };
    const packed = withBatch(g, qkv, inputs.ids, 3 * hidden);
    const mixed =
      context.form === 'cuda'
        ? cudaAttention(g, { packed }, shape, context, null)
        : packedCausalAttention(g, packed, shape, context);
    const attended = conv1d(`h.${layer}.attn.c_proj`, reshape(g, mixed, [-1, hidden]), hidden, hidden);
    const middle = skipNormed(`h.${layer}.ln_2`, attended, sum);
    const up = conv1d(`h.${layer}.mlp.c_fc`, middle.normed, hidden, inner);
    const down = conv1d(
      `h.${layer}.mlp.c_proj`,
      activations.apply(g, config.activation_function, up),
      inner,
      hidden,
    );
    const next = layer + 1 < config.n_layer ? `h.${layer + 1}.ln_1` : 'ln_f';
    ({ normed, sum } = skipNormed(next, down, middle.sum));
  }
  return withBatch(g, normed, inputs.ids, hidden);
}

/** The names that other families use; transformers takes them after GPT-2's own, so that they win. */
const aliases = {
  hidden_size: 'n_embd',
  num_hidden_layers: 'n_layer',
  num_attention_heads: 'n_head',
  max_position_embeddings: 'n_positions',
} as const satisfies Record<string, keyof Config>;

function withoutAliases(json: unknown, file: string): Record<string, unknown> {
  const config = parseConfig(z.record(z.string(), z.unknown()), json, file);
  const renamed = Object.entries(aliases).filter(([alias]) => alias in config);
  return { ...config, ...Object.fromEntries(renamed.map(([alias, name]) => [name, config[alias]])) };
}

function decoder(json: unknown, file: string): Decoder {
  const config = parseConfig(schema, withoutAliases(json, file), file);
  const { n_embd: hidden, n_head: heads, n_layer: layers, vocab_size: vocabulary } = config;
  checkConfig(hidden % heads === 0, file, `n_embd ${hidden} does not divide among ${heads} heads`);
  const inner = config.n_inner ?? 4 * hidden;
  const elements = layers * (4 * hidden * hidden + 2 * hidden * inner) + vocabulary * hidden;
  const tied = config.tie_word_embeddings;
  return {
    names,
    tied,
    vocabularySize: vocabulary,
    hiddenSize: hidden,
    maxPositions: config.n_positions,
    longestRow: null,
    flopsPerToken: tokenFlops(elements, layers, hidden),
    activationWidth: 3 * hidden + Math.max(6 * hidden, 2 * inner),
    shape: {
      layers,
      hiddenSize: hidden,
      heads,
      kvHeads: heads,
      headSize: hidden / heads,
      innerSize: inner,
      rope: null,
      tiedHead: tied,
      slidingWindow: null,
    },
    body: (g, weights, inputs) => body(g, weights, config, inputs),
    head: (weights) => weights.head(tied ? names.embedding : names.head, [vocabulary, hidden]),
  };
}

export const gpt2: Family = {
  className: 'GPT2LMHeadModel',
  understood: [...Object.keys(schema.shape), ...Object.keys(aliases)],
  inert: [
    'n_ctx',
    // nanoGPT's name for the biases that the class always has; where it is false they are missed by their names.
    'bias',
    'attn_pdrop',
    'embd_pdrop',
    'resid_pdrop',
    // Another order of the same sum; losses are computed in float32 either way.
    'reorder_and_upcast_attn',
    'summary_activation',
    'summary_first_dropout',
    'summary_proj_to_labels',
    'summary_type',
    'summary_use_proj',
  ],
  tiedByDefault: true,
  build: decoder,
};
