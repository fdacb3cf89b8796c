/**
 * AdamW (Loshchilov and Hutter 2019) over a flat vector, a cache-sized chunk at a time: fourteen elementwise ops
 * then cost one pass over memory.
 */
import { type GraphBuilder, int, subgraph, type Value } from '../../onnx/graph.js';
import { CHUNK } from '../parameters.js';

export interface AdamWConstants {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Scalars of one step, float32 values of the graph. */
export interface StepScalars {
  /** Multiplies the gradient: clipping and the loss's divisor. */
  readonly scale: Value;
  /** learning rate / (1 − β₁ᵗ). */
  readonly stepSize: Value;
  /** 1 / √(1 − β₂ᵗ). */
  readonly rootCorrection: Value;
  /** 1 − learning rate · decay, or null for no decay. */
  readonly shrink: Value | null;
}

/** One vector's weights, moments and gradient; [n] each, n a padded length. */
export interface OptimizerVectors {
  readonly weights: Value;
  readonly firstMoment: Value;
  readonly secondMoment: Value;
}

/** → the vectors after the step. */
export function adamW(
  g: GraphBuilder,
  vectors: OptimizerVectors,
  gradient: Value,
  length: number,
  scalars: StepScalars,
  constants: AdamWConstants,
): OptimizerVectors {
  if (length <= CHUNK) return update(g, vectors, gradient, scalars, constants);
  const body = g.child('adamw_chunk');
  const input = (name: string): Value => body.input(name, 'float32', [CHUNK]);
  const made = update(
    body,
    { weights: input('chunk_w'), firstMoment: input('chunk_m'), secondMoment: input('chunk_v') },
    input('chunk_g'),
    scalars,
    constants,
  );
  body.output(made.weights, 'chunk_new_w', 'float32', [CHUNK]);
  body.output(made.firstMoment, 'chunk_new_m', 'float32', [CHUNK]);
  body.output(made.secondMoment, 'chunk_new_v', 'float32', [CHUNK]);
  const chunked = (x: Value): Value => g.node('Reshape', [x, g.int64s([-1, CHUNK])]);
  const results = g.nodes(
    'Scan',
    [vectors.weights, vectors.firstMoment, vectors.secondMoment, gradient].map(chunked),
    [true, true, true],
    { attributes: { num_scan_inputs: int(4), body: subgraph(body.build()) } },
  );
  const [weights = '', firstMoment = '', secondMoment = ''] = results.map((x) =>
    g.node('Reshape', [x, g.int64s([-1])]),
  );
  return { weights, firstMoment, secondMoment };
}

function update(
  g: GraphBuilder,
  { weights, firstMoment, secondMoment }: OptimizerVectors,
  gradient: Value,
  { scale, stepSize, rootCorrection, shrink }: StepScalars,
  { beta1, beta2, epsilon }: AdamWConstants,
): OptimizerVectors {
  const mul = (a: Value, b: Value): Value => g.node('Mul', [a, b]);
  const plus = (a: Value, b: Value): Value => g.node('Add', [a, b]);
  const scaled = mul(gradient, scale);
  const m = plus(mul(firstMoment, g.float32(beta1)), mul(scaled, g.float32(1 - beta1)));
  const v = plus(mul(secondMoment, g.float32(beta2)), mul(mul(scaled, scaled), g.float32(1 - beta2)));
  const root = plus(mul(g.node('Sqrt', [v]), rootCorrection), g.float32(epsilon));
  const change = g.node('Div', [mul(m, stepSize), root]);
  const decayed = shrink === null ? weights : mul(weights, shrink);
  return { weights: g.node('Sub', [decayed, change]), firstMoment: m, secondMoment: v };
}
