/** Normalisation over the last axis. */
import { contrib, float, type GraphBuilder, int, type Value } from '../graph.js';

/** x / √(mean(x²) + ε) · weight (Zhang and Sennrich 2019). */
export const rmsNorm = (g: GraphBuilder, x: Value, weight: Value, epsilon: number): Value =>
  g.node('SimplifiedLayerNormalization', [x, weight], {
    attributes: { axis: int(-1), epsilon: float(epsilon) },
  });

export interface SkipNorm {
  /** The normalised sum. */
  readonly normed: Value;
  /** x + residual, the stream that goes on. */
  readonly sum: Value;
}

/** RMS norm of x + residual in one pass; both [n, hidden]. */
export function skipRmsNorm(
  g: GraphBuilder,
  x: Value,
  residual: Value,
  weight: Value,
  epsilon: number,
): SkipNorm {
  const [normed = '', , , sum = ''] = g.nodes(
    'SkipSimplifiedLayerNormalization',
    [x, residual, weight],
    [true, false, false, true],
    { domain: contrib, attributes: { epsilon: float(epsilon) } },
  );
  return { normed, sum };
}

/** (x − mean) / √(variance + ε) · weight + bias. */
export const layerNorm = (g: GraphBuilder, x: Value, weight: Value, bias: Value, epsilon: number): Value =>
  g.node('LayerNormalization', [x, weight, bias], { attributes: { axis: int(-1), epsilon: float(epsilon) } });

/** Layer norm of x + residual in one pass; both [n, hidden]. */
export function skipLayerNorm(
  g: GraphBuilder,
  x: Value,
  residual: Value,
  weight: Value,
  bias: Value,
  epsilon: number,
): SkipNorm {
  const [normed = '', , , sum = ''] = g.nodes(
    'SkipLayerNormalization',
    [x, residual, weight, bias],
    [true, false, false, true],
    { domain: contrib, attributes: { epsilon: float(epsilon) } },
  );
  return { normed, sum };
}
