/**
 * The Llama family: pre-norm RMS, rotary positions, grouped-query heads, gated MLP. Mistral adds a sliding
 * window, Qwen2 biases on q, k, v, Qwen3 norms on each head of q and k.
 */
import { type GraphBuilder, int, type Value } from '../../onnx/graph.js';
import { gatedSilu } from '../../onnx/ops/activation.js';
import { type AttentionContext, attentionContext, causalAttention } from '../../onnx/ops/attention.js';
import { cudaAttention } from '../../onnx/ops/attention-cuda.js';
import { linear, multiply } from '../../onnx/ops/dense.js';
import { rmsNorm, skipRmsNorm } from '../../onnx/ops/norm.js';
import { type RotaryTables, rotaryTables, rotate } from '../../onnx/ops/rotary.js';
import { reshape, withBatch } from '../../onnx/ops/shape.js';
import { activations } from '../activations.js';
import { type BodyInputs, type Decoder, type DecoderNames, type Family, tokenFlops } from '../decoder.js';
import type { Weights } from '../weights.js';
import { type LlamaShape, type LlamaVariant, llamaSchemas, readLlamaShape } from './llama-config.js';

const names: DecoderNames = { base: 'model', embedding: 'model.embed_tokens.weight', head: 'lm_head.weight' };

interface Shared {
  readonly attention: AttentionContext;
  readonly rotary: RotaryTables;
  /** [B, T]. */
  readonly ids: Value;
}

/** What every layer is built of. */
interface Body {
  readonly g: GraphBuilder;
  readonly weights: Weights;
  readonly shape: LlamaShape;
  readonly shared: Shared;
}

/** x [n, hidden] → attention's output projection [n, hidden]. */
function attention({ g, weights, shape, shared }: Body, layer: number, x: Value): Value {
  const { hiddenSize, heads, kvHeads, headSize } = shape;
  const prefix = `model.layers.${layer}.self_attn.`;
  const project = (name: string, count: number): Value => {
    const width = count * headSize;
    const weight = weights.tensor(`${prefix}${name}.weight`, [width, hiddenSize]);
    const bias = weights.optional(shape.qkvBias, `${prefix}${name}.bias`, [width]);
    return linear(g, x, weight, bias);
  };
  const rows = (value: Value, width: number): Value => withBatch(g, value, shared.ids, width);
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
      : {
          packed: rows(packedProjection({ g, weights, shape }, prefix, x), (heads + 2 * kvHeads) * headSize),
        };
    return output(cudaAttention(g, source, form, shared.attention, rotation));
  }
  const turned = (value: Value, norm: string, count: number): Value =>
    rotate(g, rows(headNorm(value, norm), count * headSize), shared.rotary, {
      heads: count,
      headSize,
      dimensions: headSize,
    });

  const query = turned(project('q_proj', heads), 'q_norm', heads);
  const key = turned(project('k_proj', kvHeads), 'k_norm', kvHeads);
  const value = rows(project('v_proj', kvHeads), kvHeads * headSize);
  const mixed = causalAttention(g, { query, key, value }, form, shared.attention);
  return output(mixed);
}

/** x [n, hidden] → query, key and value side by side: one product; the weights are joined when the session is made. */
function packedProjection({ g, weights, shape }: Omit<Body, 'shared'>, prefix: string, x: Value): Value {
  const { hiddenSize, heads, kvHeads, headSize, qkvBias } = shape;
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

/** x [n, hidden] → down(act(gate(x)) · up(x)) [n, hidden]. */
function gatedMlp({ g, weights, shape }: Body, layer: number, x: Value): Value {
  const { hiddenSize, intermediateSize, activation } = shape;
  const project = (name: string, input: Value, from: number, to: number): Value =>
    linear(
      g,
      input,
      weights.tensor(`model.layers.${layer}.mlp.${name}.weight`, [to, from]),
      weights.optional(shape.mlpBias, `model.layers.${layer}.mlp.${name}.bias`, [to]),
    );
  const gate = project('gate_proj', x, hiddenSize, intermediateSize);
  const up = project('up_proj', x, hiddenSize, intermediateSize);
  const gated =
    activation === 'silu' || activation === 'swish'
      ? gatedSilu(g, gate, up)
      : multiply(g, activations.apply(g, activation, gate), up);
  return project('down_proj', gated, intermediateSize, hiddenSize);
}

function body(g: GraphBuilder, weights: Weights, shape: LlamaShape, inputs: BodyInputs): Value {
  const { hiddenSize } = shape;
  const norm = (name: string): Value => weights.tensor(name, [hiddenSize]);
  const shared: Shared = {
    attention: attentionContext(g, inputs.ids, inputs.documentIds, inputs.attention, inputs.length),
    rotary: rotaryTables(g, inputs, shape.rope),
    ids: inputs.ids,
  };
  const built: Body = { g, weights, shape, shared };
  const flatIds = reshape(g, inputs.ids, [-1]);
  let sum = weights.embed(names.embedding, [shape.vocabularySize, hiddenSize], flatIds);
  let normed = rmsNorm(g, sum, norm('model.layers.0.input_layernorm.weight'), shape.epsilon);
  for (const layer of shape.windows.keys()) {
    const attended = attention(built, layer, normed);
    const middle = skipRmsNorm(
      g,
      { x: attended, residual: sum },
      norm(`model.layers.${layer}.post_attention_layernorm.weight`),
      shape.epsilon,
    );
    const next =
      layer + 1 < shape.windows.length
        ? `model.layers.${layer + 1}.input_layernorm.weight`
        : 'model.norm.weight';
    ({ normed, sum } = skipRmsNorm(
      g,
      { x: gatedMlp(built, layer, middle.normed), residual: middle.sum },
      norm(next),
      shape.epsilon,
    ));
  }
  return withBatch(g, normed, inputs.ids, hiddenSize);
}

function decoder(config: unknown, variant: LlamaVariant, file: string): Decoder {
  const shape = readLlamaShape(config, variant, file);
  const { vocabularySize, hiddenSize, intermediateSize, heads, kvHeads, headSize } = shape;
  const layers = shape.windows.length;
  const layerElements = hiddenSize * headSize * (2 * heads + 2 * kvHeads) + 3 * hiddenSize * intermediateSize;
  return {
    names,
    tied: shape.tied,
    vocabularySize,
    hiddenSize,
    maxPositions: shape.maxPositions,
    longestRow: shape.rope.longestRow,
    flopsPerToken: tokenFlops(layers * layerElements + vocabularySize * hiddenSize, layers, heads * headSize),
    // Attention: the packed projection, key and value again, and what is mixed. MLP: gate, up and their product.
    activationWidth: 3 * hiddenSize + Math.max((2 * heads + 4 * kvHeads) * headSize, 3 * intermediateSize),
    shape: {
      layers,
      hiddenSize,
      heads,
      kvHeads,
      headSize,
      innerSize: intermediateSize,
      rope: shape.ropeText,
      tiedHead: shape.tied,
      slidingWindow: shape.windows.find((window) => window !== null) ?? null,
    },
    body: (g, weights, inputs) => body(g, weights, shape, inputs),
    head: (weights) => weights.head(shape.tied ? names.embedding : names.head, [vocabularySize, hiddenSize]),
  };
}

const family = (variant: LlamaVariant, className: string, inert: readonly string[]): Family => ({
  className,
  understood: Object.keys(llamaSchemas[variant].shape),
  inert: ['attention_dropout', ...inert],
  tiedByDefault: false,
  build: (config, file) => decoder(config, variant, file),
});

/** Left over in files that were converted from another class; these classes have no such setting. */
const windowFields = ['sliding_window', 'use_sliding_window', 'max_window_layers', 'layer_types'];
const biasFields = ['attention_bias', 'mlp_bias'];

export const llama = family('llama', 'LlamaForCausalLM', [...windowFields, 'pretraining_tp']);
export const mistral = family('mistral', 'MistralForCausalLM', [
  ...biasFields,
  'use_sliding_window',
  'max_window_layers',
]);
export const ministral = family('ministral', 'MinistralForCausalLM', [
  ...biasFields,
  'use_sliding_window',
  'max_window_layers',
]);
/** Of the files for a million tokens: other engines cut longer rows into chunks by it, transformers' classes do not. */
const chunks = 'dual_chunk_attention_config';

export const qwen2 = family('qwen2', 'Qwen2ForCausalLM', [...biasFields, chunks]);
export const qwen3 = family('qwen3', 'Qwen3ForCausalLM', ['mlp_bias', chunks]);
