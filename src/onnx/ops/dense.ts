/**
 * Matrix products, sums and products of a transformer's body, with their gradients. In a 16-bit body a bias's gradient is summed,
 * and given, in float32.
 */
import { type GraphBuilder, int, type Value } from '../graph.js';
import { narrow, widen } from './cast.js';

/** How a checkpoint lays out a linear layer's weight: PyTorch's Linear is `out-in`, GPT-2's Conv1D `in-out`. */
export type WeightLayout = 'out-in' | 'in-out';

const gemm = (g: GraphBuilder, a: Value, b: Value, transA: 0 | 1, transB: 0 | 1): Value =>
  g.node('Gemm', [a, b], { attributes: { transA: int(transA), transB: int(transB) } });

/** x [n, in] times weight (plus bias [out]) → [n, out]. Gemm, because it prepacks a constant weight in either layout. */
export function linear(
  g: GraphBuilder,
  x: Value,
  weight: Value,
  bias: Value | null,
  layout: WeightLayout = 'out-in',
): Value {
  const transB = layout === 'out-in' ? 1 : 0;
  const inputs = bias === null ? [x, weight] : [x, weight, bias];
  const y = g.node('Gemm', inputs, { attributes: { transB: int(transB) } });
  g.record(inputs, [y], ([dy]) => {
    if (!dy) return [];
    const dWeight = transB === 1 ? gemm(g, dy, x, 1, 0) : gemm(g, x, dy, 1, 0);
    return [
      gemm(g, dy, weight, 0, transB === 1 ? 0 : 1),
      dWeight,
      bias === null ? null : columnSums(g, widen(g, dy)),
    ];
  });
  return y;
}

/** x [n, width] → [width]. */
export const columnSums = (g: GraphBuilder, x: Value): Value =>
  g.node('ReduceSum', [x, g.int64s([0])], { attributes: { keepdims: int(0) } });

/** a + b, of one shape. */
export function add(g: GraphBuilder, a: Value, b: Value): Value {
  const y = g.node('Add', [a, b]);
  g.record([a, b], [y], ([dy = null]) => [dy, dy]);
  return y;
}

/** x [B, …] + rows […], the same for every entry of the batch. */
export function addToEach(g: GraphBuilder, x: Value, rows: Value): Value {
  const y = g.node('Add', [x, rows]);
  g.record([x, rows], [y], ([dy]) => (dy ? [dy, narrow(g, columnSums(g, widen(g, dy)))] : []));
  return y;
}

/** a · b elementwise, of one shape. */
export function multiply(g: GraphBuilder, a: Value, b: Value): Value {
  const y = g.node('Mul', [a, b]);
  g.record([a, b], [y], ([dy]) => (dy ? [g.node('Mul', [dy, b]), g.node('Mul', [dy, a])] : []));
  return y;
}
