/** Causal attention in standard operators: the whole square of scores, any head size, any device. */
import { type GraphBuilder, int, type Value } from '../graph.js';
import { type Attend, type AttentionContext, forbidden } from './attention-context.js';
import { transpose } from './shape.js';

/** Additive [T, T] or [B, 1, 1, T, T] mask: order in time, the window, and the documents. */
export function causalMask(g: GraphBuilder, window: number | null, context: AttentionContext): Value {
  const known = context.masks.get(window);
  if (known !== undefined) return known;
  const positions = g.node('Range', [g.int64(0), context.length, g.int64(1)]);
  const queries = g.node('Unsqueeze', [positions, g.int64s([1])]);
  const past = g.node('LessOrEqual', [positions, queries]);
  const near = (size: number): Value => g.node('Less', [queries, g.node('Add', [positions, g.int64(size)])]);
  const visible = window === null ? past : g.node('And', [past, near(window)]);
  const causal = g.node('Where', [visible, g.float32(0), g.float32(forbidden)]);
  const made =
    context.bias === null
      ? causal
      : g.node('Min', [causal, g.node('Unsqueeze', [context.bias, g.int64s([1])])]);
  context.masks.set(window, made);
  return made;
}

/** → [B, T, heads·headSize]. */
export const plainAttention: Attend = (g, { query, key, value }, shape, context) => {
  const { kvHeads, headSize } = shape;
  const group = shape.heads / kvHeads;
  // [B, T, kvHeads, group, headSize], so that each key-value head meets its own queries by broadcasting.
  const heads = (x: Value, groupSize: number, order: readonly number[]): Value =>
    transpose(g, g.node('Reshape', [x, g.int64s([0, 0, kvHeads, groupSize, headSize])]), order);
  const scaled = g.node('Mul', [heads(query, group, [0, 2, 3, 1, 4]), g.float32(shape.scale)]);
  const scores = g.node('MatMul', [scaled, heads(key, 1, [0, 2, 3, 4, 1])]);
  const masked = g.node('Add', [scores, causalMask(g, shape.window, context)]);
  const shares = g.node('Softmax', [masked], { attributes: { axis: int(-1) } });
  const mixed = g.node('MatMul', [shares, heads(value, 1, [0, 2, 3, 1, 4])]);
  const rows = transpose(g, mixed, [0, 3, 1, 2, 4]);
  return g.node('Reshape', [rows, g.int64s([0, 0, shape.heads * headSize])]);
};
