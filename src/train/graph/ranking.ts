/** Live selection inside the graph: ranks tokens by the trainer's own loss minus the stored reference loss. */

import { type GraphBuilder, int, type Value } from '../../onnx/graph.js';
import { castTo } from '../../onnx/ops/cast.js';

export interface RankingRule {
  /** Share kept, in whole parts per million. */
  readonly keepPpm: number;
  readonly rounding: 'floor' | 'ceil';
}

/** Below any score, and finite. */
const unranked = -3e38;

/**
 * Weight 1 for the kept tokens of every group, else 0: `max(1, round(k · eligible))` with the highest score, ties
 * to the earlier token (docs/conventions.md). A group is a row of `shape` [groups, n].
 * @param score, eligible float32 of any shape with groups · n elements, eligible 0 or 1
 * @returns [groups, n] float32
 */
export function rankedWeights(
  g: GraphBuilder,
  score: Value,
  eligible: Value,
  shape: readonly [number, number],
  { keepPpm, rounding }: RankingRule,
): Value {
  const grouped = (x: Value): Value => g.node('Reshape', [x, g.int64s(shape)]);
  const targets = grouped(eligible);
  const isTarget = g.node('Greater', [targets, g.float32(0)]);
  const ranked = g.node('Where', [isTarget, grouped(score), g.float32(unranked)]);
  // TopK of everything is a sort that puts the earlier of two equals first.
  const [, order] = g.nodes('TopK', [ranked, g.int64s([shape[1]])], [true, true], {
    attributes: { axis: int(-1), largest: int(1), sorted: int(1) },
  });
  const count = g.node('ReduceSum', [castTo(g, isTarget, 'int64'), g.int64s([1])]);
  const parts = g.node('Mul', [count, g.int64(keepPpm)]);
  const raised = rounding === 'ceil' ? g.node('Add', [parts, g.int64(999_999)]) : parts;
  const kept = g.node('Max', [g.node('Div', [raised, g.int64(1_000_000)]), g.int64(1)]);
  const ranks = g.node('Unsqueeze', [
    g.node('Range', [g.int64(0), g.int64(shape[1]), g.int64(1)]),
    g.int64s([0]),
  ]);
  const within = castTo(g, g.node('Less', [ranks, kept]), 'float32');
  const zeros = g.node('ConstantOfShape', [g.int64s(shape)]);
  const chosen = g.node('ScatterElements', [zeros, order, within], { attributes: { axis: int(1) } });
  return g.node('Mul', [chosen, targets]);
}
