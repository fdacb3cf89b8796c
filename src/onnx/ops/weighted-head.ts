/**
 * The loss head with its gradient: Σ w·L over rows, L = −ln softmax(h·Wᵀ)[target]. Rows of weight 0 are left out
 * before any logit is computed, so that a selected token is all that is paid for. Logits and their gradient live
 * a chunk at a time: memory does not grow with the vocabulary.
 */

import { type GraphBuilder, int, string, subgraph, type Value } from '../graph.js';
import { castTo } from './cast.js';
import { linear } from './dense.js';
import { chunkRows, type HeadWeights, padIds } from './head.js';

export interface WeightedRows {
  /** [n, H] float32. */
  readonly states: Value;
  /** [n] int32. */
  readonly targets: Value;
  /** [n] float32, at least 0. */
  readonly weights: Value;
  /** n, known when the graph is built. */
  readonly count: number;
}

export interface HeadGradient {
  /** Scalar float64: Σ w·L. */
  readonly weightedLoss: Value;
  /** [n, H]: gradient of Σ w·L by the states; 0 in rows of weight 0. */
  readonly dStates: Value;
  /** [V, H]. */
  readonly dWeight: Value;
}

/** Smallest share that has a logarithm: a loss beyond 87.3 nats reads 87.3; its gradient is exact all the same. */
const leastShare = 1.2e-38;

/** Gradient of Σ w·L by states and output embedding, and its value. The weights themselves are constants. */
export function weightedHead(
  g: GraphBuilder,
  { states, targets, weights, count }: WeightedRows,
  head: HeadWeights,
  rowsPerChunk = chunkRows(head.vocabularySize),
): HeadGradient {
  const chosen = g.node('Reshape', [
    g.node('NonZero', [g.node('Greater', [weights, g.float32(0)])]),
    g.int64s([-1]),
  ]);
  const picked = (x: Value): Value => g.node('Gather', [x, chosen]);
  const rows = { states: picked(states), targets: picked(targets), weights: picked(weights) };
  const made = count <= rowsPerChunk ? inOnePiece(g, rows, head) : inChunks(g, rows, head, rowsPerChunk);
  const zeros = g.node('ConstantOfShape', [g.node('Shape', [states])]);
  const places = g.node('Unsqueeze', [chosen, g.int64s([1])]);
  return {
    weightedLoss: g.node('ReduceSum', [castTo(g, made.weighted, 'float64')], {
      attributes: { keepdims: int(0) },
    }),
    // Every row is written once at most: ScatterND is safe without a reduction.
    dStates: g.node('ScatterND', [zeros, places, made.dStates]),
    dWeight: made.dWeight,
  };
}

interface Rows {
  readonly states: Value;
  readonly targets: Value;
  readonly weights: Value;
}

interface Piece {
  /** [m]: w·L. */
  readonly weighted: Value;
  readonly dStates: Value;
  /** [V, H], `carried` included. */
  readonly dWeight: Value;
}

function inOnePiece(g: GraphBuilder, rows: Rows, head: HeadWeights, carried: Value | null = null): Piece {
  const column = g.node('Unsqueeze', [rows.targets, g.int64s([1])]);
  const rowWeights = g.node('Unsqueeze', [rows.weights, g.int64s([1])]);
  const shares = g.node('Softmax', [linear(g, rows.states, head.weight, head.bias)], {
    attributes: { axis: int(-1) },
  });
  const share = g.node('GatherElements', [shares, column], { attributes: { axis: int(1) } });
  const loss = g.node('Neg', [g.node('Log', [g.node('Max', [share, g.float32(leastShare)])])]);
  // softmax minus one-hot; one target a row, so no two updates meet.
  const minusOnes = g.node('Expand', [g.float32(-1), g.node('Shape', [column])]);
  const dLogits = g.node('ScatterElements', [shares, column, minusOnes], {
    attributes: { axis: int(1), reduction: string('add') },
  });
  const scaled = g.node('Mul', [rows.states, rowWeights]);
  const transposed = { attributes: { transA: int(1) } };
  return {
    weighted: g.node('Squeeze', [g.node('Mul', [loss, rowWeights]), g.int64s([1])]),
    dStates: g.node('Mul', [g.node('Gemm', [dLogits, head.weight]), rowWeights]),
    dWeight: g.node('Gemm', carried === null ? [dLogits, scaled] : [dLogits, scaled, carried], transposed),
  };
}

/** A Scan over equal chunks of rows; the last rows of the last one are padding of weight 0. */
function inChunks(g: GraphBuilder, rows: Rows, head: HeadWeights, rowsPerChunk: number): Piece {
  const { hiddenSize, vocabularySize } = head;
  const one = g.int64s([1]);
  const ceilDivide = (a: Value, b: Value): Value =>
    g.node('Div', [g.node('Sub', [g.node('Add', [a, b]), one]), b]);
  const count = g.node('Shape', [rows.targets]);
  const chunks = g.node('Max', [ceilDivide(count, g.int64s([rowsPerChunk])), one]);
  const size = g.node('Max', [ceilDivide(count, chunks), one]);
  const padding = g.node('Sub', [g.node('Mul', [chunks, size]), count]);
  const chunked = (x: Value, tail: readonly number[], ids = false): Value => {
    const pads = g.node('Concat', [g.int64s([0]), padding], { attributes: { axis: int(0) } });
    const shape = g.node('Concat', [chunks, size, ...tail.map((width) => g.int64s([width]))], {
      attributes: { axis: int(0) },
    });
    const pad = (value: Value): Value => g.node('Pad', [value, pads, null, g.int64s([0])]);
    return g.node('Reshape', [ids ? padIds(g, x, pad) : pad(x), shape]);
  };
  const body = g.child('head_chunk');
  const carried = body.input('chunk_carried', 'float32', [vocabularySize, hiddenSize]);
  const piece = inOnePiece(
    body,
    {
      states: body.input('chunk_states', 'float32', ['rows', hiddenSize]),
      targets: body.input('chunk_targets', 'int32', ['rows']),
      weights: body.input('chunk_weights', 'float32', ['rows']),
    },
    head,
    carried,
  );
  body.output(piece.dWeight, 'chunk_carry', 'float32', [vocabularySize, hiddenSize]);
  body.output(piece.weighted, 'chunk_weighted', 'float32', ['rows']);
  body.output(piece.dStates, 'chunk_dstates', 'float32', ['rows', hiddenSize]);
  const [dWeight, weighted, dStates] = g.nodes(
    'Scan',
    [
      g.node('ConstantOfShape', [g.int64s([vocabularySize, hiddenSize])]),
      chunked(rows.states, [hiddenSize]),
      chunked(rows.targets, [], true),
      chunked(rows.weights, []),
    ],
    [true, true, true],
    { attributes: { num_scan_inputs: int(3), body: subgraph(body.build()) } },
  );
  const unchunked = (x: Value, tail: readonly number[]): Value =>
    g.node('Slice', [g.node('Reshape', [x, g.int64s([-1, ...tail])]), g.int64s([0]), count, g.int64s([0])]);
  return { weighted: unchunked(weighted, []), dStates: unchunked(dStates, [hiddenSize]), dWeight };
}
