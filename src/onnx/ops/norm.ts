/**
 * Normalisation over the last axis, with gradients. Fused with the residual sum unless recorded. In a 16-bit body statistics
 * and gradients are float32, those of weight and bias are given so.
 */

import { contrib, float, type GraphBuilder, given, int, type Value } from '../graph.js';
import { castTo, narrow, widen } from './cast.js';
import { add, columnSums } from './dense.js';

/** x / √(mean(x²) + ε) · weight (Zhang and Sennrich 2019). x [n, width]. */
export function rmsNorm(g: GraphBuilder, x: Value, weight: Value, epsilon: number): Value {
  const [y, inverse] = g.nodes('SimplifiedLayerNormalization', [x, weight], [true, g.tape !== null], {
    attributes: { axis: int(-1), epsilon: float(epsilon) },
  });
  // With x̂ = x·r and q = dy·x̂: dWeight = Σ q, dx = r·(dy·w − x̂·mean(q·w)).
  g.record([x, weight], [y], ([dy]) => {
    if (!dy) return [];
    const scale = given(inverse, 'inverse deviations');
    const [gain, flowing] = [widen(g, weight), widen(g, dy)];
    const normed = g.node('Mul', [widen(g, x), scale]);
    const product = g.node('Mul', [flowing, normed]);
    const drift = g.node('Mul', [normed, weightedMeans(g, product, gain)]);
    const dx = g.node('Mul', [g.node('Sub', [g.node('Mul', [flowing, gain]), drift]), scale]);
    return [narrow(g, dx), columnSums(g, product)];
  });
  return y;
}

/** Σ x·weight / width along rows, as a product with a vector: x [n, width], weight [width] → [n, 1]. */
function weightedMeans(g: GraphBuilder, x: Value, weight: Value): Value {
  const width = castTo(g, g.node('Shape', [weight]), 'float32');
  const column = g.node('Unsqueeze', [g.node('Div', [weight, width]), g.int64s([1])]);
  return g.node('MatMul', [x, column]);
}

/** Of a layer norm, [width] each. */
export interface NormParameters {
  readonly weight: Value;
  readonly bias: Value;
}

/** What a layer made, and the stream that it is added to; both [n, hidden]. */
export interface Residual {
  readonly x: Value;
  readonly residual: Value;
}

export interface SkipNorm {
  /** The normalised sum. */
  readonly normed: Value;
  /** x + residual, the stream that goes on. */
  readonly sum: Value;
}

/** RMS norm of x + residual in one pass; both [n, hidden]. */
export function skipRmsNorm(
  g: GraphBuilder,
  { x, residual }: Residual,
  weight: Value,
  epsilon: number,
): SkipNorm {
  if (g.tape !== null) {
    const sum = add(g, x, residual);
    return { normed: rmsNorm(g, sum, weight, epsilon), sum };
  }
  const [normed, , , sum] = g.nodes(
    'SkipSimplifiedLayerNormalization',
    [x, residual, weight],
    [true, false, false, true],
    { domain: contrib, attributes: { epsilon: float(epsilon) } },
  );
  return { normed, sum };
}

/** (x − mean) / √(variance + ε) · weight + bias. x [n, width]. */
export function layerNorm(
  g: GraphBuilder,
  x: Value,
  { weight, bias }: NormParameters,
  epsilon: number,
): Value {
  const recording = g.tape !== null;
  const [y, means, inverse] = g.nodes('LayerNormalization', [x, weight, bias], [true, recording, recording], {
    attributes: { axis: int(-1), epsilon: float(epsilon) },
  });
  // With x̂ = (x − mean)·r and q = dy·x̂: dx = r·(dy·w − mean(dy·w) − x̂·mean(q·w)).
  g.record([x, weight, bias], [y], ([dy]) => {
    if (!dy) return [];
    const [mean, scale] = [given(means, 'means'), given(inverse, 'inverse deviations')];
    const [gain, flowing] = [widen(g, weight), widen(g, dy)];
    const normed = g.node('Mul', [g.node('Sub', [widen(g, x), mean]), scale]);
    const product = g.node('Mul', [flowing, normed]);
    const drift = g.node('Mul', [normed, weightedMeans(g, product, gain)]);
    const centred = g.node('Sub', [g.node('Mul', [flowing, gain]), weightedMeans(g, flowing, gain)]);
    const dx = g.node('Mul', [g.node('Sub', [centred, drift]), scale]);
    return [narrow(g, dx), columnSums(g, product), columnSums(g, flowing)];
  });
  return y;
}

/** Layer norm of x + residual in one pass; both [n, hidden]. */
export function skipLayerNorm(
  g: GraphBuilder,
  { x, residual }: Residual,
  parameters: NormParameters,
  epsilon: number,
): SkipNorm {
  const { weight, bias } = parameters;
  if (g.tape !== null) {
    const sum = add(g, x, residual);
    return { normed: layerNorm(g, sum, parameters, epsilon), sum };
  }
  const [normed, , , sum] = g.nodes(
    'SkipLayerNormalization',
    [x, residual, weight, bias],
    [true, false, false, true],
    { domain: contrib, attributes: { epsilon: float(epsilon) } },
  );
  return { normed, sum };
}
