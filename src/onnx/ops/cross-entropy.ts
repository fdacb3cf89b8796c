/**
 * Cross-entropy and entropy of rows of logits, to 1e-6 nats in float32 at any vocabulary. One LogSoftmax over a
 * row sums up to 150,000 terms in one chain, which loses 2e-5 nats where a few logits dominate (measured against
 * float64; ReduceLogSumExp 3e-4). So the vocabulary goes in groups, ln p(t) = ln p(group) + ln p(t | group): short
 * chains, the same single pass over the logits, each group in the first-level cache.
 */

import { type GraphBuilder, int, type Value } from '../graph.js';
import { castTo } from './cast.js';
import { reshape, slice } from './shape.js';

export interface RowLosses {
  /** float32, nats. */
  readonly loss: Value;
  /** float32, nats; null unless asked for. */
  readonly entropy: Value | null;
  /** float32: 1 where the target is the likeliest token, else 0; null unless asked for. */
  readonly greedy: Value | null;
}

/** What is asked of rows of logits. */
export interface LossQuestions {
  readonly vocabularySize: number;
  readonly entropy: boolean;
  /** Whether the target is the likeliest token; no unless asked for. */
  readonly greedy?: boolean;
}

const widestGroup = 2048;
const narrowestGroup = 256;

/** Logits a group: the largest divisor of the vocabulary up to 2048, or 1024 with padding where none is wide. */
export function groupWidth(vocabularySize: number): number {
  if (vocabularySize <= widestGroup) return vocabularySize;
  for (let width = widestGroup; width >= narrowestGroup; width--) {
    if (vocabularySize % width === 0) return width;
  }
  return 1024;
}

/** Far below any logit, and finite. */
const absent = -1e30;

/**
 * Sums of the rows of x [n, width] → [n]. A product with ones: ReduceSum's bits depend on the address a row
 * begins at, so that a row of odd width would change with its place in the batch.
 */
function sumRows(g: GraphBuilder, x: Value, width: number): Value {
  // On CUDA a product of float32 may be one of TF32, whose terms have ten bits; its sums have no such address.
  if (g.batch !== null) return g.node('ReduceSum', [x, g.int64s([1])], { attributes: { keepdims: int(0) } });
  const ones = g.float32s('ones', new Float32Array(width).fill(1), [width, 1]);
  return g.node('Squeeze', [g.node('MatMul', [x, ones]), g.int64s([1])]);
}

const logSoftmax = (g: GraphBuilder, x: Value): Value =>
  g.node('LogSoftmax', [x], { attributes: { axis: int(-1) } });
const pick = (g: GraphBuilder, x: Value, column: Value): Value =>
  g.node('GatherElements', [x, column], { attributes: { axis: int(1) } });

/** logits [n, V] float32 and targets [n] int32 → losses [n], entropies [n], and whether each target has the highest logit [n]. */
export function logitLosses(
  g: GraphBuilder,
  logits: Value,
  targets: Value,
  { vocabularySize, entropy, greedy = false }: LossQuestions,
): RowLosses {
  const width = groupWidth(vocabularySize);
  const groups = Math.ceil(vocabularySize / width);
  const padding = groups * width - vocabularySize;
  const padded =
    padding === 0 ? logits : g.node('Pad', [logits, g.int64s([0, 0, 0, padding]), g.float32(absent)]);
  const grouped = reshape(g, padded, [-1, width]);
  const inGroup = logSoftmax(g, grouped);

  // ln Σ exp of a group, from the two forms of its first logit (never padding): [n, groups].
  const first = (x: Value): Value => slice(g, x, 1, 0, 1);
  const groupLogits = reshape(g, g.node('Sub', [first(grouped), first(inGroup)]), [-1, groups]);
  const ofGroup = logSoftmax(g, groupLogits);

  const column = g.node('Unsqueeze', [targets, g.int64s([1])]);
  const groupColumn = g.node('Div', [column, g.int32(width)]);
  const logProbability = g.node('Add', [
    pick(g, reshape(g, inGroup, [-1, groups * width]), column),
    pick(g, ofGroup, groupColumn),
  ]);
  const loss = g.node('Neg', [g.node('Squeeze', [logProbability, g.int64s([1])])]);
  return {
    loss,
    entropy: entropy ? groupedEntropy(g, inGroup, ofGroup, width, groups) : null,
    greedy: greedy ? isHighest(g, logits, targets) : null,
  };
}

/** By the logits themselves: the first of equals counts, as ArgMax has it. */
function isHighest(g: GraphBuilder, logits: Value, targets: Value): Value {
  const highest = g.node('ArgMax', [logits], { attributes: { axis: int(-1), keepdims: int(0) } });
  const equal = g.node('Equal', [highest, castTo(g, targets, 'int64')]);
  return castTo(g, equal, 'float32');
}

/** H = Σ p(group)·(H(t | group) − ln p(group)). */
function groupedEntropy(
  g: GraphBuilder,
  inGroup: Value,
  ofGroup: Value,
  width: number,
  groups: number,
): Value {
  const terms = g.node('Mul', [g.node('Exp', [inGroup]), inGroup]);
  const negativeInner = reshape(g, sumRows(g, terms, width), [-1, groups]);
  const negative = g.node('Mul', [g.node('Exp', [ofGroup]), g.node('Add', [negativeInner, ofGroup])]);
  return g.node('Neg', [sumRows(g, negative, groups)]);
}
