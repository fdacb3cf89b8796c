/** Matrix products and pointwise functions of a transformer's body. */
import { contrib, float, type GraphBuilder, int, ints, type Value } from '../graph.js';

/** How a checkpoint lays out a linear layer's weight: PyTorch's Linear is `out-in`, GPT-2's Conv1D `in-out`. */
export type WeightLayout = 'out-in' | 'in-out';

/** x [n, in] times weight (plus bias [out]) → [n, out]. Gemm, because it prepacks a constant weight in either layout. */
export function linear(
  g: GraphBuilder,
  x: Value,
  weight: Value,
  bias: Value | null,
  layout: WeightLayout = 'out-in',
): Value {
  const inputs = bias === null ? [x, weight] : [x, weight, bias];
  return g.node('Gemm', inputs, { attributes: { transB: int(layout === 'out-in' ? 1 : 0) } });
}

export const add = (g: GraphBuilder, a: Value, b: Value): Value => g.node('Add', [a, b]);
export const multiply = (g: GraphBuilder, a: Value, b: Value): Value => g.node('Mul', [a, b]);

/** x·σ(x), as one pass. */
export const silu = (g: GraphBuilder, x: Value): Value =>
  g.node('QuickGelu', [x], { domain: contrib, attributes: { alpha: float(1) } });

/** x·Φ(x), by erf. */
export const gelu = (g: GraphBuilder, x: Value): Value => g.node('Gelu', [x], { domain: contrib });

/** GELU's tanh approximation (GPT-2's `gelu_new`). */
export const geluTanh = (g: GraphBuilder, x: Value): Value => g.node('FastGelu', [x], { domain: contrib });

export const relu = (g: GraphBuilder, x: Value): Value => g.node('Relu', [x]);

/** Reshape where 0 keeps a size and −1 is inferred. */
export const reshape = (g: GraphBuilder, x: Value, shape: readonly number[]): Value =>
  g.node('Reshape', [x, g.int64s(shape)]);

export const transpose = (g: GraphBuilder, x: Value, permutation: readonly number[]): Value =>
  g.node('Transpose', [x], { attributes: { perm: ints(permutation) } });

/** x [B·T, width] → [B, T, width], with B and T of `ids`. */
export function withBatch(g: GraphBuilder, x: Value, ids: Value, width: number): Value {
  const shape = g.node('Concat', [g.node('Shape', [ids]), g.int64s([width])], {
    attributes: { axis: int(0) },
  });
  return g.node('Reshape', [x, shape]);
}

/** x[start:end] along one axis; negative indices count from the end. */
export const slice = (g: GraphBuilder, x: Value, axis: number, start: number, end: number): Value =>
  g.node('Slice', [x, g.int64s([start]), g.int64s([end]), g.int64s([axis])]);

/** Beyond any size: the `end` of a slice that runs to the last element. */
export const toEnd = 2 ** 52;
