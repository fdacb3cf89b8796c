/** Ops that move numbers without changing them, with their gradients. */
import { type GraphBuilder, int, ints, type Value } from '../graph.js';
import { narrow, widen } from './cast.js';

/** Reshape where 0 keeps a size and −1 is inferred. */
export const reshape = (g: GraphBuilder, x: Value, shape: readonly number[]): Value =>
  reshapeTo(g, x, g.int64s(shape));

/** Reshape to a shape that is a value itself, [rank] int64. */
function reshapeTo(g: GraphBuilder, x: Value, shape: Value): Value {
  const y = g.node('Reshape', [x, shape]);
  g.record([x], [y], ([dy]) => (dy ? [likeShape(g, dy, x)] : []));
  return y;
}

const likeShape = (g: GraphBuilder, value: Value, model: Value): Value =>
  g.node('Reshape', [value, g.node('Shape', [model])]);

/** x [B·T, width] → [B, T, width], with B and T of `ids`. */
export function withBatch(g: GraphBuilder, x: Value, ids: Value, width: number): Value {
  if (g.batch !== null) return reshape(g, x, [g.batch.rows, g.batch.length, width]);
  const shape = g.node('Concat', [g.node('Shape', [ids]), g.int64s([width])], {
    attributes: { axis: int(0) },
  });
  return reshapeTo(g, x, shape);
}

export function transpose(g: GraphBuilder, x: Value, permutation: readonly number[]): Value {
  const permuted = (value: Value, order: readonly number[]): Value =>
    g.node('Transpose', [value], { attributes: { perm: ints(order) } });
  const y = permuted(x, permutation);
  const inverse = permutation.map((_, axis) => permutation.indexOf(axis));
  g.record([x], [y], ([dy]) => (dy ? [permuted(dy, inverse)] : []));
  return y;
}

/** x[start:end] along one axis; negative indices count from the end. */
export function slice(g: GraphBuilder, x: Value, axis: number, start: number, end: number): Value {
  const bounds = [g.int64s([start]), g.int64s([end]), g.int64s([axis])];
  const y = g.node('Slice', [x, ...bounds]);
  g.record([x], [y], ([dy]) => (dy ? [unslice(g, dy, x, axis, start)] : []));
  return y;
}

/** Zeros of `like`'s shape with `piece` in them, from `start` on along the axis. */
function unslice(g: GraphBuilder, piece: Value, like: Value, axis: number, start: number): Value {
  const sizeOf = (value: Value): Value =>
    g.node('Slice', [g.node('Shape', [value]), g.int64s([axis]), g.int64s([axis + 1])]);
  const whole = sizeOf(like);
  const before = start < 0 ? g.node('Add', [whole, g.int64s([start])]) : g.int64s([start]);
  const after = g.node('Sub', [whole, g.node('Add', [before, sizeOf(piece)])]);
  const pads = g.node('Concat', [before, after], { attributes: { axis: int(0) } });
  // CUDA pads no bfloat16. What is sliced on the way to a gradient is of the body's float type.
  return narrow(g, g.node('Pad', [widen(g, piece), pads, null, g.int64s([axis])]));
}

/** Beyond any size: the `end` of a slice that runs to the last element. */
export const toEnd = 2 ** 52;

/** x cut into pieces of the given widths along one axis. */
export function split<const W extends readonly number[]>(
  g: GraphBuilder,
  x: Value,
  widths: W,
  axis: number,
): { [K in keyof W]: Value } {
  const pieces = g.nodes(
    'Split',
    [x, g.int64s(widths)],
    widths.map(() => true as const),
    { attributes: { axis: int(axis) } },
  );
  g.record([x], pieces, (gradients) => {
    const joined = pieces.map((piece, index) => gradients[index] ?? g.node('Sub', [piece, piece]));
    return [g.node('Concat', joined, { attributes: { axis: int(axis) } })];
  });
  return pieces as { [K in keyof W]: Value };
}
