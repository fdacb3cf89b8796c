/**
 * AdamW (Loshchilov and Hutter 2019) over a flat vector, a cache-sized chunk at a time: a dozen elementwise ops
 * then cost one pass over memory.
 */
import { type GraphBuilder, int, subgraph, type Value } from '../../onnx/graph.js';
import { CHUNK } from '../parameters.js';

export interface AdamWConstants {
  readonly beta1: number;
  readonly beta2: number;
}

/** Scalars of one step, float32 values of the graph. */
export interface StepScalars {
  /** Multiplies the gradient: clipping and the loss's divisor. */
  readonly scale: Value;
  /** learning rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ). */
  readonly stepSize: Value;
  /** ε · √(1 − β₂ᵗ). */
  readonly floor: Value;
  /** 1 − learning rate · decay, or null for no decay. */
  readonly shrink: Value | null;
  /** Scalar bool of steps that may be skipped: where it is false, nothing moves. */
  readonly taken?: Value;
}

/** One vector's weights, moments and gradient; of `vectorShape` each. */
export interface OptimizerVectors {
  readonly weights: Value;
  readonly firstMoment: Value;
  readonly secondMoment: Value;
}

/** What multiplies the gradient and its square in the moments. */
interface GradientScalars {
  readonly first: Value;
  readonly second: Value;
}

/** A group's gradient, [length] float32, as long as its padded vector. */
export interface FlatGradient {
  readonly values: Value;
  readonly length: number;
}

/** → the vectors after the step. */
export function adamW(
  g: GraphBuilder,
  vectors: OptimizerVectors,
  { values: gradient, length }: FlatGradient,
  scalars: StepScalars,
  constants: AdamWConstants,
): OptimizerVectors {
  const { scale } = scalars;
  const gradientScalars = {
    first: g.node('Mul', [scale, g.float32(1 - constants.beta1)]),
    second: g.node('Mul', [g.node('Mul', [scale, scale]), g.float32(1 - constants.beta2)]),
  };
  if (length <= CHUNK)
    return update(g, { ...vectors, gradient }, { ...scalars, ...gradientScalars }, constants);
  const body = g.child('adamw_chunk');
  const input = (name: string): Value => body.input(name, 'float32', [CHUNK]);
  const given = { weights: input('chunk_w'), firstMoment: input('chunk_m'), secondMoment: input('chunk_v') };
  const made = update(
    body,
    { ...given, gradient: input('chunk_g') },
    { ...scalars, ...gradientScalars },
    constants,
  );
  body.output(made.weights, 'chunk_new_w', 'float32', [CHUNK]);
  body.output(made.firstMoment, 'chunk_new_m', 'float32', [CHUNK]);
  body.output(made.secondMoment, 'chunk_new_v', 'float32', [CHUNK]);
  const [weights, firstMoment, secondMoment] = g.nodes(
    'Scan',
    [
      ...[vectors.weights, vectors.firstMoment, vectors.secondMoment],
      g.node('Reshape', [gradient, g.int64s([-1, CHUNK])]),
    ],
    [true, true, true],
    { attributes: { num_scan_inputs: int(4), body: subgraph(body.build()) } },
  );
  return { weights, firstMoment, secondMoment };
}

/** m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², w ← shrink·w − stepSize·m / (√v + floor): bias corrections are in the scalars. */
function update(
  g: GraphBuilder,
  { weights, firstMoment, secondMoment, gradient }: OptimizerVectors & { readonly gradient: Value },
  { first, second, stepSize, floor, shrink, taken }: StepScalars & GradientScalars,
  { beta1, beta2 }: AdamWConstants,
): OptimizerVectors {
  const mul = (a: Value, b: Value): Value => g.node('Mul', [a, b]);
  const plus = (a: Value, b: Value): Value => g.node('Add', [a, b]);
  const kept = (beta: number): Value =>
    taken === undefined ? g.float32(beta) : g.node('Where', [taken, g.float32(beta), g.float32(1)]);
  // A gradient that overflowed is no number, which no factor of zero removes.
  const finite = taken === undefined ? gradient : g.node('Where', [taken, gradient, g.float32(0)]);
  const m = plus(mul(firstMoment, kept(beta1)), mul(finite, first));
  const v = plus(mul(secondMoment, kept(beta2)), mul(mul(finite, finite), second));
  const change = g.node('Div', [mul(m, stepSize), plus(g.node('Sqrt', [v]), floor)]);
  const decayed = shrink === null ? weights : mul(weights, shrink);
  return { weights: g.node('Sub', [decayed, change]), firstMoment: m, secondMoment: v };
}
